"""A server of a test's own, which can be killed, restarted on its data, and frozen.

It is SecantusDB in its own process on 127.0.0.1, as in the embedded log, with the options that a test needs.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pymongo import MongoClient

from craft_easy.core.events.embedded.server import find_program, is_answering
from tests.support.conditions import until

TEST_COMMANDS: Final = "--enable-test-commands"
STANDALONE: Final = "--standalone"
START_S: Final = 60.0
SKEWED: Final = Path(__file__).with_name("skewed")
LEASH_S: Final = 300
_LEASHED: Final = "import os, signal, sys; signal.alarm({}); os.execv(sys.argv[1], sys.argv[1:])"
"""The system ends it after a time, also if the tests are killed: an alarm survives exec."""


class Server:
    """A server on a directory; it runs while the block runs.

    Args:
        directory: the directory of its data.
        options: options of its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}/?directConnection=true"

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "server.toml").touch()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self, *, skew_s: float = 0) -> None:
        """Start it, on the same port as before, and return when it answers.

        Args:
            skew_s: seconds by which its time of day is ahead of this machine's.
        """
        settings = ["--config", "server.toml", "--host", "127.0.0.1", "--port", str(self._port)]
        leash = [sys.executable, "-ISc", _LEASHED.format(LEASH_S)]
        clock = {"PYTHONPATH": str(SKEWED), "CLOCK_SKEW_S": str(skew_s)} if skew_s else {}
        with (self._directory / "server.log").open("ab") as said:
            self._process = subprocess.Popen(
                [*leash, *find_program(), *settings, "--storage-path", "data", *self._options],
                cwd=self._directory,
                env={**os.environ, **clock},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        until(self.answers, seconds=START_S)

    def answers(self) -> bool:
        """Return whether it answers."""
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "server.log").read_text()
        return is_answering(self._port, 1)

    def restart(self, *, skew_s: float = 0) -> None:
        """Kill it, and restart it on its data."""
        self.kill()
        self.start(skew_s=skew_s)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it with SIGSTOP, and return when it has stopped: connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Resume it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def fail(self, *commands: str, times: int = 1, **what: Any) -> None:
        """Make the next of these commands fail with its `failCommand`; needs `TEST_COMMANDS`."""
        data = {"failCommands": list(commands), **what}
        with MongoClient[dict[str, Any]](self.uri) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})


def _free_port() -> int:
    """Return a port that stays free while the server is down: the system gives none of this range to others."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
