"""Background tasks, held strongly and awaited by `drain`; threads for plain background handlers."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import queue
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar, copy_context
from types import FrameType
from typing import Any, Final

from craft_easy.core.events.handlers import stack
from craft_easy.core.events.handlers.context import open_scope

log: Final = logging.getLogger("craft_easy.core.events")

MAX_TASKS: Final = 10_000


class _Own:
    """Stands in a task's context for the task itself, which is made a moment later."""

    task: asyncio.Task[Any] | None = None


_own: Final[ContextVar[_Own | None]] = ContextVar("craft_easy.core.events.own_task", default=None)


class Tasks:
    """Holds the background tasks of the running loop.

    Args:
        limit: so many run at once before a publish from outside any delivery waits.
    """

    def __init__(self, limit: int = MAX_TASKS) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[Any]] = set()
        self._admissions: deque[asyncio.Future[None]] = deque()
        self._drains: list[asyncio.Future[None]] = []
        self._draining: Counter[asyncio.Task[Any]] = Counter()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def is_full(self) -> bool:
        return len(self._running) >= self._limit or bool(self._admissions)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Start a task and hold it until it ends; return None, and close the coroutine, when the loop is closing."""
        loop = asyncio.get_running_loop()
        if is_closing(loop):
            coroutine.close()
            return None
        outer, own = _own.get(), _Own()
        _own.set(own)
        try:
            task = own.task = loop.create_task(coroutine)
        finally:
            _own.set(outer)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def admit(self) -> None:
        """Wait while the limit is reached, in the order of asking.

        Inside a delivery it never waits: that would be a wait for oneself.
        """
        if not self.is_full or open_scope() is not None or stack.innermost() is not None:
            return
        turn = self._turn(self._admissions.append)
        try:
            await turn
            while len(self._running) >= self._limit:  # somebody inside a delivery was quicker
                turn = self._turn(self._admissions.appendleft)
                await turn
        except asyncio.CancelledError:
            if turn in self._admissions:
                self._admissions.remove(turn)
            self._wake()
            raise
        asyncio.get_running_loop().call_soon(self._wake)  # there may be room for the next one too

    def _turn(self, queue: Callable[[asyncio.Future[None]], None]) -> asyncio.Future[None]:
        turn = asyncio.get_running_loop().create_future()
        queue(turn)
        return turn

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the design's word
        """Return when every task has ended, those included that start meanwhile.

        Called in one of them, it leaves that one out, and those that drain as well.

        Raises:
            TimeoutError: some still run after `timeout` seconds; they go on.
        """
        own = self._own_task()
        if own is not None:
            self._draining[own] += 1
            self._wake()
        try:
            async with asyncio.timeout(timeout):
                while self._is_busy(own):
                    await self._until_idle()
        except TimeoutError:
            raise TimeoutError(f"{len(self._running)} background tasks still run after {timeout:g} s") from None
        finally:
            if own is not None:
                self._draining -= Counter({own: 1})

    def forget(self) -> None:
        """Let go of what a closed loop left behind; each coroutine is closed, so that its `finally` clauses run."""
        for task in self._running:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it ends here and now
            try:
                coroutine = task.get_coro()
                if isinstance(coroutine, Coroutine):
                    coroutine.close()
            except BaseException:
                log.exception("a background task of a closed loop could not be closed")
        self._running = set()

    def _own_task(self) -> asyncio.Task[Any] | None:
        own = _own.get()
        return own.task if own is not None and own.task in self._running else None

    def _is_busy(self, own: asyncio.Task[Any] | None) -> bool:
        return len(self._running) > (0 if own is None else len(self._draining))

    async def _until_idle(self) -> None:
        idle = asyncio.get_running_loop().create_future()
        self._drains.append(idle)
        try:
            await idle
        finally:
            if idle in self._drains:
                self._drains.remove(idle)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task broke off", exc_info=error)
        if self._admissions or self._drains:
            self._wake()

    def _wake(self) -> None:
        if self._admissions and len(self._running) < self._limit:
            turn = self._admissions.popleft()
            if not turn.done():
                turn.set_result(None)
        if len(self._running) <= len(self._draining):
            drains, self._drains = self._drains, []
            for idle in drains:
                if not idle.done():
                    idle.set_result(None)


def is_closing(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop is being shut down: a task that is started now would never end.

    asyncio has no word for it. `asyncio.run` first cancels every task from `_cancel_all_tasks`, whose frame is then
    below that of each task that runs, and after that shuts down the asynchronous generators.
    """
    if getattr(loop, "_asyncgens_shutdown_called", False):
        return True
    task = asyncio.current_task(loop)
    return task is not None and task.cancelling() > 0 and _is_run_by("_cancel_all_tasks")


def _is_run_by(name: str) -> bool:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to look down the stack
    while frame is not None and frame.f_code.co_name != name:
        frame = frame.f_back
    return frame is not None


# Threads for plain background handlers: at most 64, daemons, started when needed and gone when idle

MAX_THREADS: Final = 64
IDLE_S: Final = 10.0
"""A thread that had nothing to do for so long ends."""


class Threads:
    """Runs calls in daemon threads, which do not keep the process from ending.

    `concurrent.futures` has none: its threads are joined at exit, and a handler that never returns would hang it.
    """

    def __init__(self, limit: int = MAX_THREADS, *, idle_s: float = IDLE_S) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._alive = 0

    def __len__(self) -> int:
        return self._alive

    def submit(self, call: Callable[[], None]) -> None:
        """Have a call run soon; it must not raise."""
        with self._lock:
            self._calls.put(call)
            if self._idle:
                self._idle -= 1
                return
            if self._alive >= self._limit:
                return
            self._alive += 1
        threading.Thread(target=self._work, name="craft-events-handler", daemon=True).start()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()
            del call  # what it holds must not live on while the thread is idle
            with self._lock:
                self._idle += 1

    def _next(self) -> Callable[[], None] | None:
        while True:
            with suppress(queue.Empty):
                return self._calls.get(timeout=self._idle_s)
            with self._lock:
                if self._calls.empty():
                    self._idle -= 1
                    self._alive -= 1
                    return None


_threads = Threads()


async def in_thread(function: Callable[..., Any], argument: object) -> Any:
    """Call a plain function in a thread, within this context, and return what it returned or raise what it raised.

    Whoever gives up waiting abandons the call; one that has not begun by then never does.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = copy_context()

    def call() -> None:
        if ended.cancelled():
            return
        result, error = None, None
        try:
            result = context.run(function, argument)
        except BaseException as raised:  # noqa: BLE001 - it is raised where the call is awaited
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(functools.partial(_settle, ended, result, error))

    _threads.submit(call)
    result, error = await ended
    if error is not None:
        raise error
    return result


def _settle(ended: asyncio.Future[tuple[Any, BaseException | None]], result: Any, error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result((result, error))
    elif inspect.iscoroutine(result):
        result.close()


def _begin_anew() -> None:
    """Forget the threads after a fork: only the one that forked goes on in the child."""
    global _threads
    _threads = Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
