"""Watching workers, killed every few seconds under a live publisher: nothing is lost, and nothing grows.

    python -m tests.proof.soak [--seconds N]

One worker is never killed: its memory and its file descriptors are measured during the run. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.proof import verdict
from tests.proof.plans import Plan
from tests.proof.processes import Process
from tests.proof.rounds import LEASE, LIVE, STOP_S, Result, Round, Victim
from tests.proof.servers import Server
from tests.support import surroundings

SECONDS: Final = 300
VICTIMS: Final = 2
LIVES_S: Final = (1.5, 5.0)
"""The lifetime of a worker before it is killed."""
SETTLED: Final = 0.2
"""The share of the time after which the memory of the surviving worker must not grow."""
GROWTH_MIB: Final = 8.0
GROWTH_FILES: Final = 4


class Soak(Round):
    """A round of a given duration."""

    def __init__(self, seconds: float, server: Server, directory: Path) -> None:
        super().__init__(Plan((), int(time.time())), server, directory, lambda _: None)
        self._until = time.monotonic() + seconds
        self._processes.leash_s = int(seconds) + 600
        self.sizes: list[tuple[float, int]] = []
        """Memory in MiB and open files of the worker that is not killed, sampled repeatedly."""

    async def _live(self) -> None:
        witness = await self._processes.redispatch(*LIVE, lease=LEASE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(self._measure(witness))
            for _ in range(VICTIMS):
                group.create_task(self._kill_workers())
        await witness.end(STOP_S)
        if witness.code != 143:
            self._trouble(witness, f"the surviving worker ended with {witness.code}")

    @property
    def _has_time(self) -> bool:
        return time.monotonic() < self._until

    async def _publish(self) -> None:
        while self._has_time:
            publisher = await self._publisher()
            while self._has_time and not await publisher.wait(1.0):
                continue
            await publisher.end(STOP_S)

    async def _kill_workers(self) -> None:
        while self._has_time:
            worker = await self._processes.redispatch(*LIVE, lease=LEASE)
            await worker.wait(self._chance.uniform(*LIVES_S))
            await worker.kill()
            self._victims.append(Victim(worker.name, "at random"))
            await self._end_transactions(worker)
            await self._look()

    async def _measure(self, witness: Process) -> None:
        while self._has_time and not await witness.wait(1.0):
            self.sizes.append((resident_mib(witness.pid), len(os.listdir(f"/proc/{witness.pid}/fd"))))


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(seconds: float, directory: Path) -> int:
    """Run the soak, print its result, and return 0 if no rule is broken."""
    with Server(directory / "server") as server:
        one = Soak(seconds, server, directory / "soak")
        result = await one.run()
    for finding in result.findings:
        print(finding, file=sys.stderr)
    return int(bool(result.findings)) | int(not said(result, one.sizes))


def said(result: Result, sizes: Sequence[tuple[float, int]]) -> bool:
    """Print the figures; return whether the surviving worker did not grow."""
    acknowledged = sum(line.kind == "acknowledged" for line in result.history.lines)
    alive = len(verdict.taken_over_alive(result.history))
    settled = sizes[int(len(sizes) * SETTLED) :]
    growth = settled[-1][0] - settled[0][0]
    files = max(count for _, count in settled) - min(count for _, count in settled)
    print(
        f"{len(result.victims)} workers killed, {acknowledged:,} events acknowledged, {len(result.findings)} findings"
    )
    print(f"{alive} were taken over while they lived, silent for longer than their lease of {LEASE:g} s")
    print(f"the surviving worker: {settled[0][0]:.1f} MiB, later {settled[-1][0]:.1f} MiB; open files ± {files}")
    return growth <= GROWTH_MIB and files <= GROWTH_FILES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.proof.soak", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration (%(default)s)")
    given = parser.parse_args(arguments)
    surroundings.clear()
    directory = Path(tempfile.mkdtemp(prefix="craft-soak-"))
    code = asyncio.run(soak(given.seconds, directory))
    if not code:
        shutil.rmtree(directory)
    return code


if __name__ == "__main__":
    sys.exit(main())
