"""Objects that belong to an event loop: made at their first use in it, dropped once the loop has closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

POLL_S: Final = 1.0
"""Seconds after which a waiting thread checks again that the loop still runs."""

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
        """Return the object of the running loop; make one if it has none."""
        known = self.find()
        if known is None:
            for closed in [loop for loop in tuple(self._objects) if loop.is_closed()]:
                self._objects.pop(closed, None)  # in place: loops of other threads may add theirs at the same time
            known = self._objects[asyncio.get_running_loop()] = self._make()
        return known

    def find(self) -> T | None:
        """Return the object of the running loop, if it has one."""
        if self._process != os.getpid():
            self._process, self._objects = os.getpid(), {}
        return self._objects.get(asyncio.get_running_loop())

    def pop(self) -> T | None:
        """Forget the object of the running loop and return it, if it has one."""
        known = self.find()
        if known is not None:
            del self._objects[asyncio.get_running_loop()]
        return known

    def every(self) -> tuple[T, ...]:
        """Return the objects of all loops that are open, in any thread."""
        return tuple(known for loop, known in tuple(self._objects.items()) if not loop.is_closed())

    def running(self) -> asyncio.AbstractEventLoop | None:
        """Return a running loop that has an object: of several, the one whose object was made first."""
        return next((loop for loop in tuple(self._objects) if loop.is_running()), None)


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
        RuntimeError: the loop has ended.
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
