"""The creation of indexes, and warnings about missing ones."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore, drivers, indexes
from craft_easy.core.events.store.filters import ClaimFilter, DeliveryFilter
from craft_easy.core.events.types import DomainEvent


def event() -> DomainEvent:
    return DomainEvent(event_type="x.y")


async def missing(store: EventStore) -> list[Any]:
    return indexes.missing(await drivers.list_indexes(await store.collection()))


async def test_the_first_append_creates_them_on_a_new_log(
    real_store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    await real_store.append(event())
    assert await missing(real_store) == []
    assert caplog.records == []


async def test_the_first_append_creates_them_on_an_empty_log(real_store: EventStore) -> None:
    events = await real_store.collection()
    await events.insert_one({"_id": 1})
    await events.delete_one({"_id": 1})
    await real_store.append_many([event()])
    assert await missing(real_store) == []


async def test_on_an_old_log_missing_ones_are_one_warning(
    real_store: EventStore, real_database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await (await real_store.collection()).insert_one({"event_type": "old"})
    with caplog.at_level(logging.WARNING, "craft_easy.core.events"):
        await asyncio.gather(*(real_store.append(event()) for _ in range(5)))
        await real_store.append(event())
    (warning,) = caplog.records
    assert warning.name == "craft_easy.core.events"
    assert "lacks 9 of its indexes" in warning.getMessage()
    assert "event_type_1_timestamp_1_event_id_1" in warning.getMessage()
    assert "craft-events doctor --fix" in warning.getMessage()
    assert len(await missing(real_store)) == 9


async def test_they_can_be_created_on_an_old_log_by_name(
    real_store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    await (await real_store.collection()).insert_one({"event_type": "old"})
    created = await real_store.ensure_indexes()
    assert len(created) == 9
    assert await real_store.ensure_indexes() == []
    await real_store.append(event())
    assert caplog.records == []


async def test_reading_creates_nothing(real_store: EventStore, real_database: Any) -> None:
    assert await real_store.replay() == []
    assert await real_store.get("x") is None
    assert await real_database.list_collection_names() == []


async def test_many_that_start_at_once_do_not_block_each_other(
    real_database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stores = [EventStore(real_database) for _ in range(8)]
    await asyncio.gather(*(store.append(event()) for store in stores))
    assert await missing(stores[0]) == []
    assert len(await stores[0].replay()) == 8
    assert caplog.records == []


async def test_one_that_looks_while_another_begins_warns_of_nothing(
    real_database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    look, others = drivers.list_indexes, [EventStore(real_database)]

    async def list_before_another_creates(collection: Any) -> Any:
        seen = await look(collection)
        if others:
            await others.pop().append(event())
        return seen

    monkeypatch.setattr(drivers, "list_indexes", list_before_another_creates)
    await EventStore(real_database).append(event())
    assert caplog.records == []


async def hinted(store: EventStore, index: str) -> int:
    async with store.call() as connection:
        return int(await connection.events.count_documents({}, **await indexes.hint(connection, index)))


async def test_a_hint_is_given_of_an_index_that_was_listed(real_store: EventStore) -> None:
    await real_store.append(event())
    async with real_store.call() as connection:
        names = ("timestamp_1_event_id_1", "no_such_index", None)
        assert [await indexes.hint(connection, name) for name in names] == [{"hint": names[0]}, {}, {}]


async def test_a_log_without_an_index_is_read_without_a_hint_after_one_warning(
    real_store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    await (await real_store.collection()).insert_many([{"event_type": "old"}, {"event_type": "old"}])
    for _ in range(2):
        assert await hinted(real_store, indexes.DEAD_INDEX) == 2
    (warning,) = caplog.records
    assert "craft-events doctor --fix" in warning.getMessage()


async def test_another_index_of_the_same_name_hides_no_record(real_store: EventStore) -> None:
    events = await real_store.collection()
    await events.insert_many([{"event_type": "old"}, {"event_type": "old"}])
    await events.create_index(
        [("timestamp", 1), ("event_id", 1)], name=indexes.DEAD_INDEX, partialFilterExpression={"x": 1}
    )
    assert await hinted(real_store, indexes.DEAD_INDEX) == 2


async def test_a_query_runs_without_an_index_that_was_dropped(real_store: EventStore) -> None:
    await real_store.append_many([event()], handlers=["a"])
    assert await hinted(real_store, indexes.OPEN_INDEX) == 1
    await (await real_store.collection()).drop_index(indexes.OPEN_INDEX)
    with pytest.raises(StoreUnavailable):
        await hinted(real_store, indexes.OPEN_INDEX)
    assert await hinted(real_store, indexes.OPEN_INDEX) == 1


async def test_a_scan_continues_without_an_index_that_was_dropped(real_store: EventStore) -> None:
    await real_store.append_many([event()], handlers=["a"])
    for _ in range(2):
        assert [len(page) async for page in real_store.batches(Selection(states=("open",)))] == [1]
        if indexes.OPEN_INDEX in await (await real_store.collection()).index_information():
            await (await real_store.collection()).drop_index(indexes.OPEN_INDEX)


async def test_a_duplicate_event_id_is_named_and_keeps_no_other_index_away(real_store: EventStore) -> None:
    events = await real_store.collection()
    await events.insert_many([{"event_id": "same"}, {"event_id": "same"}])
    with pytest.raises(StoreError, match=r"event_id_1 cannot be created: .*E11000"):
        await real_store.ensure_indexes()
    assert [index.document["name"] for index in await missing(real_store)] == ["event_id_1"]
    async with real_store.call() as connection:
        built = await indexes.build(connection)
    assert (built.created, list(built.refused)) == ((), ["event_id_1"])


async def test_the_engine_s_queries_are_answered_by_partial_indexes(real_store: EventStore) -> None:
    await real_store.append(event(), handlers=["a"])
    patterns = {"a": ("*",)}
    wanted = ClaimFilter(Selection(), handlers=patterns, loaded=patterns, due_at=await real_store.now())
    events = await real_store.collection()
    for condition, hint in (
        (wanted.unowned(), indexes.CLAIM_INDEX),
        (wanted.orphaned(), indexes.CLAIM_INDEX),
        ({"delivery.state": "open", "delivery.owner": {"$gt": ""}}, indexes.OWNER_INDEX),
        (DeliveryFilter(Selection()).having("pending"), indexes.OPEN_INDEX),
        (DeliveryFilter(Selection()).having("dead"), indexes.DEAD_INDEX),
    ):
        plan = await events.database.command("explain", {"find": events.name, "filter": condition, "hint": hint})
        assert f"'indexName': '{hint}'" in str(plan)


async def test_the_unique_index_guards_ids_that_another_writer_stored(real_store: EventStore) -> None:
    await real_store.ensure_indexes()
    events = await real_store.collection()
    old = event()
    await events.insert_one(
        {"event_id": old.event_id, "event_type": old.event_type, "payload": {}, "timestamp": old.timestamp}
    )
    assert await real_store.append(old) is False
    assert len(await real_store.replay()) == 1


async def test_on_mongomock_they_are_created_once(caplog: pytest.LogCaptureFixture, store: EventStore) -> None:
    assert len(await store.ensure_indexes()) == 9
    assert await store.ensure_indexes() == []
    await store.append(event())
    assert caplog.records == []
