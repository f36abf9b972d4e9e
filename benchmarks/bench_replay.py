"""Replay to NDJSON compared with a bare PyMongo cursor with `pydantic_core.to_json`, and a check for flat memory.

    python benchmarks/bench_replay.py [--events N] [--rounds N] [--memory N]

Both read the same records and write them to the same kind of file; they alternate, and a cell is the median of the
rounds. The canned server answers from memory, so that only the client's cost is measured; the embedded log is a real
server. Memory is the peak of `craft-events replay` over the canned server, at 100,000 events and at `--memory` of them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pydantic_core
from pymongo import MongoClient

from benchmarks import memory
from benchmarks.canned import Canned
from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.history.reading import history
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.formats.event_json import lines

LIMIT = 1.4
MEMORY_LIMIT = 64 << 20
FEW = 100_000


def bare(uri: str, out: BinaryIO) -> int:
    """Write the documents of a cursor unchanged."""
    count = 0
    with MongoClient(uri) as client:
        for record in client.craft_easy.event_log.find().sort([("timestamp", 1), ("event_id", 1)]):
            out.write(pydantic_core.to_json(record, fallback=str))
            out.write(b"\n")
            count += 1
    return count


def replay(uri: str, out: BinaryIO) -> int:
    """Write Event JSON, as `craft-events replay -o ndjson` does."""

    async def run() -> int:
        count = 0
        async with EventStore(uri=uri) as store:
            async for page in history(store, Selection()):
                out.write(lines(page))
                count += len(page)
        return count

    return asyncio.run(run())


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=30_000, help="how many events each reads (30,000)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each reads them (7)")
    parser.add_argument("--memory", type=int, default=1_000_000, help="events of the longer run (1,000,000)")
    chosen = parser.parse_args(argv)
    print(f"{'':44}{'floor µs':>9}{'µs':>9}{'ratio':>9}{'limit':>8}")
    is_good = True
    for name, opened in (
        ("canned server, untracked", lambda: canned(chosen.events, None)),
        ("canned server, three handlers", lambda: canned(chosen.events, 3)),
        ("embedded log, untracked", lambda: stored(chosen.events)),
    ):
        with opened() as uri:
            is_good &= report(name, uri, chosen.events, chosen.rounds)
    return 0 if report_memory(chosen.memory) and is_good else 1


@contextmanager
def canned(events: int, handlers: int | None) -> Iterator[str]:
    """Return the address of a canned server."""
    with Canned(records=events, handlers=handlers) as server:
        yield server.uri


@contextmanager
def stored(count: int) -> Iterator[str]:
    """Return the address of an embedded log with this number of events."""
    began = datetime(2026, 1, 31, tzinfo=UTC)
    events = (
        DomainEvent(
            event_type="payment.completed",
            timestamp=began + timedelta(seconds=number),
            tenant_id=f"tenant_{number % 30}",
            actor_id=f"user_{number % 77}",
            payload={"payment_id": f"p_{number}", "amount": number / 4, "currency": "EUR", "items": [1, 2, 3]},
        )
        for number in range(count)
    )
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:

        async def store() -> None:
            async with EventStore(uri=log.uri) as target:
                await target.append_many(events)

        asyncio.run(store())
        yield log.uri


def report(name: str, uri: str, events: int, rounds: int) -> bool:
    """Measure and print one row; return whether its limit was met."""
    floor, ours = measured(uri, events, rounds)
    ratio = statistics.median(one / other for one, other in zip(ours, floor, strict=True))
    cells = [statistics.median(seconds) / events * 1e6 for seconds in (floor, ours)]
    print(f"{name:44}{cells[0]:9.2f}{cells[1]:9.2f}{ratio:9.2f}{LIMIT:8.2f}{'' if ratio <= LIMIT else '  missed'}")
    return ratio <= LIMIT


def measured(uri: str, events: int, rounds: int) -> tuple[list[float], list[float]]:
    """Run both alternately and return the seconds of each round; the first round is not counted."""
    floor: list[float] = []
    ours: list[float] = []
    for number in range(rounds + 1):
        for read, seconds in ((bare, floor), (replay, ours)):
            spent = timed(read, uri, events)
            if number:
                seconds.append(spent)
    return floor, ours


def timed(read: Callable[[str, BinaryIO], int], uri: str, events: int) -> float:
    """Return the seconds for reading all events and writing them to a file."""
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        count = read(uri, out)
        spent = time.perf_counter() - began
    assert count == events, f"{count} of {events} events were read"
    return spent


def report_memory(many: int) -> bool:
    """Print the peaks of a short and a long run; return whether they differ by less than the limit."""
    return memory.report("a replay", (FEW, peak(FEW)), (many, peak(many)), MEMORY_LIMIT)


def peak(events: int) -> int:
    """Return the peak of the resident memory, in bytes, of a replay of this number of events."""
    with Canned(records=events) as server:
        return memory.peak([sys.executable, "-m", "craft_events_cli", "replay", "--uri", server.uri, "-o", "ndjson"])


if __name__ == "__main__":
    sys.exit(main())
