"""The end of a run: signals, the event loop, and a pipe whose reader has gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any, Final, TypeVar

from craft_events_cli import terminal
from craft_events_cli.data_stream import StdoutClosed, StdoutFailed
from craft_events_cli.errors import ExitCode, Terminated

T = TypeVar("T")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a run."""
THREADS_S: Final = 0.5
"""Seconds that threads which a handler left behind get to end."""
LOST_AFTER: Final = 6.0
"""Seconds after which a cancellation without effect counts as lost: longer than a last write to the log may take.

Before Python 3.12 `asyncio.wait_for`, which drivers use for each message, can lose one:
https://github.com/python/cpython/issues/86296
"""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own and return its result.

    The first SIGINT, SIGTERM or SIGHUP cancels it, so that `finally` blocks are run; the second ends the process at
    once. A coroutine that wants to end in its own way sets handlers of its own on the loop.

    Raises:
        KeyboardInterrupt: SIGINT came (`asyncio.Runner` sees to it).
        Terminated: SIGTERM or SIGHUP came.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
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
    from concurrent.futures import ThreadPoolExecutor

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(coroutine)
    came: list[int] = []

    def terminate(number: int) -> None:
        came.append(number)
        for one in endings():
            signal.signal(one, signal.SIG_DFL)
        task.cancel()
        once_more()

    def once_more() -> None:
        loop.call_later(LOST_AFTER, task.cancel)

    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in endings():  # not by the loop: it forgets a signal whose handler is replaced before it looks
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(terminate, number))
        _on_interrupt(lambda: loop.call_soon_threadsafe(once_more))
    executor = ThreadPoolExecutor()
    loop.set_default_executor(executor)
    try:
        return await task
    except asyncio.CancelledError:
        if came:
            raise Terminated(came[0]) from None
        raise
    finally:
        loop.set_default_executor(ThreadPoolExecutor())  # the end of the loop waits for the threads of its executor
        executor.shutdown(wait=False, cancel_futures=True)


def _on_interrupt(also: Callable[[], object]) -> None:
    """Call `also` when SIGINT comes, before `asyncio.Runner` cancels the task."""
    cancel = signal.getsignal(signal.SIGINT)
    if not callable(cancel):
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: it has ended
            also()
        cancel(number, frame)

    signal.signal(signal.SIGINT, interrupt)


class Stop:
    """The first SIGINT, SIGTERM or SIGHUP asks the run to end; the second ends the process at once.

    Args:
        note: writes a line to stderr, above the progress.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        import asyncio  # here, since no help page needs it

        self._note = note
        self.event = asyncio.Event()
        self.exit_code: ExitCode | None = None
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, *endings()):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Ask the run to end; Python calls this between two instructions, so that a blocked loop cannot delay it."""
        for one in (signal.SIGINT, *endings()):
            signal.signal(one, signal.SIG_DFL)
        self.exit_code = ExitCode(128 + number)
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        self.event.set()
        self._note("stopping: running handlers get their grace time; a second signal ends the run at once")


def endings() -> list[signal.Signals]:
    """Return SIGTERM, and SIGHUP unless it is ignored, as `nohup` has it."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM] if is_ignored else [signal.SIGTERM, signal.SIGHUP]


def reset_signals_in_forks() -> None:
    """Have processes that handlers fork begin without the signal handlers and the wake-up descriptor of this one.

    Otherwise `terminate()` on such a process would be reported to the event loop of this one, and end it. Signals wait
    meanwhile, or one that comes before the reset would be lost.
    """
    os.register_at_fork(before=_block_signals, after_in_parent=_unblock_signals, after_in_child=_reset_signals)


def _block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in endings():
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _unblock_signals()


def threads_end() -> bool:
    """Return whether all threads end at once that would keep the process: those of handlers may never do so."""
    deadline = time.monotonic() + THREADS_S
    while lasting := [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]:
        if time.monotonic() > deadline:
            return False
        lasting[0].join(deadline - time.monotonic())
    return True


def leave(code: int) -> None:
    """End the process although a handler never ends: all outcomes are stored and reported, and a loop would wait."""
    with suppress(StdoutClosed, StdoutFailed):
        terminal.flush()
    sys.stderr.flush()
    os._exit(code)


def end_what_hangs(text: str, *, remark: str) -> None:
    """End a process whose loop is blocked past every limit: nothing else can. Called from another thread."""
    terminal.error(text)
    terminal.note(f"this run ends here; {remark}")
    os._exit(ExitCode.UNFINISHED)


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
            raise StdoutClosed from None
        raise
    finally:
        if descriptor >= 0:
            loop.remove_reader(descriptor)


def _pipe() -> int:
    """Return the descriptor of stdout where it is a pipe, else -1."""
    return terminal.stdout().fileno() if terminal.is_pipe(terminal.stdout()) else -1
