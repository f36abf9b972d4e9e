"""Watching inserts, on both drivers: the selection, continuing, and the end of a stream."""

from __future__ import annotations

from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore, drivers
from craft_easy.core.events.store.change_stream import ChangeStream, ChangeStreamsMissing, LogDropped, stages


def event(number: int, event_type: str = "order.placed", **fields: Any) -> DomainEvent:
    return DomainEvent(event_type=event_type, payload={"number": number}, **fields)


async def following(stream: ChangeStream, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        change = await stream.next()
        if change is not None:
            found.append(change.record["payload"]["number"])
    return found


async def test_events_stored_after_the_start_are_received(real_store: EventStore) -> None:
    await real_store.append(event(1))
    stream = await real_store.watch(Selection())
    await real_store.append_many([event(2), event(3)])
    assert await following(stream, 2) == [2, 3]
    await stream.aclose()


async def test_the_server_sends_selected_events_only(real_store: EventStore) -> None:
    stream = await real_store.watch(Selection(tenants=("a",), no_tenant=True, types=("order.*", "x?")))
    await real_store.append_many(
        [
            event(1, tenant_id="a"),
            event(2, tenant_id="b"),
            event(3),
            event(4, "xy", tenant_id="a"),
            event(5, "xyz", tenant_id="a"),
            event(6, "orders", tenant_id="a"),
            event(7, tenant_id="a"),
        ]
    )
    assert await following(stream, 4) == [1, 3, 4, 7]
    await stream.aclose()


async def test_changes_of_a_known_record_are_not_new_events(real_store: EventStore) -> None:
    stream = await real_store.watch(Selection())
    await real_store.append(event(1))
    async with real_store.call() as site:
        await site.events.update_one({}, {"$set": {"delivery": None}})
        await site.events.delete_one({})
    await real_store.append(event(2))
    assert await following(stream, 2) == [1, 2]
    await stream.aclose()


async def test_none_is_returned_after_a_second_without_a_change(real_store: EventStore) -> None:
    stream = await real_store.watch(Selection())
    assert await stream.next() is None
    await stream.aclose()


async def test_a_stream_continues_from_a_token(real_store: EventStore) -> None:
    first = await real_store.watch(Selection())
    begin = first.token
    await real_store.append_many([event(1), event(2)])
    assert await following(first, 1) == [1]
    after_one = first.token
    await first.aclose()
    await real_store.append(event(3))
    for token, expected in ((begin, [1, 2, 3]), (after_one, [2, 3])):
        again = await real_store.watch(Selection(), after=token)
        assert await following(again, len(expected)) == expected
        await again.aclose()


async def test_a_token_that_the_server_cannot_use_is_a_checkpoint_error(real_store: EventStore) -> None:
    with pytest.raises(CheckpointError) as caught:
        await real_store.watch(Selection(), after={"_data": "of another server"})
    assert "--since" in str(caught.value.hint)


async def test_a_dropped_collection_ends_it(real_store: EventStore) -> None:
    await real_store.append(event(1))
    stream = await real_store.watch(Selection())
    async with real_store.call() as site:
        await site.events.drop()
    with pytest.raises(LogDropped, match=r"event_log was dropped"):
        await following(stream, 1)
    await stream.aclose()


async def test_a_database_in_memory_has_no_change_streams(database: Any) -> None:
    store = EventStore(database)
    if not drivers.is_mock((await store.connection()).database):
        await (await store.watch(Selection())).aclose()
        return
    with pytest.raises(ChangeStreamsMissing):
        await store.watch(Selection())


async def test_records_come_as_they_are_decoded_for_reading(real_store: EventStore) -> None:
    stream = await real_store.watch(Selection())
    await real_store.append(event(1))
    change = None
    while change is None:
        change = await stream.next()
    assert change.record["timestamp"].tzinfo is None
    await stream.aclose()


def test_the_pipeline_filters_by_the_inserted_document() -> None:
    assert stages(Selection(tenants=("a",), no_tenant=True, types=("x.*", "y"), limit=3, reverse=True)) == [
        {
            "$match": {
                "$or": [
                    {"operationType": {"$in": ["drop", "dropDatabase", "rename", "invalidate"]}},
                    {
                        "operationType": "insert",
                        "fullDocument.tenant_id": {"$in": ["a", None]},
                        "$or": [
                            {"fullDocument.event_type": {"$eq": "y"}},
                            {"fullDocument.event_type": stages_regex()},
                        ],
                    },
                ]
            }
        }
    ]


def stages_regex() -> Any:
    from craft_easy.core.events.store.filters import selection_filter

    return selection_filter(Selection(types=("x.*",)))["event_type"]
