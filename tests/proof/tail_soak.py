"""A tail whose server is killed repeatedly: no gap, no repeat, and flat memory.

    python -m tests.proof.tail_soak [--seconds N] [--rate N] [--kills N]

Numbered events are stored at a steady rate, each retried until it is acknowledged; the output of `craft-events tail`
is compared with them at the end. Linux only.
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
from tests.support import surroundings
from tests.support.processes import FOLLOWING, STAMP

SECONDS: Final = 600.0
RATE: Final = 200
KILLS: Final = 5
AWAY_S: Final = (5.0, 1.0)
"""The outages of the server in seconds, alternating: the driver itself bridges the shorter ones."""
SETTLED: Final = 0.2
"""The share of the time after which its memory must not grow."""
GROWTH_MIB: Final = 8.0
GROWTH_FILES: Final = 4
CATCH_UP_S: Final = 60.0
AT_ONCE: Final = 500
_TAIL: Final = (sys.executable, "-m", "craft_events_cli", "tail", "-n", "0", "-o", "ndjson")


@dataclass
class Soak:
    """The stored events, the printed events, and the size of the tail during the run."""

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
        """The numbers that were stored and not printed."""
        return [number for number in range(self.stored) if number not in self.seen]

    @property
    def repeated(self) -> list[int]:
        """The numbers that were printed more than once."""
        return [number for number, times in self.seen.items() if times > 1]

    async def run(self, server: Server) -> None:
        """Run for the given time, and then until all events are printed, or no more are."""
        tail = await asyncio.create_subprocess_exec(
            *_TAIL, "--uri", server.uri, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert tail.stdout is not None
        assert tail.stderr is not None
        try:
            while FOLLOWING.encode() not in (line := await tail.stderr.readline()):
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
        while len(self.seen) < self.stored and time.monotonic() < deadline:  # noqa: ASYNC110 - it has to be polled
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
            self.said.append(STAMP.sub("", line.decode().rstrip()))

    async def _measure(self, pid: int) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.seconds / 20))
            self.sizes.append((resident_mib(pid), len(os.listdir(f"/proc/{pid}/fd"))))

    def report(self) -> bool:
        """Print the figures; return whether nothing is missing or repeated and memory is flat."""
        settled = self.sizes[int(len(self.sizes) * SETTLED) :]
        growth = settled[-1][0] - settled[0][0]
        files = max(count for _, count in settled) - min(count for _, count in settled)
        resumed = sum(line.startswith("resumed") for line in self.said)
        print(f"{self.kills_done} kills of the server, resumed {resumed} times; {self.stored:,} events stored")
        print(f"{len(self.seen):,} printed, {len(self.missing)} missing, {len(self.repeated)} repeated")
        print(f"the tail: {settled[0][0]:.1f} MiB, later {settled[-1][0]:.1f} MiB; open files ± {files}")
        return not (self.missing or self.repeated) and growth <= GROWTH_MIB and files <= GROWTH_FILES


async def soak(one: Soak, directory: Path) -> int:
    """Run the soak, print its result, and return 0 if all is well."""
    with Server(directory / "server") as server:
        await one.run(server)
    return int(not one.report())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.proof.tail_soak", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration in seconds (%(default)g)")
    parser.add_argument("--rate", type=int, default=RATE, help="events per second (%(default)s)")
    parser.add_argument("--kills", type=int, default=KILLS, help="how often the server is killed (%(default)s)")
    given = parser.parse_args(arguments)
    surroundings.clear()
    directory = Path(tempfile.mkdtemp(prefix="craft-tail-soak-"))
    code = asyncio.run(soak(Soak(given.seconds, given.rate, given.kills), directory))
    if not code:
        shutil.rmtree(directory)
    return code


if __name__ == "__main__":
    sys.exit(main())
