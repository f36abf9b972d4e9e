"""Run a command's coroutine, with the two signals that end it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from types import FrameType
from typing import Any, Final, TypeVar

from craft_events_cli.errors import Terminated

T = TypeVar("T")

LOST_AFTER: Final = 1.0
"""Seconds after which a cancellation that ended nothing is taken for lost.

Before Python 3.12 `asyncio.wait_for`, which drivers use for each message, can lose one:
https://github.com/python/cpython/issues/86296
"""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own and return its result.

    The first SIGINT or SIGTERM cancels it, so that `finally` blocks are run; the second ends the process at once. A
    coroutine that wants to end in its own way sets handlers of its own on the loop.

    Raises:
        KeyboardInterrupt: SIGINT came (`asyncio.Runner` sees to it).
        Terminated: SIGTERM came.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with closing(coroutine), closing(_until_signal(coroutine)) as running:  # a signal may come before they begin
        import asyncio  # here, since no help page needs it

        try:
            return asyncio.run(running)
        finally:
            for number, handler in before.items():
                with suppress(ValueError, TypeError):
                    signal.signal(number, handler)


async def _until_signal(coroutine: Coroutine[Any, Any, T]) -> T:
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(coroutine)
    has_come = False

    def terminate() -> None:
        nonlocal has_come
        has_come = True
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        task.cancel()
        once_more()

    def once_more() -> None:
        loop.call_later(LOST_AFTER, task.cancel)

    with suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, terminate)
        _hear_interrupt(lambda: loop.call_soon_threadsafe(once_more))
    try:
        return await task
    except asyncio.CancelledError:
        if has_come:
            raise Terminated from None
        raise


def _hear_interrupt(also: Callable[[], object]) -> None:
    """Do something else too when SIGINT comes and `asyncio.Runner` cancels the task."""
    cancel = signal.getsignal(signal.SIGINT)
    if not callable(cancel):
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: it has ended
            also()
        cancel(number, frame)

    signal.signal(signal.SIGINT, interrupt)
