"""A hundred concurrent publishes with a store, compared with one plain `insert_one` each, also concurrent.

    python benchmarks/bench_append.py [--rounds N] [--quick]

Both send the same records with the same write concern (majority, journaled) through PyMongo's asynchronous client; the
records of the floor are built before the clock starts. A cell is the median per event of alternating rounds. The limit
applies to the ratio of the rates. A publish returns before its outcome is stored: the last row of each server includes
that too, and the floor has nothing to compare with it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pymongo import AsyncMongoClient, WriteConcern

from benchmarks import ratio
from benchmarks.canned import Canned
from benchmarks.ratio import Limit
from craft_easy.core.events import DomainEvent, EventBus, embedded
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import new_record, to_document

TYPE = "payment.completed"
CONCURRENT = 100
TIMES = 10
"""Each round publishes this many hundreds."""
HANDLER = "bench:nothing"


async def nothing(event: DomainEvent) -> None:
    """Do nothing."""


def new_events() -> list[DomainEvent]:
    """Return a hundred events."""
    payload = {"payment_id": "p_1", "amount": 12.5, "currency": "EUR"}
    return [
        DomainEvent(event_type=TYPE, tenant_id="tenant_123", actor_id="user_7", payload=payload)
        for _ in range(CONCURRENT)
    ]


@asynccontextmanager
async def plain(uri: str, database: str) -> AsyncIterator[ratio.Run]:
    """Return a round of plain inserts, each a call of its own."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        records = client[database].get_collection("event_log", write_concern=WriteConcern("majority", j=True))

        async def run() -> float:
            spent = 0.0
            for _ in range(TIMES):
                batch = [new_record(event, delivery(event)) for event in new_events()]
                began = time.perf_counter()
                await asyncio.gather(*map(records.insert_one, batch))
                spent += time.perf_counter() - began
            return spent / (TIMES * CONCURRENT)

        yield run


def delivery(event: DomainEvent) -> dict[str, Any]:
    """Return the value of `delivery` in the record of a published event."""
    return to_document(Delivery.new([HANDLER], at=event.timestamp, owner="host:1:0"))


@asynccontextmanager
async def publishing(uri: str, database: str, *, handled: bool, stored: bool = False) -> AsyncIterator[ratio.Run]:
    """Return a round of publishes; with `stored` it ends when the outcomes are stored."""
    async with EventStore(database, uri=uri) as store, EventBus() as bus:
        bus.configure_store(store)
        if handled:
            bus.subscribe(TYPE, nothing, id=HANDLER)

        async def run() -> float:
            spent = 0.0
            for _ in range(TIMES):
                events = new_events()
                began = time.perf_counter()
                await asyncio.gather(*map(bus.publish, events))
                if stored:
                    await bus.drain()
                spent += time.perf_counter() - began
                await bus.drain()
            return spent / (TIMES * CONCURRENT)

        yield run


async def measure(name: str, uri: str, limit: float, rounds: int) -> bool:
    """Print the rows of a server; return whether their limits were met."""
    database = f"bench_{secrets.token_hex(4)}"
    async with EventStore(database, uri=uri) as store:
        await store.ensure_indexes()
    async with (
        publishing(uri, database, handled=False) as unhandled,
        publishing(uri, database, handled=True) as handled,
        publishing(uri, database, handled=True, stored=True) as stored,
        plain(uri, database) as floor,
    ):
        floors, *ours = await ratio.in_turns(rounds, floor, unhandled, handled, stored)
    rows = (
        ("no handler", Limit(at_least=limit)),
        ("one handler", Limit(at_least=limit)),
        ("one handler, until its outcome is stored", Limit()),
    )
    kept = [ratio.line(f"{name}, {row}", floors, mine, limit) for (row, limit), mine in zip(rows, ours, strict=True)]
    return all(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (15)")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    chosen = parser.parse_args(argv)
    rounds = 2 if chosen.quick else chosen.rounds
    ratio.head("100 concurrent publishes, a cell is one of them")
    with Canned(backlog=True) as canned:
        is_good = asyncio.run(measure("canned server", canned.uri, 6.0, rounds))
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        is_good &= asyncio.run(measure("embedded log", log.uri, 3.0, rounds))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
