"""Threads for plain background handlers: at most 64, daemons, started when needed and gone when idle."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final

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
