"""A tail that is left running while its server is killed again and again: no gap, no repeat, and it does not grow.

    python -m tests.proof.tail_soak [--seconds N] [--rate N] [--kills N]

Events with numbers are stored at a steady rate, each again until it is acknowledged; what `craft-events tail` writes is
compared with them at the end. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.store import EventStore
from tests.proof.servers import Server
from tests.proof.soak import resident_mib

SECONDS: Final = 600.0
RATE: Final = 200
KILLS: Final = 5
AWAY_S: Final = (5.0, 1.0)
"""So long the server is away, in turns: the driver itself bridges the shorter."""
SETTLED: Final = 0.2
"""The share of the time after which it has what it needs."""
GROWTH_MIB: Final = 8.0
GROWTH_FILES: Final = 4
CATCH_UP_S: Final = 60.0
AT_ONCE: Final = 500
_TAIL: Final = (sys.executable, "-m", "craft_events_cli", "tail", "-n", "0", "-o", "ndjson")


@dataclass
class Soak:
    """What was stored, what came out, and how large the tail was all the while."""

    seconds: float = SECONDS
    rate: int = RATE
    kills: int = KILLS
    stored: int = 0
    seen: Counter[int] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=list)
    kills_done: int = 0

    @property
    def missing(self) -> list[int]:
        """The numbers that were stored and never came out."""
        return [number for number in range(self.stored) if number not in self.seen]

    @property
    def repeated(self) -> list[int]:
        """The numbers that came out more than once."""
        return [number for number, times in self.seen.items() if times > 1]

    async def run(self, server: Server) -> None:
        """Let it run for its time, and then until all has come out, or nothing more does."""
        tail = await asyncio.create_subprocess_exec(
            *_TAIL, "--uri", server.uri, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert tail.stdout is not None
        assert tail.stderr is not None
        try:
            while not (line := await tail.stderr.readline()).startswith(b"following"):
                assert line, "the tail ended"
            async with asyncio.TaskGroup() as group:
                reading = [group.create_task(self._read(tail.stdout)), group.create_task(self._listen(tail.stderr))]
                measuring = group.create_task(self._measure(tail.pid))
                await self._live(server)
                measuring.cancel()
                tail.terminate()
                await asyncio.wait(reading)
        finally:
            if tail.returncode is None:
                tail.kill()
            await tail.wait()

    async def _live(self, server: Server) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kill(server))
            await self._publish(server.uri)
        deadline = time.monotonic() + CATCH_UP_S
        while len(self.seen) < self.stored and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)

    async def _publish(self, uri: str) -> None:
        began = time.monotonic()
        total, slots = int(self.seconds * self.rate), asyncio.Semaphore(AT_ONCE)
        async with EventStore(uri=uri, timeout=5) as store, asyncio.TaskGroup() as group:
            for number in range(total):
                await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                await slots.acquire()
                group.create_task(self._store(store, number, slots))
        self.stored = total

    async def _store(self, store: EventStore, number: int, slots: asyncio.Semaphore) -> None:
        event = DomainEvent(event_type="soak.tick", tenant_id=f"tenant_{number % 30}", payload={"number": number})
        while True:
            try:
                await store.append(event)
            except StoreUnavailable:
                await asyncio.sleep(0.2)
            else:
                slots.release()
                return

    async def _kill(self, server: Server) -> None:
        for number in range(self.kills):
            await asyncio.sleep(self.seconds / (self.kills + 1))
            await server.kill(AWAY_S[number % len(AWAY_S)])
            self.kills_done += 1

    async def _read(self, out: asyncio.StreamReader) -> None:
        while line := await out.readline():
            self.seen[json.loads(line)["payload"]["number"]] += 1

    async def _listen(self, err: asyncio.StreamReader) -> None:
        while line := await err.readline():
            self.said.append(line.decode().rstrip())

    async def _measure(self, pid: int) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.seconds / 20))
            self.sizes.append((resident_mib(pid), len(os.listdir(f"/proc/{pid}/fd"))))

    def report(self) -> bool:
        """Print the figures; tell whether all is as it must be."""
        settled = self.sizes[int(len(self.sizes) * SETTLED) :]
        growth = settled[-1][0] - settled[0][0]
        files = max(count for _, count in settled) - min(count for _, count in settled)
        resumed = sum(line.startswith("resumed") for line in self.said)
        print(f"{self.kills_done} kills of the server, {resumed} times resumed; {self.stored:,} events stored")
        print(f"{len(self.seen):,} came out, {len(self.missing)} missing, {len(self.repeated)} repeated")
        print(f"the tail: {settled[0][0]:.1f} MiB, later {settled[-1][0]:.1f} MiB; open files ± {files}")
        return not (self.missing or self.repeated) and growth <= GROWTH_MIB and files <= GROWTH_FILES


async def soak(one: Soak, directory: Path) -> int:
    """Run it, say what came of it, and return 0 where all is as it must be."""
    with Server(directory / "server") as server:
        await one.run(server)
    return int(not one.report())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.proof.tail_soak", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (%(default)g)")
    parser.add_argument("--rate", type=int, default=RATE, help="events a second (%(default)s)")
    parser.add_argument("--kills", type=int, default=KILLS, help="how often the server is killed (%(default)s)")
    given = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="craft-tail-soak-"))
    code = asyncio.run(soak(Soak(given.seconds, given.rate, given.kills), directory))
    if not code:
        shutil.rmtree(directory)
    return code


if __name__ == "__main__":
    sys.exit(main())
