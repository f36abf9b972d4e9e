"""The calls that differ between the drivers, on a real server."""

from __future__ import annotations

import asyncio
from typing import Any

from craft_easy.core.events.store import EventStore, drivers
from craft_easy.core.events.types import DomainEvent


async def test_an_aggregation_is_read_alike(store: EventStore) -> None:
    await store.append_many([DomainEvent(event_type=f"t.{number % 2}") for number in range(6)])
    async with store.call() as site:
        cursor = await drivers.aggregate(site.events, [{"$group": {"_id": "$event_type", "events": {"$sum": 1}}}])
        rows = await cursor.to_list(None)
    assert sorted((row["_id"], row["events"]) for row in rows) == [("t.0", 3), ("t.1", 3)]


async def test_a_collection_that_is_not_there_has_no_indexes(store: EventStore) -> None:
    async with store.call() as site:
        assert await drivers.list_indexes(site.events) == []


async def test_a_session_is_started_alike(real_store: EventStore) -> None:
    async with real_store.call() as site:
        async with await drivers.start_session(site.database.client) as session:
            await site.events.insert_one({"_id": 1}, session=session)
        assert await site.events.count_documents({}) == 1


async def test_a_change_stream_is_opened_alike(real_store: EventStore) -> None:
    await real_store.append(DomainEvent(event_type="before"))
    events = await real_store.collection()
    stream = await drivers.watch(events, [{"$match": {"operationType": "insert"}}], max_await_time_ms=100)
    await stream.try_next()
    await real_store.append(DomainEvent(event_type="after"))
    change: Any = None
    async with asyncio.timeout(60):
        while change is None:
            change = await stream.try_next()
    assert change["fullDocument"]["event_type"] == "after"
    await drivers.close(stream)
