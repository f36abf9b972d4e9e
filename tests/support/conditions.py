"""Waiting for a condition, with a limit, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float = 20) -> T:
    """Return the first true value of the condition; fail at the time limit."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return value


async def becomes(condition: Callable[[], T], *, seconds: float = 20) -> T:
    """Run the event loop until the condition is true, and return its value; fail at the time limit."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0)
    return value
