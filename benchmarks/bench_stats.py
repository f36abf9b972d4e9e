"""How long the server works for one look at the figures, and whether memory stays flat, on the embedded log.

    python benchmarks/bench_stats.py [--records N] [--days D]

The records spread evenly over `--days`: four in ten untracked, the others with one to three handlers, a few of them
open, owned or dead, and one delivery in fifty with errors. 1,000,000 over 30 days takes ten minutes to load; the
default holds as much within the last 24 hours, which is what a look counts over time, and is loaded in a minute.

A look is `stats()`: the backlog, and 24 hours in bars. `busy` is the processor time of the server, where the system
tells it, so that other work on the machine does not count; the limit is on that, and on the elapsed time elsewhere.
Memory is the peak of `craft-events stats`, over an hour and over all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import memory
from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.stats import stats
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import new_record, to_document
from craft_easy.core.events.store.queries.stats import By

LIMIT_S: Final = 3.0
MEMORY_LIMIT: Final = 16 << 20
ROUNDS: Final = 3
HANDLERS: Final = ("shop.stock:reserve", "shop.billing:charge", "shop.mail:send_confirmation")
TYPES: Final = tuple(
    f"{what}.{done}" for what in ("order", "payment", "user") for done in ("placed", "changed", "closed")
)
OPEN, DEAD, OWNED, UNTRACKED, FAILED = 0.002, 0.0005, 0.2, 0.4, 0.02
"""The parts of all tracked records, of the open ones, of all records, and of all deliveries."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a look took, and that the server worked for it; None where the system does not tell."""

    elapsed: float
    busy: float | None

    @property
    def counted(self) -> float:
        """What the limit is on."""
        return self.elapsed if self.busy is None else self.busy


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=40_000, help="how many records the log holds (40,000)")
    parser.add_argument("--days", type=float, default=1.2, help="over how many days they spread (1.2)")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        taken = asyncio.run(load(log.uri, chosen.records, timedelta(days=chosen.days)))
        print(f"{chosen.records:,} records over {chosen.days:g} days, loaded in {taken:,.0f} s\n")
        print(f"{'':36}{'events':>12}{'elapsed s':>12}{'busy s':>10}{'µs each':>10}{'limit s':>10}")
        is_good = asyncio.run(report(log, timedelta(days=chosen.days)))
        return 0 if report_memory(log.uri, chosen.records) and is_good else 1


async def load(uri: str, count: int, span: timedelta) -> float:
    """Store so many records that end now; return the seconds."""
    began = time.perf_counter()
    async with EventStore(uri=uri, timeout=120) as store:
        records = history(await store.now() - span, span, count)
        while some := list(islice(records, 1_000)):
            await store.insert(some)
    return time.perf_counter() - began


def history(begin: datetime, span: timedelta, count: int) -> Iterator[dict[str, Any]]:
    """Yield records."""
    chance = random.Random(1)
    for number in range(count):
        at = begin + span * (number / count)
        event = DomainEvent(
            event_type=TYPES[number % len(TYPES)],
            timestamp=at,
            tenant_id=f"tenant_{number % 300}",
            actor_id=f"user_{number % 77}",
            payload={"payment_id": f"p_{number}", "amount": number / 4, "currency": "EUR", "note": "x" * 200},
        )
        yield new_record(
            event, None if chance.random() < UNTRACKED else to_document(delivery(number, event.timestamp, chance))
        )


def delivery(number: int, at: datetime, chance: random.Random) -> Delivery:
    """Return what became of an event."""
    first, *others = (handler(name, at, chance) for name in HANDLERS[: 1 + number % 3])
    fate = chance.random()
    if fate < OPEN:
        due_at = at + timedelta(hours=chance.choice((0, 48)))
        pending = HandlerDelivery(first.id, attempts=1, due_at=due_at, errors=failures(at, 1))
        owner = "api-3:4121:0a9b" if chance.random() < OWNED else None
        return Delivery(rev=2, owner=owner, due_at=due_at, claimed_at=at, handlers=(pending, *others))
    if fate < OPEN + DEAD:
        dead = HandlerDelivery(first.id, state="dead", attempts=20, finished_at=at, took_ms=3.0, errors=failures(at, 5))
        return Delivery(rev=2, state="dead", claimed_at=at, finished_at=at, handlers=(dead, *others))
    return Delivery(rev=1, state="done", claimed_at=at, finished_at=at, handlers=(first, *others))


def handler(name: str, at: datetime, chance: random.Random) -> HandlerDelivery:
    """Return a delivery that succeeded in the end."""
    failed = chance.randint(1, 5) if chance.random() < FAILED else 0
    took_ms = round(chance.lognormvariate(3, 1), 3)
    return HandlerDelivery(name, "done", failed + 1, finished_at=at, took_ms=took_ms, errors=failures(at, failed))


def failures(at: datetime, count: int) -> tuple[Failure, ...]:
    """Return what is kept of so many failed attempts."""
    text = "SMTPServerDisconnected", "Connection unexpectedly closed"
    return tuple(Failure(*text, at + timedelta(seconds=16 * number), number) for number in range(1, count + 1))


async def report(log: embedded.EmbeddedLog, span: timedelta) -> bool:
    """Print a row for each kind of look; tell whether the limit is kept."""
    is_good = True
    async with EventStore(uri=log.uri, timeout=120) as store:
        for by in get_args(By):
            is_good &= await row(f"24 hours, by {by}", store, log.pid, Selection(), by, LIMIT_S)
        everything = Selection(since=await store.now() - span)
        await row("all, by handler", store, log.pid, everything, "handler", None)
    return is_good


async def row(name: str, store: EventStore, pid: int, selection: Selection, by: By, limit: float | None) -> bool:
    """Measure one kind of look and print it; without a limit it is measured once."""
    looks = [await look(store, pid, selection, by) for _ in range(ROUNDS if limit else 1)]
    events = looks[0][0]
    spent = sorted((one for _, one in looks), key=lambda one: one.counted)[len(looks) // 2]
    elapsed = statistics.median(one.elapsed for _, one in looks)
    is_kept = limit is None or spent.counted <= limit
    busy = "–" if spent.busy is None else f"{spent.busy:.2f}"
    print(
        f"{name:36}{events:12,}{elapsed:12.2f}{busy:>10}{spent.counted / max(events, 1) * 1e6:10.1f}"
        f"{'' if limit is None else f'{limit:10.1f}'}{'' if is_kept else '  missed'}",
        flush=True,
    )
    return is_kept


async def look(store: EventStore, pid: int, selection: Selection, by: By) -> tuple[int, Spent]:
    """Look once; return how many events were counted over time, and what it cost."""
    began, busy = time.perf_counter(), processor_time(pid)
    found = await stats(store, selection, by=by)
    elapsed, after = time.perf_counter() - began, processor_time(pid)
    return found.events, Spent(elapsed, None if busy is None or after is None else after - busy)


def processor_time(pid: int) -> float | None:
    """Return the seconds that a process has worked so far (proc(5)); None where there is no such file."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report_memory(uri: str, records: int) -> bool:
    """Print the peak of a look at an hour and at everything; tell whether they differ by less than the limit."""
    command = [sys.executable, "-m", "craft_events_cli", "stats", "--uri", uri, "-o", "ndjson", "--by", "tenant"]
    few, many = memory.peak([*command, "--since", "1h"]), memory.peak([*command, "--since", "365d"])
    return memory.report("a look by tenant", (0, few), (records, many), MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
