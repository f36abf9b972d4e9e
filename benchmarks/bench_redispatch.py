"""Redispatch with handlers that do nothing, compared with plain scripts for the same job.

    python benchmarks/bench_redispatch.py [--events N] [--embedded N] [--rounds N] [--quick]

The floors, all through PyMongo's asynchronous client, with the same write concern (majority, journaled):

    round trips by hand      list ids, `update_many`, read back, `bulk_write`: the same batches, one after another
    one by one               `find_one_and_update` to claim an event, then `update_one`
    a script without claims  `find`, call, `update_one` each; two of them at once would run everything twice

Each builds the events that it passes to the handlers. Every run starts with the same backlog, and a cell is the
median per event of alternating rounds. The canned server answers from memory, so that only the client's cost is
measured; the embedded log is a real server, with more than a millisecond for each update.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bson
from pymongo import AsyncMongoClient, MongoClient, ReturnDocument, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection

from benchmarks import ratio
from benchmarks.canned import Canned, handler_ids, records
from benchmarks.ratio import Limit
from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events import embedded as embedded_log
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.encoding import CODEC

DATABASE = "craft_easy"
OWNER = "bench:1:0"
IN_ORDER = [("timestamp", 1), ("event_id", 1)]

Document = dict[str, Any]
Events = AsyncCollection[Document]
Script = Callable[[str, int], Awaitable[int]]
"""Delivers at most `limit` events of the backlog at an address; returns their number."""


async def nothing(event: DomainEvent) -> None:
    """Do nothing."""


# What is measured


async def engine(uri: str, most: int) -> int:
    """Call `redispatch`."""
    async with EventStore(DATABASE, uri=uri) as store, EventBus() as bus:
        bus.configure_store(store)
        for name in handler_ids(1):
            bus.subscribe("*", nothing, id=name)
        summary = await redispatch(bus, Selection(), RedispatchOptions(wait=False))
    return summary.done


async def by_hand(uri: str, most: int) -> int:
    """Make the same round trips, one after another."""
    condition = unowned()
    done = 0
    async with AsyncMongoClient[Document](uri) as client:
        events = collection(client)
        cursor = events.find(condition, {"_id": 1}, batch_size=CLAIM_SIZE).sort(IN_ORDER)
        while page := await cursor.to_list(CLAIM_SIZE):
            ids = {"_id": {"$in": [one["_id"] for one in page]}}
            await events.update_many({**ids, **condition}, claim())
            claimed = await events.find({**ids, "delivery.owner": OWNER}).sort(IN_ORDER).to_list(None)
            for one in claimed:
                await nothing(DomainEvent.from_record(one))
            await events.bulk_write([UpdateOne(same(one), closed(one)) for one in claimed], ordered=False)
            done += len(claimed)
    return done


async def one_by_one(uri: str, most: int) -> int:
    """Claim each event with one call, and close it with another."""
    condition, done = unowned(), 0
    async with AsyncMongoClient[Document](uri) as client:
        events = collection(client)
        while done < most:
            one = await events.find_one_and_update(
                condition, claim(), sort=IN_ORDER, return_document=ReturnDocument.AFTER
            )
            if one is None:
                break
            await nothing(DomainEvent.from_record(one))
            await events.update_one({"_id": one["_id"]}, closed(one))
            done += 1
    return done


async def without_claims(uri: str, most: int) -> int:
    """Read open events, and close each after its handler."""
    done = 0
    async with AsyncMongoClient[Document](uri) as client:
        events = collection(client)
        async for one in events.find({"delivery.state": "open"}).sort(IN_ORDER):
            await nothing(DomainEvent.from_record(one))
            await events.update_one({"_id": one["_id"]}, closed(one))
            done += 1
    return done


def collection(client: AsyncMongoClient[Document]) -> Events:
    """Return the log with the settings of the engine."""
    return client[DATABASE].get_collection(
        "event_log", codec_options=CODEC, write_concern=WriteConcern("majority", j=True)
    )


def unowned() -> Document:
    """Return the condition for a record that can be claimed."""
    return {
        "delivery.state": "open",
        "delivery.handlers": {"$elemMatch": {"id": {"$in": handler_ids(1)}, "state": "pending"}},
        "delivery.owner": None,
        "delivery.claimed_at": {"$not": {"$gte": datetime.now(UTC)}},
    }


def claim() -> Document:
    """Return the update that claims a record."""
    return {"$set": {"delivery.owner": OWNER, "delivery.claimed_at": datetime.now(UTC)}, "$inc": {"delivery.rev": 1}}


def same(record: Mapping[str, Any]) -> Document:
    """Return the condition that a record has not changed since it was read."""
    return {"_id": record["_id"], "delivery.rev": record["delivery"]["rev"]}


def closed(record: Mapping[str, Any]) -> Document:
    """Return the update that closes a record whose handlers have run."""
    before, now = record["delivery"], datetime.now(UTC)
    ended = {"state": "done", "attempts": 1, "due_at": None, "finished_at": now, "took_ms": 0.001}
    handlers = [{**handler, **ended} for handler in before["handlers"]]
    changed = {"rev": before["rev"] + 1, "state": "done", "owner": None, "due_at": None, "finished_at": now}
    return {"$set": {"delivery": {**before, **changed, "handlers": handlers}}}


# Where it is measured


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of server, and how to start one with a backlog of a given size."""

    name: str
    filled: Callable[[int], Any]


@contextmanager
def canned(events: int) -> Iterator[str]:
    """Return the address of a canned server with a backlog."""
    with Canned(records=events, handlers=1, backlog=True) as server:
        yield server.uri


@contextmanager
def embedded(events: int) -> Iterator[str]:
    """Return the address of an embedded log with a backlog."""
    with tempfile.TemporaryDirectory() as folder, embedded_log.join(Path(folder) / "log") as log:
        asyncio.run(_index(log.uri))
        with MongoClient[Any](log.uri) as client:
            client[DATABASE].event_log.insert_many([bson.decode(one) for one in records(events, 1)])
        yield log.uri


async def _index(uri: str) -> None:
    async with EventStore(DATABASE, uri=uri) as store:
        await store.ensure_indexes()


def timed(place: Place, script: Script, backlog: int, most: int) -> float:
    """Run a script over a new backlog and return the seconds per event."""
    with place.filled(backlog) as uri:
        began = time.perf_counter()
        done = asyncio.run(_run(script, uri, most))
        spent = time.perf_counter() - began
    assert done == min(backlog, most), f"{script.__name__}: {done} of {min(backlog, most)} events"
    return spent / done


async def _run(script: Script, uri: str, most: int) -> int:
    return await script(uri, most)


@dataclass(frozen=True, slots=True)
class Row:
    """A floor, the number of events that it is measured on, and the limit of our ratio to it."""

    name: str
    script: Script
    most: int
    limit: Limit


def rows(events: int, few: int, *, one_by_one_limit: Limit, without_claims_limit: Limit) -> list[Row]:
    """Return the rows of a server."""
    return [
        Row("round trips by hand", by_hand, events, Limit(at_most=1.3)),
        Row("find_one_and_update, one by one", one_by_one, few, one_by_one_limit),
        Row("a script without claims", without_claims, events, without_claims_limit),
    ]


def _few(backlog: int) -> int:
    """Return the number of events for the slowest script, whose cost per event grows with the backlog."""
    return max(20, backlog // 100)


def measure(place: Place, chosen: Sequence[Row], events: int, rounds: int) -> bool:
    """Print the rows of a server; return whether their limits were met."""
    ours: list[float] = []
    floors: dict[str, list[float]] = {row.name: [] for row in chosen}
    for _ in range(rounds):
        ours.append(timed(place, engine, events, events))
        for row in chosen:
            floors[row.name].append(timed(place, row.script, events, row.most))
    kept = [ratio.line(f"{place.name}: {row.name}", floors[row.name], ours, row.limit) for row in chosen]
    return all(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=20_000, help="backlog of the canned server (20,000)")
    parser.add_argument("--embedded", type=int, default=2_000, help="backlog of the embedded log (2,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--quick", action="store_true", help="one round, over a shorter backlog of the canned server")
    chosen = parser.parse_args(argv)
    stored = chosen.embedded
    events, rounds = (2_000, 1) if chosen.quick else (chosen.events, chosen.rounds)
    timed(Place("", canned), engine, 200, 200)  # the first run of a process is slower
    ratio.head("redispatch next to…")
    over_canned = rows(events, _few(events), one_by_one_limit=Limit(), without_claims_limit=Limit(at_least=2.3))
    over_embedded = rows(stored, _few(stored), one_by_one_limit=Limit(at_least=20.0), without_claims_limit=Limit())
    is_good = measure(Place("canned server", canned), over_canned, events, rounds)
    is_good &= measure(Place("embedded log", embedded), over_embedded, stored, rounds)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
