"""The event loops on which a bus is used, and what belongs to each of them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final

from craft_easy.core.events.handlers.background import Tasks

POLL_S: Final = 1.0
"""So often a thread that waits for a loop looks whether that still runs."""


class Loops:
    """Knows the loops that one bus has seen.

    Args:
        on_end: called when one is gone, so that the bus may look for the next.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._seen: list[weakref.ref[asyncio.AbstractEventLoop]] = []
        self._tasks: dict[asyncio.AbstractEventLoop, Tasks] = {}

    def see(self) -> None:
        """Remember the running loop, if this thread has one."""
        loop = running_loop()
        if loop is not None and not any(ref() is loop for ref in self._seen):
            living = [ref for ref in self._seen if (known := ref()) is not None and not known.is_closed()]
            self._seen = [*living, weakref.ref(loop, lambda _: self._on_end())]

    def tasks(self) -> Tasks:
        """Return the background tasks of the running loop; what closed loops left is forgotten."""
        loop = asyncio.get_running_loop()
        tasks = self._tasks.get(loop)
        if tasks is None:
            self.see()
            for closed in [known for known in self._tasks if known.is_closed()]:
                self._tasks.pop(closed).forget()
            tasks = self._tasks[loop] = Tasks()
        return tasks

    def run_from_thread(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine on the running loop that was seen first and return when it has ended.

        Raises:
            RuntimeError: there is no such loop, it ended meanwhile, or this is the thread of an event loop.
        """
        if running_loop() is not None:
            raise RuntimeError(
                "publish_from_thread blocks, and this thread runs an event loop: use `await bus.publish(event)`; "
                "a plain handler in the foreground runs here too, background=True gives it a thread"
            )
        loop = next((loop for ref in self._seen if (loop := ref()) is not None and loop.is_running()), None)
        if loop is None:
            raise RuntimeError("no running event loop uses this bus yet: enter `async with bus:` there first")
        ended = asyncio.run_coroutine_threadsafe(call(), loop)
        while True:
            try:
                return ended.result(timeout=POLL_S)
            except TimeoutError:
                if ended.done():
                    raise
                if not loop.is_running():
                    raise RuntimeError("the event loop ended before the event was published") from None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
