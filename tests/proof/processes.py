"""Starts the processes of the proof, and ends only those.

Each has an alarm: the system ends it after a time, also if its starter is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from tests.proof import goods, ledger
from tests.support import kill

ROOT: Final = Path(__file__).parents[2]
LEASH_S: Final = 300
_LEASHED: Final = "import os, signal, sys; signal.alarm({}); os.execv(sys.argv[1], sys.argv[1:])"
"""An alarm survives exec, and no process here has a handler for it."""


class Process:
    """A process with a name in the ledger.

    Attributes:
        alive_at: the last time at which it was alive before it was killed from here, by the ledger's clock.
        seen_at: the time at which it was found to have ended.
    """

    def __init__(self, name: str, inner: asyncio.subprocess.Process, said: Path) -> None:
        self.name = name
        self.pid = inner.pid
        self.said = said
        self.alive_at = self.seen_at = 0
        self._inner = inner

    @property
    def is_killed(self) -> bool:
        """True if it was ended by SIGKILL."""
        return self._inner.returncode == -signal.SIGKILL

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._inner.returncode

    async def wait(self, within: float | None = None) -> bool:
        """Return whether it ended in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._inner.wait()
                self.seen_at = self.seen_at or ledger.now()
        return self.code is not None

    async def kill(self) -> None:
        """Kill it if it still runs."""
        if self.code is None:
            self.alive_at = ledger.now()
        self.tell(signal.SIGKILL)
        await self.wait()

    async def end(self, within: float) -> None:
        """Stop it with SIGTERM; kill it if it does not end in time."""
        self.tell(signal.SIGTERM)
        if not await self.wait(within):
            await self.kill()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal if it still runs."""
        if self.code is None:
            with suppress(ProcessLookupError):
                self._inner.send_signal(number)


class Processes:
    """The processes that work on one database.

    Args:
        directory: for the ledger and the output of the processes.
        environment: variables for all of them.
        is_weak: their writes do not wait for the journal, so that a killed server loses acknowledged writes.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], *, is_weak: bool = False) -> None:
        self.ledger = directory / "ledger"
        self._said = directory / "said"
        self._environment = {**os.environ, **environment, ledger.DIRECTORY: str(self.ledger)}
        self._is_weak = is_weak
        self._numbers = count(1)
        self.all: list[Process] = []
        self.leash_s = LEASH_S
        """The lifetime in seconds of the processes that are started from now on."""
        for one in (self.ledger, self._said):
            one.mkdir(parents=True)

    async def publisher(self, *, seed: int, lease: float, kill_at: str = "") -> Process:
        """Start a process that publishes until it is stopped."""
        module = "tests.proof.weak" if self._is_weak else "tests.proof.publisher"
        start = ["tests.proof.publisher"] if self._is_weak else []
        return await self._start("publisher", [sys.executable, "-m", module, *start, str(seed), str(lease)], kill_at)

    async def redispatch(self, *options: str, lease: float, kill_at: str = "") -> Process:
        """Start a worker with the command line."""
        program = [str(Path(sys.executable).with_name("craft-events"))]
        if self._is_weak:
            program = [sys.executable, "-m", "tests.proof.weak", "craft_events_cli.app"]
        arguments = ["redispatch", "-m", goods.MODULE, "-o", "ndjson", "--lease", str(lease), *options]
        return await self._start("worker", [*program, *arguments], kill_at)

    async def _start(self, role: str, command: Iterable[str], kill_at: str) -> Process:
        name = f"{role}-{next(self._numbers)}"
        said = self._said / name
        environment = {**self._environment, ledger.NAME: name}
        if kill_at:
            environment |= kill.armed(kill_at)
        with said.open("wb") as file:
            leash = [sys.executable, "-ISc", _LEASHED.format(self.leash_s)]
            inner = await asyncio.create_subprocess_exec(
                *leash, *command, cwd=ROOT, env=environment, stdin=asyncio.subprocess.PIPE, stdout=file, stderr=file
            )
        process = Process(name, inner, said)
        self.all.append(process)
        return process

    async def end(self) -> None:
        """Kill the processes that still run."""
        for process in self.all:
            await process.kill()
