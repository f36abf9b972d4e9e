"""A command line on a terminal: stdin and stderr are the terminal, stdout is a pipe."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.conditions import until


@dataclass(slots=True)
class Person:
    """Reads the output of a command, and answers it."""

    process: subprocess.Popen[bytes]
    terminal: int
    said: str = ""
    _heard: list[bytes] = field(default_factory=list)

    def waits_for(self, text: str) -> None:
        """Wait until the command has printed this."""
        until(lambda: text in self._listen())

    def types(self, text: str) -> None:
        """Type a text; a newline is Enter."""
        os.write(self.terminal, text.encode())

    def ended(self) -> tuple[int, str]:
        """Wait for the end and return the exit code and stdout."""
        out, _ = self.process.communicate(timeout=60)
        self._listen()
        return self.process.returncode, out.decode()

    def _listen(self) -> str:
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                self._heard.append(os.read(self.terminal, 65_536))
            except OSError:  # Linux reports the end of the other side as an error
                break
        self.said = b"".join(self._heard).decode(errors="replace")
        return self.said


@contextmanager
def at_a_terminal(start: Callable[..., subprocess.Popen[bytes]], *args: str) -> Iterator[Person]:
    """Start a command line; it is killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    process = start(*args, stdin=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        yield Person(process, ours)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        os.close(ours)
