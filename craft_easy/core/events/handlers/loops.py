"""What belongs to one event loop: made when that loop first asks for it, forgotten when it has closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

POLL_S: Final = 1.0
"""Seconds between two looks of a waiting thread whether the loop still runs."""

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Keeps one object for each event loop of this process; a fork starts with none.

    Args:
        make: makes the object of the running loop.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._process = os.getpid()
        self._objects: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """Return the object of the running loop."""
        loop = asyncio.get_running_loop()
        if self._process != os.getpid():
            self._process, self._objects = os.getpid(), {}
        known = self._objects.get(loop)
        if known is None:
            self._objects = {other: one for other, one in self._objects.items() if not other.is_closed()}
            known = self._objects[loop] = self._make()
        return known

    def running(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that runs now, of those that have an object; the one that asked first, if several do."""
        return next((loop for loop in self._objects if loop.is_running()), None)


def is_in_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_from_thread(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of another thread and return when it has ended.

    Raises:
        RuntimeError: the loop ended meanwhile.
    """
    ended = asyncio.run_coroutine_threadsafe(coroutine, loop)
    while True:
        try:
            return ended.result(timeout=POLL_S)
        except TimeoutError:
            if ended.done():
                raise
            if not loop.is_running():
                raise RuntimeError("the event loop ended before the event was published") from None
