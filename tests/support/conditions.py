"""Waiting for a condition, with a limit, instead of sleeping."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float = 180) -> T:
    """Return the first true value of the condition; fail at the time limit."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return value


async def becomes(condition: Callable[[], T], *, seconds: float = 180) -> T:
    """Run the event loop until the condition is true, and return its value; fail at the time limit."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0)
    return value


def freeze(pid: int) -> None:
    """Stop a process with SIGSTOP, and return when it has stopped: until then it may still answer."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
