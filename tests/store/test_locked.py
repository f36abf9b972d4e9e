"""A record that the transaction of a dead process has locked."""

import asyncio
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore, deliveries
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.worker_registry import WorkerRegistry

DRIVERS = ("a URI",)


@pytest.mark.slow
async def test_a_record_that_a_dead_transaction_locks_holds_up_no_other(
    store: EventStore, embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "APART_S", 0.3)
    monkeypatch.setattr("craft_easy.core.events.engine.takeover.FREEING_S", 1.0)
    events = [DomainEvent(event_type="order.placed", payload={"n": number}) for number in range(10)]
    await store.append_many(events, handlers=["a"])
    registry = WorkerRegistry(store)
    await registry.register("elsewhere:1:dead", lease=60)
    await (await store.collection()).update_many({}, {"$set": {"delivery.owner": "elsewhere:1:dead"}})
    await registry.fence((await registry.entries())["elsewhere:1:dead"])
    ran: list[int] = []
    async with (
        AsyncMongoClient[dict[str, Any]](embedded_uri) as dead,
        dead.start_session() as session,
        EventBus() as bus,
    ):
        await session.start_transaction()
        locked = dead[database_name]["event_log"]
        for event in (events[2], *events[5:]):
            await locked.update_one({"_id": record_id(event.event_id)}, {"$set": {"x": 1}}, session=session)
        bus.configure_store(store, lease=3)
        bus.subscribe("*", lambda event: ran.append(event.payload["n"]), id="a")
        async with asyncio.timeout(60):
            assert (await redispatch(bus, Selection(), RedispatchOptions(wait=False))).done == 4
        assert sorted(ran) == [0, 1, 3, 4]
        await session.abort_transaction()
        assert (await redispatch(bus, Selection(), RedispatchOptions(wait=False))).done == 6
