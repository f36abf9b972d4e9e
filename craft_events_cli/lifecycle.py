"""How a run ends: signals, a coroutine's event loop, and the reader of a pipe that has gone."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode, Terminated

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


class Stop:
    """The first SIGINT or SIGTERM asks the run to end; the second ends the process at once.

    Args:
        say: writes a line to stderr, above the progress.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        import asyncio  # here, since no help page needs it

        self._say = say
        self.event = asyncio.Event()
        self.exit_code: ExitCode | None = None
        self._loop = asyncio.get_running_loop()
        for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                self._loop.remove_signal_handler(number)
                signal.signal(number, partial(self._hear, code))

    def _hear(self, code: ExitCode, _number: int, _frame: FrameType | None) -> None:
        """Ask the run to end; called between two steps of whatever runs, so that a loop that is blocked hears too."""
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)
        self.exit_code = code
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        self.event.set()
        self._say("stopping: what is running gets its time; once more ends at once")


def leave(code: ExitCode) -> None:
    """End the process beside a handler that never ends: everything else is stored and said, and a loop would wait."""
    with suppress(terminal.StdoutClosed, terminal.StdoutFailed):
        terminal.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def while_read() -> Iterator[None]:
    """End the block when the reader of a pipe goes away, even while there is nothing to write.

    A pipe whose reader has gone is reported as readable at its writing end (poll(2), POLLERR).

    Raises:
        StdoutClosed: it has gone.
    """
    import asyncio  # here, since no help page needs it

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    descriptor = _pipe()
    has_gone = False

    def end() -> None:
        nonlocal has_gone
        has_gone = True
        loop.remove_reader(descriptor)
        if task is not None:
            task.cancel()

    if descriptor >= 0:
        loop.add_reader(descriptor, end)
    try:
        yield
    except asyncio.CancelledError:
        if has_gone and task is not None and not task.uncancel():
            raise terminal.StdoutClosed from None
        raise
    finally:
        if descriptor >= 0:
            loop.remove_reader(descriptor)


def _pipe() -> int:
    """Return the descriptor of stdout where it is a pipe, else -1."""
    with suppress(OSError, ValueError, AttributeError):
        descriptor = terminal.stdout().fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else -1
    return -1
