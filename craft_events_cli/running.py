"""Run a command's coroutine, with the two signals that end it."""

from __future__ import annotations

import signal
from collections.abc import Coroutine
from contextlib import closing, suppress
from typing import Any, TypeVar

from craft_events_cli.exit_codes import Terminated

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own and return its result.

    The first SIGINT or SIGTERM cancels it, so that `finally` blocks are run; the second ends the process at once. A
    coroutine that wants to end in its own way sets handlers of its own on the loop.

    Raises:
        KeyboardInterrupt: SIGINT came (`asyncio.Runner` sees to it).
        Terminated: SIGTERM came.
    """
    before = signal.getsignal(signal.SIGTERM)
    with closing(coroutine), closing(_until_sigterm(coroutine)) as running:  # a signal may come before they begin
        import asyncio  # here, since no help page needs it

        try:
            return asyncio.run(running)
        finally:
            with suppress(ValueError):
                signal.signal(signal.SIGTERM, before)


async def _until_sigterm(coroutine: Coroutine[Any, Any, T]) -> T:
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

    with suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if has_come:
            raise Terminated from None
        raise
