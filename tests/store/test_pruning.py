"""Old records are archived and removed from the log: the choice of records, and no loss in between."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.errors import ArchiveError
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.retry import Retry
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import prune, redact
from craft_easy.core.events.operations.prune import CollectionArchive, FileArchive, Old, Pruned
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import new_record, record_id, to_document
from craft_easy.core.events.store.formats import extended_json
from craft_easy.core.events.store.queries import prune as prune_queries
from craft_easy.core.events.store.queries.prune import Copy
from tests.support.conditions import becomes

DRIVERS = ("a URI",)
START = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOW = START + timedelta(days=100)
OLD = Old(START + timedelta(days=10))
Change = Callable[[], Any]


@pytest.fixture
async def store(store: EventStore) -> EventStore:
    await store.ensure_indexes()
    return store


def record(number: int, state: str | None = "done", **fields: Any) -> dict[str, Any]:
    """Return a record that was published `number` days after the start; with None it is untracked."""
    at = START + timedelta(days=number)
    one = DomainEvent(
        event_id=f"e{number}", event_type="order.placed", tenant_id="acme", timestamp=at, payload={"n": number}
    )
    delivery = to_document(Delivery.new(["mail"], at=at))
    ended = None if state == "open" else at
    delivery |= {"state": state, "finished_at": ended}
    delivery["handlers"][0] |= {"state": "pending" if state == "open" else state, "finished_at": ended}
    return {**new_record(one, None if state is None else delivery), **fields}


async def put(store: EventStore, *records: dict[str, Any]) -> None:
    await (await store.collection()).insert_many(list(records))


async def stored(store: EventStore, name: str | None = None) -> dict[str, dict[str, Any]]:
    site = await store.connection()
    events = (
        site.events if name is None else site.database.get_collection(name, codec_options=site.events.codec_options)
    )
    return {str(one.get("event_id")): one async for one in events.find({})}


def archived(path: Path) -> list[dict[str, Any]]:
    return [extended_json.parse(line) for line in path.read_text().splitlines()] if path.exists() else []


class Nowhere:
    """An archive that keeps nothing, and calls a function between the copy and the removal."""

    def __init__(self, meanwhile: Change | None = None) -> None:
        self.copies: list[Copy] = []
        self._meanwhile = meanwhile

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        self.copies += copies
        if self._meanwhile is not None:
            await self._meanwhile()
        return []


def counts(pruned: Pruned) -> tuple[int, int, int, int]:
    return pruned.counts.events, pruned.held, pruned.changed, pruned.inexact


# ------------------------------------------------------------------ which


async def test_old_done_events_are_removed_and_all_others_stay(store: EventStore, tmp_path: Path) -> None:
    await put(
        store,
        record(1),
        record(2, "open"),
        record(3, "dead"),
        record(4, None),
        record(5, delivery=record(5)["delivery"] | {"finished_at": NOW}),
        record(6, delivery=record(6)["delivery"] | {"finished_at": None}),
        record(11),
        record(7, tenant_id=None),
    )
    before = await stored(store)
    expected = await prune.count(store, OLD)
    assert await stored(store) == before
    async with FileArchive(tmp_path / "old.ndjson") as archive:
        pruned = await prune.prune(store, OLD, archive)
    assert pruned == expected
    assert counts(pruned) == (3, 0, 0, 0)
    assert (pruned.counts.by_type, pruned.counts.by_tenant) == ({"order.placed": 3}, {"acme": 2, None: 1})
    assert await prune.estimate(store, OLD) == 0
    left = await stored(store)
    assert sorted(left) == ["e11", "e2", "e3", "e4", "e5"]
    gone = {
        one["event_id"]: {**one, "_id": before[one["event_id"]]["_id"]} for one in archived(tmp_path / "old.ndjson")
    }
    assert gone == {event_id: one for event_id, one in before.items() if event_id not in left}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(tenants=("acme",)), {"e1"}),
        (Selection(no_tenant=True), {"e2"}),
        (Selection(types=("user.*",)), {"e3"}),
        (Selection(limit=2), {"e1", "e2"}),
        (Selection(limit=2, reverse=True), {"e1", "e2"}),
        (Selection(since=START + timedelta(days=90), until=NOW), {"e1", "e2", "e3"}),
    ],
)
async def test_further_conditions_choose_among_the_old(
    store: EventStore, selection: Selection, expected: set[str]
) -> None:
    await put(store, record(1), record(2, tenant_id=None), record(3, tenant_id="globex", event_type="user.born"))
    archive = Nowhere()
    old = Old(OLD.before, selection)
    assert await prune.estimate(store, old) == len(expected)
    assert counts(await prune.prune(store, old, archive)) == (len(expected), 0, 0, 0)
    assert {one.event_id for one in archive.copies} == expected


async def test_records_without_a_delivery_are_pruned_with_the_option(store: EventStore) -> None:
    await put(store, record(1, None), record(2), record(3, "open"), record(4, None, delivery="x"), record(11, None))
    old = Old(OLD.before, include_untracked=True)
    assert counts(await prune.prune(store, old, None)) == (2, 0, 0, 0)
    assert sorted(await stored(store)) == ["e11", "e3", "e4"]


async def test_children_of_an_open_or_dead_event_stay_until_it_is_done(store: EventStore) -> None:
    foreign = bson.ObjectId()
    await put(
        store,
        record(1, "open"),
        record(2, "dead"),
        record(3),
        record(20, "open", event_id=foreign),
        *(record(4 + number, causation_id=cause) for number, cause in enumerate(["e1", "e2", "e3", "gone", foreign])),
    )
    assert counts(await prune.count(store, OLD)) == (3, 3, 0, 0)
    assert counts(await prune.prune(store, OLD, None)) == (3, 3, 0, 0)
    assert set(await stored(store)) == {"e1", "e2", "e4", "e5", "e8", str(foreign)}
    events = await store.collection()
    await events.update_many({}, {"$set": {"delivery.state": "done", "delivery.handlers.0.state": "done"}})
    assert counts(await prune.prune(store, OLD, None)) == (5, 0, 0, 0)


async def test_a_done_record_stays_while_a_handler_of_its_parent_is_pending(store: EventStore) -> None:
    parent = record(1)
    parent["delivery"]["handlers"][0]["state"] = "pending"
    await put(store, parent, record(2, causation_id="e1"))
    assert counts(await prune.count(store, OLD)) == (1, 1, 0, 0)


async def test_a_scan_reads_many_pages_while_records_are_removed(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune_queries, "PRUNE_PAGE", 7)
    monkeypatch.setattr(prune_queries, "MAX_BYTES", 1_000)
    await put(store, *(record(1, **new) for new in _namesakes(40)))
    removed: list[int] = []
    assert counts(await prune.prune(store, OLD, Nowhere(), on_removed=removed.append)) == (40, 0, 0, 0)
    assert (sum(removed), len(removed) > 10) == (40, True)
    assert await stored(store) == {}


def _namesakes(count: int) -> list[dict[str, Any]]:
    """All at one moment, the most difficult end of a page."""
    return [{"_id": record_id(f"n{number}"), "event_id": f"n{number}"} for number in range(count)]


# ------------------------------------------------------------------ with others at work


async def changed(store: EventStore, fields: dict[str, Any]) -> None:
    await (await store.collection()).update_one({"event_id": "e1"}, fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"$inc": {"delivery.rev": 1}},
        {"$set": {"delivery.state": "open"}},
        {"$unset": {"delivery": 1}},
    ],
)
async def test_a_record_that_is_written_after_it_was_copied_stays(store: EventStore, fields: dict[str, Any]) -> None:
    await put(store, record(1), record(2))
    archive = Nowhere(lambda: changed(store, fields))
    assert counts(await prune.prune(store, OLD, archive)) == (1, 0, 1, 0)
    assert list(await stored(store)) == ["e1"]


@pytest.mark.parametrize("state", ["done", None])
async def test_a_record_that_is_redacted_after_it_was_copied_stays(store: EventStore, state: str | None) -> None:
    await put(store, record(1, state))
    archive = Nowhere(lambda: redact.redact(store, Selection(tenants=("acme",))))
    old = Old(OLD.before, include_untracked=True)
    assert counts(await prune.prune(store, old, archive)) == (0, 0, 1, 0)
    assert counts(await prune.prune(store, old, None)) == (1, 0, 0, 0)


async def test_an_untracked_record_that_gets_a_delivery_after_it_was_copied_stays(store: EventStore) -> None:
    await put(store, record(1, None))
    archive = Nowhere(lambda: changed(store, {"$set": {"delivery": record(1, "open")["delivery"]}}))
    assert counts(await prune.prune(store, Old(OLD.before, include_untracked=True), archive)) == (0, 0, 1, 0)


async def test_a_record_that_opens_after_it_was_listed_is_not_copied(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, record(1), record(2))
    free = prune_queries.without_open_parents

    async def then_changed(*args: Any) -> Any:
        await changed(store, {"$set": {"delivery.state": "open"}})
        return await free(*args)

    monkeypatch.setattr(prune_queries, "without_open_parents", then_changed)
    archive = Nowhere()
    assert counts(await prune.prune(store, OLD, archive)) == (1, 0, 0, 0)
    assert [one.event_id for one in archive.copies] == ["e2"]


async def test_two_prunings_at_once_lose_nothing(store: EventStore, tmp_path: Path) -> None:
    before = [record(1, **new) for new in _namesakes(60)]
    await put(store, *before)
    paths = [tmp_path / "one.ndjson", tmp_path / "other.ndjson"]
    async with FileArchive(paths[0]) as one, FileArchive(paths[1]) as other:
        await asyncio.gather(prune.prune(store, OLD, one), prune.prune(store, OLD, other))
    assert await stored(store) == {}
    assert {each["event_id"] for path in paths for each in archived(path)} == {each["event_id"] for each in before}


async def test_with_live_publishers_and_a_redispatch_each_event_is_handled_once(
    store: EventStore, tmp_path: Path
) -> None:
    handled: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    is_over = False

    async def place(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="stock.reserved", payload={"of": event.event_id}))
        failures[event.event_id] += 1
        if failures[event.event_id] == 1 and int(event.payload["n"]) % 2:
            raise Retry(after=timedelta(0))
        handled[event.event_id] += 1

    async def reserve(event: DomainEvent) -> None:
        handled[event.event_id] += 1

    async def prune_often() -> None:
        async with FileArchive(tmp_path / "old.ndjson") as archive:
            while not is_over:
                await prune.prune(store, Old(await store.now() + timedelta(days=1)), archive)
                await asyncio.sleep(0)

    events = [DomainEvent(event_type="order.placed", payload={"n": number}) for number in range(40)]
    async with EventBus() as bus:
        bus.configure_store(store, lease=10)
        bus.subscribe("order.placed", place, id="place")
        bus.subscribe("stock.reserved", reserve, id="reserve")
        pruner = asyncio.create_task(prune_often())
        for event in events:
            await bus.publish(event)
        await bus.drain()
        while handled.total() < 80:
            await redispatch(bus, Selection(), RedispatchOptions(wait=False))
        await becomes(lambda: len(archived(tmp_path / "old.ndjson")) >= 40)
        is_over = True
        await pruner
    assert set(handled.values()) == {1}
    assert len(handled) == 80
    known = [one["event_id"] for one in archived(tmp_path / "old.ndjson")] + list(await stored(store))
    assert Counter(known) == Counter(dict.fromkeys(handled, 1))


# ------------------------------------------------------------------ archives


async def test_an_event_without_an_exact_copy_stays_and_is_named(store: EventStore, tmp_path: Path) -> None:
    await put(store, record(1), record(2, payload={"$oid": "x"}))
    async with FileArchive(tmp_path / "old.ndjson") as archive:
        pruned = await prune.prune(store, OLD, archive)
    assert (counts(pruned), pruned.inexact_ids, pruned.is_complete) == ((1, 0, 0, 1), ["e2"], False)
    assert list(await stored(store)) == ["e2"]
    assert len(archived(tmp_path / "old.ndjson")) == 1


async def test_a_failing_archive_does_not_change_the_log(store: EventStore, tmp_path: Path) -> None:
    await put(store, record(1))

    async def fail() -> None:
        raise ArchiveError("no space left")

    with pytest.raises(ArchiveError):
        await prune.prune(store, OLD, Nowhere(fail))
    assert list(await stored(store)) == ["e1"]


async def test_a_collection_keeps_the_same_bytes_under_the_same_id(store: EventStore) -> None:
    odd: dict[str, Any] = {"payload": {"$oid": "x", "b": 1, "a": bson.Int64(2)}, "z": 1}
    await put(store, record(1), record(2, **odd), record(3, _id={"b": 1, "a": 2}))
    before = await stored(store)
    assert counts(await prune.prune(store, OLD, CollectionArchive(store, "old_events"))) == (3, 0, 0, 0)
    assert await stored(store) == {}
    after = await stored(store, "old_events")
    assert [bson.encode(one) for one in after.values()] == [bson.encode(one) for one in before.values()]


async def test_a_newer_state_of_a_record_takes_the_place_of_its_older_copy(store: EventStore) -> None:
    archive = CollectionArchive(store, "old_events")
    await put(store, record(1), record(2))
    async with store.call() as site:
        await site.database["old_events"].insert_many([record(1), record(2)])
    await redact.redact(store, Selection(tenants=("acme",), limit=1))
    assert counts(await prune.prune(store, Old(NOW), archive)) == (2, 0, 0, 0)
    after = await stored(store, "old_events")
    assert (after["e1"]["payload"], after["e2"]["payload"]) == ({}, {"n": 2})


async def test_another_event_under_the_same_id_is_never_overwritten(store: EventStore) -> None:
    archive = CollectionArchive(store, "old_events")
    await put(store, record(1), record(2))
    async with store.call() as site:
        await site.database["old_events"].insert_one(record(1, payload={"n": "another"}))
    pruned = await prune.prune(store, OLD, archive)
    assert (counts(pruned), pruned.inexact_ids) == ((1, 0, 0, 1), ["e1"])
    assert (await stored(store, "old_events"))["e1"]["payload"] == {"n": "another"}
    assert list(await stored(store)) == ["e1"]


@pytest.mark.parametrize("name", ["event_log", "event_log_workers"])
async def test_the_log_itself_is_refused_as_an_archive(store: EventStore, name: str) -> None:
    with pytest.raises(ValueError, match="not an archive"):
        CollectionArchive(store, name)


async def test_records_of_other_writers_are_archived_or_stay(store: EventStore, tmp_path: Path) -> None:
    done = {"event_type": "x", "timestamp": START, "delivery": {"state": "done"}}
    records = [
        {**done, "_id": {"a": {"b": 1}}, "event_id": "1"},
        {**done, "_id": 1, "event_id": "2", "delivery": {"state": "done", "rev": "many", "handlers": "x"}},
        {**done, "_id": "text", "event_id": "3", "causation_id": {"a": 1}, "payload": [1, 2]},
        {**done, "_id": 7.5, "event_id": "4", "delivery": {"state": "done", "rev": 2**40, "finished_at": "x"}},
    ]
    malformed: list[dict[str, Any]] = [
        {**done, "event_id": {"a": 1}},
        {**done, "event_id": "5", "event_type": 7},
        {**done, "event_id": "6", "timestamp": "yesterday"},
    ]
    await put(store, *records, *malformed)
    async with FileArchive(tmp_path / "old.ndjson") as archive:
        pruned = await prune.prune(store, OLD, archive)
    assert counts(pruned) == (4, 0, 0, 0)
    assert len(archived(tmp_path / "old.ndjson")) == 4
    assert await (await store.collection()).count_documents({}) == 3, "malformed records stay"
