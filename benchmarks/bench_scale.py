"""The measurements behind the figures for a billion records and a hundred workers (docs/explanation/performance.md).

    python benchmarks/bench_scale.py [--part sizes|trips|latency] [--seconds S] [--quick]

sizes      bytes of records with 0, 1, 3 and 10 handlers (encoded), and of entries of each index (computed from the
           format of MongoDB's keys on a sample of neighbours, see `benchmarks.key_string`)
trips      commands that a redispatch and a publish send, counted by PyMongo's own listener on the embedded log
latency    claims a second of 1, 2, 4 … workers at a network latency of 0.2, 2 and 20 ms, in batches of 10, 100 and
           1,000; deliveries a second of 1, 2, 4 … redispatches over one backlog, and publishes a second of 100 callers

The latencies are simulated: a canned server delays each reply. Workers are tasks of one process, and each of those
that only claim has its own part of the backlog. They and the server have a core each, so that the largest figures are
the limit of one core of Python and not of MongoDB.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bson
from pymongo import monitoring

from benchmarks import bench_append, bench_redispatch, key_string
from benchmarks.backlog import STEP_MS
from benchmarks.canned import BEGAN, Canned, handler_ids, records
from benchmarks.key_string import Value, event_id
from craft_easy.core.events import DomainEvent, EventBus, embedded
from craft_easy.core.events.engine.lease import new_owner
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch, redispatching
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.filters import ClaimFilter

LATENCIES_MS: Final = (0.2, 2.0, 20.0)
BATCHES: Final = (10, 100, 1_000)
WORKERS: Final = (1, 2, 4, 8, 16)
BACKLOG: Final = 12_000_000


# Sizes

LOG: Final = 1_000_000_000
OPEN: Final = 10_000_000
DEAD: Final = 100_000
YEAR_MS: Final = 365 * 86_400_000
TYPES: Final = 20
TENANTS: Final = 1_000
OWNED: Final = 0.01
"""The share of an open backlog that is owned; index entries contain the owner, otherwise null."""
OWNER: Final = "payments-7f9c4d:17:9f8e7d6c5b4a"
SAMPLE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Index:
    """An index of the log: its entries, their number, and how many times fewer values than events its keys have."""

    name: str
    entries: int
    values: Callable[[datetime, str], Sequence[Value]]
    rarer: float = 1

    def sample(self) -> list[bytes]:
        """Return the keys of neighbouring entries, in order."""
        every_ms = YEAR_MS / LOG * self.rarer
        keys = [
            key_string.key(self.values(at, event_id(at)), LOG // 2 + number)
            for number, at in enumerate(key_string.times(BEGAN, every_ms, SAMPLE))
        ]
        return sorted(keys)


INDEXES: Final = (
    Index("_id", LOG, lambda at, one: [record_id(one).binary]),
    Index("event_id", LOG, lambda at, one: [one]),
    Index("event_type, timestamp, event_id", LOG, lambda at, one: ["payment.completed", at, one], TYPES),
    Index("tenant_id, timestamp, event_id", LOG, lambda at, one: ["tenant_123", at, one], TENANTS),
    Index("timestamp, event_id", LOG, lambda at, one: [at, one]),
    Index("open: owner, timestamp, event_id, free", OPEN, lambda at, one: [None, at, one]),
    Index("open: owner, timestamp, event_id, owned", OPEN, lambda at, one: [OWNER, at, one]),
    Index("open: owner, due_at, free", OPEN, lambda at, one: [None, at]),
    Index("open: owner, due_at, owned", OPEN, lambda at, one: [OWNER, at]),
    Index("open: tenant_id, timestamp, event_id", OPEN, lambda at, one: ["tenant_123", at, one], TENANTS),
    Index("dead: timestamp, event_id", DEAD, lambda at, one: [at, one], LOG / DEAD),
)


def report_sizes() -> None:
    """Print the sizes of records and index entries."""
    print(f"{'a record, BSON bytes':<44}{'published':>12}{'done':>12}")
    for handlers in (None, 1, 3, 10):
        document = bson.decode(records(1, handlers)[0])
        name = "untracked" if handlers is None else f"{handlers} handler{'s' * (handlers > 1)}"
        done = len(bson.encode(_done(document)))
        print(f"{name:<44}{len(bson.encode(_owned(document))):>12,}{done:>12,}")
    print(f"\n{'an index entry':<44}{'key bytes':>12}{'in the file':>12}{'entries':>16}{'GB':>8}")
    for index in INDEXES:
        keys = index.sample()
        size = key_string.stored(keys)
        key_bytes = statistics.mean(map(len, keys))
        print(f"{index.name:<44}{key_bytes:>12.0f}{size:>12.1f}{index.entries:>16,}{size * index.entries / 1e9:>8.2f}")


def _owned(record: dict[str, Any]) -> dict[str, Any]:
    if "delivery" not in record:
        return record
    return {**record, "delivery": {**record["delivery"], "owner": OWNER, "claimed_at": BEGAN}}


def _done(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, **bench_redispatch.closed(record)["$set"]} if "delivery" in record else record


# Round trips


class Trips(monitoring.CommandListener):
    """Counts the commands of every client that is created after its registration."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Count a command by its name and its collection."""
        collection = event.command.get("collection") or event.command.get(event.command_name)
        where = " workers" if str(collection).endswith("_workers") else ""
        self.counts[event.command_name + where] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Count nothing: the command is counted already."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count nothing: the command is counted already."""

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.most_common())


def report_trips(events: int) -> None:
    """Print the commands of a redispatch and of a hundred concurrent publishes."""
    trips = Trips()
    monitoring.register(trips)
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        asyncio.run(_trips(log.uri, trips, events))


async def _trips(uri: str, trips: Trips, events: int) -> None:
    async with EventStore(f"bench_{secrets.token_hex(4)}", uri=uri) as store, EventBus() as bus:
        bus.configure_store(store)
        bus.subscribe("bench.*", bench_redispatch.nothing, id=handler_ids(1)[0])
        await bus.publish(DomainEvent(event_type="bench.first"))
        await bus.drain()
        for concurrent in (1, 100):
            trips.counts.clear()
            await asyncio.gather(*(bus.publish(DomainEvent(event_type="bench.event")) for _ in range(concurrent)))
            await bus.drain()
            print(f"{concurrent} concurrent publishes and their outcomes: {trips}")
        backlog = [DomainEvent(event_type="bench.event") for _ in range(events)]
        await store.append_many(backlog, handlers=handler_ids(1))
        trips.counts.clear()
        summary = await redispatch(bus, Selection(), RedispatchOptions(wait=False))
        print(f"a redispatch of {summary.done:,} events, in batches of {CLAIM_SIZE}: {trips}")
        await _at_rest(bus, trips)


async def _at_rest(bus: EventBus, trips: Trips, seconds: float = 5) -> None:
    async with redispatching(bus):
        await asyncio.sleep(1)
        trips.counts.clear()
        await asyncio.sleep(seconds)
        print(f"a redispatch that watches an empty backlog, in {seconds:.0f} s: {trips}")


# Latency


@dataclass(eq=False, slots=True)
class Race:
    """Workers that claim for a fixed time, counted from the first batch of the last one."""

    workers: int
    seconds: float
    claimed: int = 0
    ready: int = 0
    deadline: float = float("inf")

    def note(self, claimed: int) -> bool:
        """Count a batch; return whether the time is up."""
        if self.deadline == float("inf"):
            return False
        self.claimed += claimed
        return time.perf_counter() >= self.deadline

    def start(self) -> None:
        """Note that a worker has claimed its first batch; after the last worker's the clock starts."""
        self.ready += 1
        if self.ready == self.workers:
            self.deadline = time.perf_counter() + self.seconds


async def claim(race: Race, store: EventStore, wanted: ClaimFilter, batch: int) -> None:
    """Claim from a slice of the backlog, as the engine does: list, `update_many`, read back."""
    deliveries, owner = Deliveries(store), new_owner()
    is_first = True
    async with aclosing(deliveries.unowned(wanted, size=batch)) as pages:
        async for listed in pages:
            ids = [one.id for one in listed]
            claimed = await deliveries.claim(ids, wanted.unowned(), owner=owner, at=BEGAN)
            if race.note(len(claimed)):
                return
            if is_first:
                race.start()
                is_first = False
    raise RuntimeError("the slice was too short")


async def claims_a_second(uri: str, workers: int, batch: int, seconds: float, slices: Iterator[ClaimFilter]) -> float:
    """Return the number of records that the workers claim per second, together."""
    race = Race(workers, seconds)
    async with EventStore(uri=uri) as store, asyncio.TaskGroup() as group:
        for wanted in [next(slices) for _ in range(workers)]:
            group.create_task(claim(race, store, wanted, batch))
    return race.claimed / seconds


def slices_of(backlog: int, count: int) -> Iterator[ClaimFilter]:
    """Yield slices of the backlog, one after another; each is used once."""
    patterns = dict.fromkeys(handler_ids(1), ("*",))
    size = backlog // count
    for number in range(count):
        since = BEGAN + timedelta(milliseconds=STEP_MS * size * number)
        until = since + timedelta(milliseconds=STEP_MS * size)
        yield ClaimFilter(
            Selection(since=since, until=until), handlers=patterns, loaded=patterns, began_at=datetime.now(BEGAN.tzinfo)
        )


def report_claims(latency_ms: float, seconds: float, workers: Sequence[int]) -> None:
    """Print the claims per second at a latency, each worker with its own slice of the backlog."""
    slices = slices_of(BACKLOG, sum(workers) * len(BATCHES))
    with Canned(records=BACKLOG, handlers=1, backlog=True, latency_ms=latency_ms) as server:
        for number in workers:
            rates = [asyncio.run(claims_a_second(server.uri, number, batch, seconds, slices)) for batch in BATCHES]
            _row(f"{latency_ms:.1f} ms", number, rates)


def _row(name: str, workers: int, rates: Sequence[float]) -> None:
    print(f"{name:>10}{workers:>10}" + "".join(f"{rate:>16,.0f}" for rate in rates), flush=True)


def report_latency(seconds: float, workers: Sequence[int]) -> None:
    """Print claims, redispatches and publishes per second at each latency."""
    print(f"{'latency':>10}{'workers':>10}" + "".join(f"{f'claims/s, {batch:,}':>16}" for batch in BATCHES))
    for latency_ms in LATENCIES_MS:
        report_claims(latency_ms, seconds, workers)
    together = workers[:4]
    print(
        f"\n{'latency':>10}"
        + "".join(f"{f'delivered/s, {number}':>16}" for number in together)
        + f"{'published/s':>16}"
    )
    for latency_ms in LATENCIES_MS:
        rates = [asyncio.run(deliveries(latency_ms, number, seconds)) for number in together]
        rates.append(asyncio.run(publishes(latency_ms)))
        print(f"{latency_ms:>7.1f} ms" + "".join(f"{rate:>16,.0f}" for rate in rates), flush=True)


async def deliveries(latency_ms: float, workers: int, seconds: float) -> float:
    """Return the number of events of one backlog that redispatches deliver per second; the handler does nothing."""
    events = int(2_000 * seconds) * workers
    with Canned(records=events, handlers=1, backlog=True, latency_ms=latency_ms) as server:
        began = time.perf_counter()
        done = await asyncio.gather(*(bench_redispatch.engine(server.uri, events) for _ in range(workers)))
        spent = time.perf_counter() - began
    assert sum(done) == events, f"{sum(done)} of {events} events"
    return events / spent


async def publishes(latency_ms: float) -> float:
    """Return the number of events that a hundred concurrent callers publish per second."""
    with Canned(backlog=True, latency_ms=latency_ms) as server:
        async with bench_append.publishing(server.uri, "craft_easy", handled=True) as run:
            await run()
            return 1 / await run()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; this benchmark has no limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--part", choices=["sizes", "trips", "latency"], help="measure only this part")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each cell is measured (2)")
    parser.add_argument("--quick", action="store_true", help="half a second for each cell, and few workers")
    chosen = parser.parse_args(argv)
    seconds, workers = (0.5, WORKERS[:2]) if chosen.quick else (chosen.seconds, WORKERS)
    if chosen.part in (None, "sizes"):
        report_sizes()
        print()
    if chosen.part in (None, "trips"):
        report_trips(1_000)
        print()
    if chosen.part in (None, "latency"):
        report_latency(seconds, workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
