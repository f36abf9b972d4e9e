"""`examine`: what it finds in the records, and in the handlers that are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bson
import pytest

from craft_easy.core.events import EventBus
from craft_easy.core.events.model.envelope import is_malformed
from craft_easy.core.events.operations.handlers import Coverage, counts_of, coverage
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.filters import MALFORMED, WELL_FORMED
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.store.examinations import BEGAN, bus, found, insert, pending, react, record

DRIVERS = ("a URI",)


@pytest.fixture
async def store(store: EventStore) -> EventStore:
    await store.ensure_indexes()
    return store


async def test_a_worker_that_is_silent_and_owns_something_is_named(store: EventStore) -> None:
    registry = WorkerRegistry(store)
    for owner in ("host:1:silent", "host:2:alive", "host:3:idle"):
        await registry.register(owner, lease=30)
    workers = await store.workers_collection()
    await workers.update_many({"_id": {"$regex": "silent|idle"}}, {"$set": {"beat_at": BEGAN}})
    await insert(
        store,
        record(1, delivery=pending("charge", owner="host:1:silent")),
        record(2, delivery=pending("charge", owner="host:4:gone")),
        record(3, delivery=pending("charge", owner="host:2:alive")),
    )
    (finding,) = await found(store, "workers")
    assert finding.level == "WARN"
    assert finding.message.startswith("2 open events of host:4:gone (gone), host:1:silent (silent for ")
    assert finding.details["silent"] == 2


async def test_records_whose_owner_is_not_a_name_are_listed(store: EventStore) -> None:
    await insert(
        store,
        record(1, delivery=pending("charge", owner="")),
        record(2, delivery=pending("charge", owner=7)),
        record(3, delivery=pending("charge", owner={"a": 1})),
        record(4, delivery=pending("charge", owner=["host:1:x"])),
        record(5),
        record(6, delivery=pending("charge", owner="host:1:x")),
    )
    (owners,) = await found(store, "owners")
    assert owners.level == "FAIL"
    assert "4 open records of another program" in owners.message
    assert sorted(zip(owners.details["owners"], owners.details["event_ids"], strict=True)) == [
        ('""', "e1"),
        ("7", "e2"),
        ('["host:1:x"]', "e4"),
        ('{"a": 1}', "e3"),
    ]
    said = '$or: [{"delivery.owner": {$not: {$gt: ""}, $ne: null}}, {"delivery.owner": {$type: "array"}}]'
    assert said in (owners.advice or "")
    free = {"$or": [{"delivery.owner": {"$not": {"$gt": ""}, "$ne": None}}, {"delivery.owner": {"$type": "array"}}]}
    assert await (await store.collection()).count_documents(free) == 4, (
        "the suggested command finds these and no others"
    )
    (backlog,) = await found(store, "backlog")
    assert backlog.message == "6 open, 1 of them unowned, the oldest from 2026-01-31 10:01 UTC; 0 with a dead delivery"


async def test_dead_deliveries_are_reported(store: EventStore) -> None:
    dead = pending("charge", state="dead")
    dead["handlers"][0]["state"] = "dead"
    await insert(store, record(1, delivery=dead))
    (finding,) = await found(store, "backlog")
    assert (finding.level, finding.advice) == ("WARN", "craft-events dead list --by error")


async def test_records_that_no_redispatch_delivers_are_counted_in_a_sample(store: EventStore) -> None:
    await insert(
        store,
        record(1, delivery=None),
        {name: value for name, value in record(2).items() if name != "delivery"},
        record(3, delivery=pending()),
        record(4),
    )
    findings = await found(store, "records")
    assert [one.message for one in findings] == [
        "2 of 4 drawn at random from 4 are untracked",
        "1 of 4 drawn at random from 4 had no handler when they were published",
    ]


async def test_malformed_records_are_counted_and_some_are_named(store: EventStore) -> None:
    await insert(store, record(1, payload=[1], tenant_id=7))
    assert await found(store, "malformed") == []
    nameless = {name: value for name, value in record(2, _id="x").items() if name != "event_id"}
    await insert(store, nameless, record(3, _id="y", event_type=7), record(4, _id="z", timestamp="yesterday"))
    (finding,) = await found(store, "malformed")
    assert (finding.level, finding.details["records"]) == ("WARN", 3)
    assert sorted(finding.details["ids"]) == ["x", "y", "z"]


NOT_TEXT: Sequence[Any] = (None, 7, ["e"], {"a": "e"}, bson.ObjectId(), b"e", bson.Code("e"))
NOT_TIMES: Sequence[Any] = (
    None,
    7,
    "2026-01-31",
    {},
    bson.Timestamp(1, 1),
)


async def test_the_server_and_the_library_agree_on_what_is_malformed(store: EventStore) -> None:
    odd = {"event_id": NOT_TEXT, "event_type": NOT_TEXT, "timestamp": NOT_TIMES}
    changes = [{name: value} for name, values in odd.items() for value in values]
    records = [record(number, _id=number, **change) for number, change in enumerate([*changes, {}, {"payload": 5}])]
    for name in odd:
        records.append({key: value for key, value in record(len(records)).items() if key != name})
        records[-1]["_id"] = len(records)
    await insert(store, *records)

    async with store.call() as site:
        stored = await site.events.find({}).to_list(None)
        malformed = await site.events.find(MALFORMED, {"_id": 1}).to_list(None)
        well_formed = await site.events.find(WELL_FORMED, {"_id": 1}).to_list(None)

    assert sorted(one["_id"] for one in malformed) == sorted(one["_id"] for one in stored if is_malformed(one))
    assert sorted(one["_id"] for one in well_formed) == sorted(one["_id"] for one in stored if not is_malformed(one))
    assert len(well_formed) == 2


async def test_missing_handlers_and_types_are_found(store: EventStore) -> None:
    await insert(
        store,
        record(1),
        record(2, delivery=pending("gone", "charge")),
        record(3, delivery=pending("gone", "old")),
        record(4, event_type="mail.sent", delivery=pending()),
    )
    own = bus(charge="order.*", idle="never.*")
    own.subscribe("order.placed", react, id="new", aliases=["old"])
    fits = await coverage(store, own.registry)
    assert fits == Coverage(
        types=("mail.sent", "order.placed"),
        handlers=("charge", "idle", "new"),
        unhandled=("mail.sent",),
        idle={"idle": ("never.*",)},
        orphans={"gone": 2},
    )
    assert not fits.is_whole
    findings = await found(store, "handlers", registry=own.registry)
    assert [one.level for one in findings] == ["FAIL", "WARN", "WARN"]
    assert findings[0].message == "gone is named by 2 open events and is not loaded"
    assert "dead discard --handler gone --pending" in (findings[0].advice or "")


async def test_pending_deliveries_of_a_handler_include_its_aliases(store: EventStore) -> None:
    dead = pending("charge", "old")
    dead["handlers"][0]["state"] = "dead"
    await insert(store, record(1), record(2, delivery=dead), record(3, delivery=pending("other")))
    own = EventBus()
    own.subscribe("order.*", react, id="charge", aliases=["old"])
    handler = own.registry.handler("charge")
    assert handler is not None
    counts = await counts_of(store, handler)
    assert (counts.pending, counts.dead) == (2, 1)
