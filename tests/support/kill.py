"""Kills a process of the tests with SIGKILL when it reaches a named point of the library.

`armed("claim.acknowledged:3")` is the environment of a process that dies the third time it reaches the point. Its
start-up (`startup/sitecustomize.py`) installs the hook; a process without that folder on its path cannot be armed.
"""

from __future__ import annotations

import contextvars
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events import hooks

VARIABLE: Final = "KILL_POINT"
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
"""`sent`: while the request is on its way or the server works on it; `acknowledged`: after its reply has arrived."""
OF_OPERATORS: Final = ("prune.copied", "prune.verified", "prune.removed")
"""Points of commands that reach no other point."""
HALF: Final = "outcomes.half"
"""Not a point of the library: after `outcomes.sent`, half of the batch is written, and the process dies."""
DURING: Final = ("append.sent", "claim.sent", "handler.running", "outcomes.sent", "beat.sent", "commit.sent")
"""Points followed by the step in which the process dies, within the next milliseconds."""
_SOON_S: Final = 0.004
_STARTUP: Final = Path(__file__).parent / "startup"
_ROOT: Final = Path(__file__).parents[2]


def armed(kill_at: str) -> dict[str, str]:
    """Return the variables for a process that dies at a point: its name, and `:N` for the Nth time."""
    _parsed(kill_at)
    return {VARIABLE: kill_at, "PYTHONPATH": os.pathsep.join(map(str, (_STARTUP, _ROOT)))}


def install(kill_at: str) -> None:
    """Arm this process."""
    point, times = _parsed(kill_at)
    if point == HALF:
        hooks.install(_Countdown("outcomes.sent", times, _write_half_of_the_next_batch()))
    else:
        hooks.install(_Countdown(point, times, _die_soon if point in DURING else _die))


def _parsed(kill_at: str) -> tuple[str, int]:
    point, _, times = kill_at.partition(":")
    if point not in (*POINTS, *OF_OPERATORS):
        raise ValueError(f"{kill_at!r} is not a point of {', '.join((*POINTS, *OF_OPERATORS))}")
    return point, int(times or 1)


class _Countdown:
    """Acts the Nth time that the process reaches a point."""

    def __init__(self, point: str, times: int, act: Callable[[], object]) -> None:
        self._point = point
        self._left = times
        self._act = act

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                self._act()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    threading.Thread(target=_sleep_and_die, daemon=True).start()


def _sleep_and_die() -> None:
    time.sleep(random.uniform(0, _SOON_S))
    _die()


def _write_half_of_the_next_batch() -> Callable[[], object]:
    """Wrap the driver's writes, and return a function that makes the next write of the calling task the last."""
    from pymongo.asynchronous.collection import AsyncCollection

    is_next: contextvars.ContextVar[bool] = contextvars.ContextVar("is_next", default=False)
    write_many, write_one = AsyncCollection.bulk_write, AsyncCollection.update_one

    async def bulk_write(self: AsyncCollection[Any], requests: Sequence[Any], *args: Any, **options: Any) -> Any:
        half = requests[: max(1, len(requests) // 2)] if is_next.get() else requests
        return die_after(await write_many(self, half, *args, **options))

    async def update_one(self: AsyncCollection[Any], *args: Any, **options: Any) -> Any:
        return die_after(await write_one(self, *args, **options))  # the write of a batch of one

    def die_after(result: Any) -> Any:
        if is_next.get():
            _die()
        return result

    # typed as methods, which a test replaces on purpose
    AsyncCollection.bulk_write = bulk_write  # type: ignore[method-assign]
    AsyncCollection.update_one = update_one  # type: ignore[method-assign]
    return lambda: is_next.set(True)
