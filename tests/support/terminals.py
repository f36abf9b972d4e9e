"""A command line with a person before it: stdin and stderr are a terminal, stdout is a pipe."""

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
    """Reads what the command says, and answers."""

    process: subprocess.Popen[bytes]
    terminal: int
    said: str = ""
    _heard: list[bytes] = field(default_factory=list)

    def waits_for(self, text: str) -> None:
        """Wait until the command has said so."""
        until(lambda: text in self._listen())

    def types(self, text: str) -> None:
        """Type, an Enter as a newline."""
        os.write(self.terminal, text.encode())

    def ended(self) -> tuple[int, str]:
        """Wait for the end and return the exit code and what went to stdout."""
        out, _ = self.process.communicate(timeout=30)
        self._listen()
        return self.process.returncode, out.decode()

    def _listen(self) -> str:
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                self._heard.append(os.read(self.terminal, 65_536))
            except OSError:  # Linux says so when the other side is closed
                break
        self.said = b"".join(self._heard).decode(errors="replace")
        return self.said


@contextmanager
def before_a_person(start: Callable[..., subprocess.Popen[bytes]], *args: str) -> Iterator[Person]:
    """Start a command line; what still runs at the end is killed."""
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
