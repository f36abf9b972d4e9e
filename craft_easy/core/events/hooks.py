"""Named points at which a process can be made to kill itself, for proving that nothing is lost there.

They do nothing unless `CRAFT_EVENTS_KILL_AT` asks: `claim.acknowledged` kills the first time that the process comes
there, `claim.acknowledged:3` the third. It is killed as `kill -9` does it: nothing is written, flushed or said.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import Final

VARIABLE: Final = "CRAFT_EVENTS_KILL_AT"
POINTS: Final = (
    "append.sent",
    "append.acknowledged",
    "claim.sent",
    "claim.acknowledged",
    "handler.running",
    "handler.returned",
    "outcomes.sent",
    "outcomes.half",
    "outcomes.acknowledged",
    "beat.sent",
    "beat.acknowledged",
    "takeover.fenced",
    "takeover.freed",
    "suspect.noted",
    "stop.begun",
    "stop.written",
    "commit.before",
    "commit.sent",
    "commit.acknowledged",
    "child.stored",
)
"""`sent`: while the request is on its way or at work in the server; `acknowledged`: once its reply is here."""
OF_OPERATORS: Final = ("prune.copied", "prune.verified", "prune.removed")
"""The same for commands that come to none of the others."""
_SOON_S: Final = 0.004


def _read(text: str) -> tuple[str, int]:
    name, _, times = text.partition(":")
    if not text:
        return "", 0
    known = (*POINTS, *OF_OPERATORS)
    if name not in known or not (times or "1").isdecimal():
        raise ValueError(f"{VARIABLE}={text!r}: there are {', '.join(known)}, each with :N for the Nth time")
    return name, int(times or 1)


_armed, _left = _read(os.environ.get(VARIABLE, ""))


def at(name: str) -> None:
    """Kill this process here, if it was asked for."""
    if _armed == name and _is_time():
        os.kill(os.getpid(), signal.SIGKILL)


def soon(name: str) -> None:
    """Kill this process within the next milliseconds, while what follows is under way, if it was asked for."""
    if _armed == name and _is_time():
        threading.Thread(target=_kill_soon, daemon=True).start()


def halves(name: str, count: int) -> int:
    """Return how many of so many pieces are to be done: all, or the first half where the process is to die after it."""
    return max(1, count // 2) if _armed == name and _left <= 1 else count


def _is_time() -> bool:
    global _left
    _left -= 1
    return _left == 0


def _kill_soon() -> None:
    time.sleep(random.uniform(0, _SOON_S))
    os.kill(os.getpid(), signal.SIGKILL)
