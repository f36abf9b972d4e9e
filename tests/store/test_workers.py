"""The workers in the registry and in the log."""

import asyncio
from datetime import timedelta

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.operations.workers import living, workers
from craft_easy.core.events.store import EventStore
from tests.store.graveyard import event, failed, store_with

LEASE = 0.6

# ------------------------------------------------------------------ workers


async def test_workers_are_listed_with_their_records_and_last_heartbeat(store: EventStore) -> None:
    now = await store.now()
    registry = await store.workers_collection()
    for owner, beat_at, fenced in (
        ("api-1:1:aa", now, False),
        ("api-2:2:bb", now - timedelta(seconds=40), False),
        ("api-3:3:cc", now, True),
        ("api-4:4:dd", now, True),
    ):
        host, pid, _ = owner.split(":")
        entry = {"host": host, "pid": int(pid), "lease": 30.0, "fenced": fenced}
        await registry.insert_one({"_id": owner, "started_at": now - timedelta(hours=1), "beat_at": beat_at, **entry})
    for number, name in enumerate(["api-1:1:aa", "api-2:2:bb", "api-2:2:bb", "gone:9:ff", None, "api-4:4:dd"]):
        await store_with(store, event(number), failed("a", "pending"), owner=name)
    await store_with(store, event(9), failed("a"), owner="api-1:1:aa")
    found = await workers(store)
    assert [(one.owner, one.state, one.open) for one in found] == [
        ("gone:9:ff", "gone", 1),
        ("api-2:2:bb", "silent", 2),
        ("api-1:1:aa", "alive", 1),
        ("api-4:4:dd", "fenced", 1),
    ], "a worker that was taken over and owns nothing is gone"
    silent = found[1]
    assert (silent.host, silent.pid, silent.lease) == ("api-2", 2, 30.0)
    assert silent.silent_s is not None
    assert 40 <= silent.silent_s < 60
    assert found[0].beat_at is None


async def test_what_runs_now_is_shown_with_its_event_and_since_when(store: EventStore, bus: EventBus) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_: DomainEvent) -> None:
        started.set()
        await may_end.wait()

    bus.subscribe("*", slow, id="t:slow", background=True)
    published = DomainEvent(event_type="order.placed")
    before = await store.now()
    await bus.publish(published)
    await started.wait()
    async with asyncio.timeout(60):
        while not (found := await living(store)).running:
            pass
    [running] = found.running
    assert (found.number, running.handler, running.event_id) == (1, "t:slow", published.event_id)
    assert before <= running.since <= await store.now()
    [worker] = await workers(store)
    assert [one.event_id for one in worker.running] == [published.event_id]
    may_end.set()
    await bus.drain()


async def test_without_workers_there_are_none(store: EventStore) -> None:
    assert await workers(store) == []
