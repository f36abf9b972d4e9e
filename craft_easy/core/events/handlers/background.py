"""Running deliveries in the background: in tasks that are held until they end, plain functions in threads."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.handlers.context import open_delivery
from craft_easy.core.events.handlers.loops import PerLoop

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler

log: Final = logging.getLogger("craft_easy.core.events")

MAX_TASKS: Final = 10_000
MAX_THREADS: Final = 64
CLOSING_S: Final = 5.0
"""Seconds that a closing event loop waits for tasks that started while it closed."""


class Tasks:
    """Holds the background tasks of one event loop.

    Args:
        limit: tasks that run at once before a publish from outside any delivery waits.
        flush: writes the outcomes of the tasks that a closing loop has cancelled.
    """

    def __init__(self, limit: int = MAX_TASKS, *, flush: Callable[[], Awaitable[None]] | None = None) -> None:
        self._limit = limit
        self._flush = flush
        self._running: set[asyncio.Task[Any]] = set()
        self._queue = asyncio.Lock()
        self._room = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._loop_end: AsyncGenerator[None, None] | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._running)

    async def admit(self) -> None:
        """Wait while the limit is reached; callers are admitted in the order of their calls.

        Inside a delivery it never waits, because the delivery would wait for itself.
        """
        if self._loop_end is None:
            self._loop_end = self._until_loop_end()
            await anext(self._loop_end)
        if open_delivery() is not None:
            return
        async with self._queue:  # only the first in the queue waits for room
            while len(self._running) >= self._limit:
                self._room.clear()
                await self._room.wait()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Start a task in a context of its own and hold it until it ends.

        Returns None, and closes the coroutine, when the event loop is closing.
        """
        if self._is_closed:
            coroutine.close()
            return None
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._ended)
        if self._keeper is None or self._keeper.done():
            self._keeper = loop.create_task(self._keep())
        return task

    async def drain(self) -> None:
        """Return when every task has ended, including those that start during the wait.

        Raises:
            RuntimeError: called inside a delivery, which would wait for itself.
        """
        if open_delivery() is not None:
            raise RuntimeError("drain() inside a delivery would wait for that delivery itself: call it outside")
        while self._keeper is not None and not self._keeper.done():
            await asyncio.wait({self._keeper})

    def cancel(self) -> None:
        """Cancel the tasks that run; `drain` waits for their ends."""
        for task in self._running:
            task.cancel()

    async def end(self) -> asyncio.CancelledError | None:
        """Return when every task has ended; if the wait is cancelled, cancel them, and return that cancellation.

        Raises:
            RuntimeError: called inside a delivery.
        """
        try:
            await self.drain()
        except asyncio.CancelledError as cancelled:
            self.cancel()
            if self._keeper is not None:
                await asyncio.wait({self._keeper}, timeout=CLOSING_S)
            return cancelled
        return None

    async def _keep(self) -> None:
        """End after the last background task, so that a closing loop waits for all of them and for their outcomes.

        `asyncio.run` cancels the tasks of the loop and waits for those alone: tasks that these start while they end
        would be destroyed.
        """
        try:
            while self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    while self._running:
                        await asyncio.wait(self._running)
                    if self._flush is not None:
                        await self._flush()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)

    async def _until_loop_end(self) -> AsyncGenerator[None, None]:
        """Cancel the tasks of a publisher that was cancelled by the closing loop: they started too late for `_keep`.

        After its tasks `asyncio.run` closes the asynchronous generators, of which this is one.
        """
        try:
            yield
        finally:
            self._is_closed = True
            self.cancel()
            if self._running:
                await asyncio.wait(self._running)


# Threads for plain background handlers

_thread_slots: Final = PerLoop(lambda: asyncio.Semaphore(MAX_THREADS))


def thread_for(handler: Handler) -> AbstractAsyncContextManager[None]:
    """Wait until a thread is free for a plain background handler; any other handler needs none.

    An event loop runs at most 64 such handlers at once. The time limit of a handler starts inside this block, so that
    waiting for a thread does not count against it. An abandoned thread frees its slot.
    """
    return _thread_slots.here() if handler.is_threaded else nullcontext()


async def in_thread(function: Callable[..., Any], argument: object) -> Any:
    """Call a plain function in a daemon thread, within this context, and return its result or raise its error.

    The process may end while a daemon thread runs; it would wait for a thread of `asyncio.to_thread`. A cancelled
    caller abandons the call.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    outcome: list[tuple[Any, BaseException | None]] = []
    """Emptied when it is read: the frames of the error's traceback hold it, and would keep all that they hold alive."""
    context = copy_context()

    def work() -> None:
        try:
            outcome.append((context.run(function, argument), None))
        except BaseException as raised:  # noqa: BLE001 - it is raised where the call is awaited
            outcome.append((None, raised))
        with suppress(RuntimeError):  # the loop is closed: nothing waits
            loop.call_soon_threadsafe(_settle, ended, outcome)

    threading.Thread(target=work, name="craft-events-handler", daemon=True).start()
    await ended
    result, error = outcome.pop()
    try:
        if error is not None:
            raise error
        return result
    finally:
        del error  # its traceback holds this frame


def _settle(ended: asyncio.Future[None], outcome: list[tuple[Any, BaseException | None]]) -> None:
    if not ended.done():
        ended.set_result(None)
    elif inspect.iscoroutine(result := outcome.pop()[0]):
        result.close()
