"""A log that version 1 wrote is read, redispatched and finished by this version.

`data/version_1.ndjson` contains a log that version 1 wrote on the embedded server: an index or a document a line. Some
of its processes were killed: in a handler, between a handler's end and its outcome, and three times by one event, so
that records are open and owned by dead workers, one of them a suspect with `running` set.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bson import json_util
from pymongo import MongoClient
from pymongo.database import Database

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.types import PaymentCompleted

FILE = Path(__file__).parent / "data" / "version_1.ndjson"
OPTIONS = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
LINES = [json_util.loads(line, json_options=OPTIONS) for line in FILE.read_text().splitlines()]
RECORDS = [line["document"] for line in LINES if line["collection"] == "event_log" and "document" in line]
EVENTS = [record for record in RECORDS if isinstance(record["event_id"], str)]
OPEN = [record for record in EVENTS if record.get("delivery", {}).get("state") == "open"]
HANDLERS = {
    "depot:note": "parcel.sent",
    "depot:book": "payment.completed",
    "depot:refuse": "payment.completed",
    "depot:search": "order.lost",
    "depot:drop": "order.odd",
    "depot:lift": "order.heavy",
    "depot:weigh": "order.heavy",
    "depot:wait": "order.slow",
}
"""The handlers of version 1, besides `depot:ship`, which publishes."""
Document = dict[str, Any]


def load(database: Database[Document]) -> None:
    for line in LINES:
        collection = database[line["collection"]]
        if "document" in line:
            collection.insert_one(line["document"])
        elif line["index"]["name"] != "_id_":
            index = dict(line["index"])
            collection.create_index(list(index.pop("key").items()), **index)


@pytest.fixture
def database(embedded_uri: str, database_name: str) -> Any:
    with MongoClient[Document](embedded_uri, tz_aware=True) as client:
        load(client[database_name])
        yield client[database_name]


@pytest.fixture
async def store(database: Database[Document], embedded_uri: str) -> AsyncIterator[EventStore]:
    async with EventStore(database.name, uri=embedded_uri) as store:
        yield store


@pytest.fixture
def runs() -> Counter[tuple[str, str]]:
    """How often each handler of the test ran for each event."""
    return Counter()


@pytest.fixture
async def bus(store: EventStore, runs: Counter[tuple[str, str]]) -> AsyncIterator[EventBus]:
    async with EventBus() as bus:
        bus.configure_store(store, lease=1)

        def counted(name: str) -> Callable[[DomainEvent], Coroutine[Any, Any, None]]:
            async def handle(event: DomainEvent) -> None:
                runs[name, event.event_id] += 1

            return handle

        async def ship(event: DomainEvent) -> None:
            runs["depot:ship", event.event_id] += 1
            order = event.payload["order"]
            await bus.publish(
                DomainEvent(event_type="parcel.sent", tenant_id=event.tenant_id, payload={"order": order})
            )
            await bus.publish(DomainEvent(event_type="parcel.billed", payload={"order": order, "cents": 2**53 + 1}))

        bus.subscribe("order.placed", ship, id="depot:ship")
        for name, event_type in HANDLERS.items():
            bus.subscribe(event_type, counted(name), id=name)
        yield bus


async def finish(bus: EventBus) -> RedispatchSummary:
    return await redispatch(bus, Selection(), RedispatchOptions(now=True))


def pending(records: list[Document]) -> Counter[tuple[str, str]]:
    return Counter(
        (entry["id"], record["event_id"])
        for record in records
        for entry in record["delivery"]["handlers"]
        if entry["state"] == "pending"
    )


def children(records: list[Document]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in sorted(records, key=lambda record: str(record["event_id"])):
        if record.get("causation_id"):
            found.setdefault(record["causation_id"], []).append(record["event_id"])
    return found


async def test_every_event_is_read_as_it_was_stored(store: EventStore) -> None:
    read = {event.event_id: event for event in await store.replay(limit=None)}

    assert {record["event_id"] for record in EVENTS} <= set(read)
    for record in EVENTS:
        event = read[record["event_id"]]
        assert (event.event_type, event.tenant_id) == (record["event_type"], record["tenant_id"])
        assert event.timestamp == record["timestamp"]
        assert await store.get(event.event_id) == event


async def test_a_typed_event_is_read_as_its_class_with_its_values(store: EventStore) -> None:
    (payment,) = await store.replay(event_type="payment.completed")

    assert isinstance(payment, PaymentCompleted)
    assert (payment.payment_id, payment.amount, payment.currency) == ("p1", 12.5, "SEK")
    assert payment.payload["at"] == datetime(2026, 1, 31, tzinfo=UTC)
    assert payment.payload["uuid"] == UUID(int=7)
    assert payment.payload["bytes"] == b"\0\1"
    assert str(payment.payload["exact"]) == str(Decimal("12.50"))
    assert payment.payload["list"] == [None, {"a.b": 1, "$c": True}]


async def test_dead_deliveries_are_listed_with_their_errors(store: EventStore) -> None:
    found = [one async for one in dead.deliveries(store)]

    assert [one.handler for one in found] == ["depot:search"] * 2
    assert {one.event_id for one in found} == {
        record["event_id"] for record in EVENTS if record["event_type"] == "order.lost"
    }
    assert "is not in the depot" in json.dumps([repr(one) for one in found])


async def test_a_redispatch_finishes_what_was_open_and_nothing_is_lost(
    bus: EventBus, database: Database[Document], runs: Counter[tuple[str, str]]
) -> None:
    summary = await finish(bus)

    left = list(database.event_log.find({"delivery.state": "open"}))
    assert pending(left).total() == 1  # of a handler that is not loaded
    assert summary.orphaned == 1
    assert runs == pending(OPEN) - pending(left) + Counter(
        ("depot:note", record["event_id"])
        for record in database.event_log.find({"event_type": "parcel.sent"})
        if record["event_id"] not in {known["event_id"] for known in EVENTS}
    )

    bus.subscribe("order.placed", lambda event: None, id="gone:handler")
    await finish(bus)
    assert database.event_log.count_documents({"delivery.state": "open"}) == 0

    after = {record["_id"]: record for record in database.event_log.find()}
    for record in RECORDS:
        kept = after[record["_id"]]
        assert {key: kept[key] for key in record if key != "delivery"} == {
            key: record[key] for key in record if key != "delivery"
        }


async def test_children_that_version_1_had_stored_are_not_published_again(
    bus: EventBus, database: Database[Document]
) -> None:
    stored = children(EVENTS)
    (interrupted,) = [record for record in OPEN if record["payload"].get("order") == 800]

    await finish(bus)

    published = children(list(database.event_log.find({"event_id": {"$type": "string"}})))
    assert len(stored[interrupted["event_id"]]) == 2
    assert {parent: published[parent] for parent in stored} == stored
    assert len(published) == len(stored) + 3  # children of the orders that were not shipped yet


async def test_a_dead_delivery_runs_again_after_a_retry(
    bus: EventBus, store: EventStore, database: Database[Document], runs: Counter[tuple[str, str]]
) -> None:
    touched = await dead.retry(store)
    await finish(bus)

    assert touched.counts.deliveries == 2
    assert sum(times for (handler, _), times in runs.items() if handler == "depot:search") == 2
    for record in database.event_log.find({"event_type": "order.lost"}):
        (entry,) = record["delivery"]["handlers"]
        assert (entry["state"], entry["attempts"], len(entry["errors"])) == ("done", 2, 1)


async def test_new_indexes_are_built_and_those_of_version_1_stay(
    store: EventStore, database: Database[Document]
) -> None:
    before = {index["name"] for index in database.event_log.list_indexes()}

    created = await store.ensure_indexes()

    after = {index["name"] for index in database.event_log.list_indexes()}
    assert after == before | set(created)
    assert await store.ensure_indexes() == []
