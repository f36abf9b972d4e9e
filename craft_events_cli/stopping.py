"""Ending what has work in flight: the first signal asks, the second ends the process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode


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
