"""Replay through handlers, on a real server: the runs, their order, and the unchanged log."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from craft_easy.core.events import DomainEvent, EventBus, current_delivery
from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import HandlerNotFound
from craft_easy.core.events.history.replay import Replay, ReplayOptions, ReplaySummary, replay
from craft_easy.core.events.model.retry import Discard, Retry
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore, read
from tests.store.replays import BEGAN, EVERYTHING, events, in_order
from tests.support.runs import Ran, Recorder

DRIVERS = ("a URI",)
Hash = Callable[[], str]


@pytest.fixture
def database(embedded_uri: str, database_name: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](embedded_uri) as client:
        yield client[database_name]


@pytest.fixture
def state(database: Any) -> Hash:
    """Return a hash of every byte of every collection."""

    def taken() -> str:
        digest = hashlib.sha256()
        for name in sorted(database.list_collection_names()):
            digest.update(name.encode())
            for document in database[name].find().sort("_id", 1):
                digest.update(bson.encode(document))
        return digest.hexdigest()

    return taken


async def test_handlers_get_each_event_unchanged_with_is_replay_set(bus: EventBus, store: EventStore) -> None:
    [event] = events(1, payload={"n": 1}, actor_id="user_1")
    await store.append(event)
    seen: list[Any] = []

    async def look(got: DomainEvent) -> None:
        current = current_delivery()
        seen.append((got, current.is_replay, current.replay_id, current.handler_id, current.attempt))

    bus.subscribe("*", look, id="t:look")
    summary = await replay(bus, EVERYTHING)
    assert seen == [(event, True, summary.replay_id, "t:look", 1)]
    assert seen[0][0].timestamp == event.timestamp
    assert (summary.events, summary.done, summary.failed, summary.is_complete) == (1, 1, 0, True)


async def test_each_tenant_is_in_order_and_so_are_events_without_one(
    bus: EventBus, store: EventStore, noted: Ran
) -> None:
    stored = events(90)
    await store.append_many(stored)
    summary = await replay(bus, EVERYTHING, ReplayOptions(concurrency=3))
    assert summary.events == 90
    for tenant in ("a", "b", None):
        assert noted.by_tenant[tenant] == in_order([one for one in stored if one.tenant_id == tenant])
    assert noted.most == 3


async def test_one_at_a_time_goes_through_history_in_its_order(bus: EventBus, store: EventStore, noted: Ran) -> None:
    stored = events(40, tenants=["a"])
    await store.append_many(stored)
    await replay(bus, EVERYTHING, ReplayOptions(concurrency=1))
    assert noted.order == in_order(stored)


async def test_a_replay_writes_nothing_for_any_behaviour_of_handlers(
    bus: EventBus, store: EventStore, state: Hash
) -> None:
    await store.append_many(events(3), handlers=["t:publish"])
    other = EventBus()
    other.configure_store(store)
    threads: list[threading.Thread] = []
    left: list[asyncio.Task[None]] = []
    may_end = asyncio.Event()

    async def publish(event: DomainEvent) -> None:
        new = DomainEvent(event_type="stock.reserved", tenant_id=event.tenant_id)
        await bus.publish(new)
        await bus.publish_many([new, DomainEvent(event_type="mail.sent")])
        await other.publish(DomainEvent(event_type="other.published"))
        assert await store.append(DomainEvent(event_type="stored.directly")) is False
        left.append(asyncio.create_task(publish_later()))
        threads.append(threading.Thread(target=bus.publish_from_thread, args=(DomainEvent(event_type="a.thread"),)))
        threads[-1].start()

    async def publish_later() -> None:
        await may_end.wait()
        await bus.publish(DomainEvent(event_type="left.behind"))

    bus.subscribe("order.*", publish, id="t:publish")
    bus.subscribe("*", store.append, id="t:append")
    before = state()
    stop = asyncio.Event()
    summary = await replay(bus, EVERYTHING, stop=stop)
    may_end.set()
    await asyncio.gather(*left)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await bus.aclose()
    assert state() == before
    assert (summary.done, summary.failed) == (6, 0)
    assert summary.suppressed >= 3 * 6


async def test_a_transaction_of_a_handler_is_committed_without_its_events(
    bus: EventBus, store: EventStore, embedded_uri: str, database_name: str, database: Any, state: Hash
) -> None:
    from pymongo import AsyncMongoClient

    await store.append_many(events(1))
    client = AsyncMongoClient[dict[str, Any]](embedded_uri)

    async def book(event: DomainEvent) -> None:
        async with bus.transaction(client) as tx:
            await client[database_name]["booked"].insert_one({"_id": event.event_id}, session=tx.session)
            await tx.publish(DomainEvent(event_type="order.booked"))
        async with current_delivery().transaction(client) as session:
            await client[database_name]["booked"].insert_one({"_id": "exactly once"}, session=session)

    bus.subscribe("*", book, id="t:book")
    summary = await replay(bus, EVERYTHING)
    await client.aclose()
    assert (summary.done, summary.suppressed) == (1, 1)
    assert database["booked"].count_documents({}) == 2
    assert database["event_log"].count_documents({}) == 1
    assert "event_log_workers" not in database.list_collection_names()


async def test_after_it_the_application_publishes_as_before(bus: EventBus, store: EventStore, database: Any) -> None:
    await store.append_many(events(1))
    bus.subscribe("order.*", Ran().handler("x"), id="t:note")
    await replay(bus, EVERYTHING)
    await bus.publish(DomainEvent(event_type="order.paid"))
    assert database["event_log"].count_documents({}) == 2


async def test_with_cascade_what_is_published_is_stored_and_runs_and_is_the_same_when_repeated(
    bus: EventBus, store: EventStore, database: Any, tmp_path: Path
) -> None:
    await store.append_many(events(3))
    ran: list[str] = []

    async def publish(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="stock.reserved", payload={"of": event.event_id}))

    async def reserved(event: DomainEvent) -> None:
        assert not current_delivery().is_replay
        ran.append(event.payload["of"])

    bus.subscribe("order.*", publish, id="t:publish")
    bus.subscribe("stock.*", reserved, id="t:reserved", background=True)
    options = ReplayOptions(cascade=True, handlers=("t:publish",))
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    one = Replay(bus, EVERYTHING, options, checkpoint=point)
    await one.begin()
    point.write(one.position.to_json())
    summary = await one.run(asyncio.Event())
    assert (summary.events, summary.suppressed, len(ran)) == (3, 0, 3)
    assert database["event_log"].count_documents({}) == 6
    point.write(one.position.to_json())
    await replay(bus, EVERYTHING, options, checkpoint=point)
    assert database["event_log"].count_documents({}) == 6


async def test_only_chosen_handlers_run_and_those_that_are_not_replayable_do_not(
    bus: EventBus, store: EventStore, noted: Ran
) -> None:
    await store.append_many(events(2))
    other = Ran()
    bus.subscribe("*", other.handler("t:other"), id="t:other")
    bus.subscribe("order.*", Ran().handler("x"), id="t:once", replayable=False)
    one = Replay(bus, EVERYTHING, ReplayOptions(handlers=("t:note", "t:once")))
    await one.begin()
    plan = await one.plan()
    summary = await one.run(asyncio.Event())
    assert (plan.counts.events, plan.counts.deliveries, plan.not_replayable) == (2, 2, {"t:once": 2})
    assert (summary.done, len(noted.order), other.order) == (2, 2, [])


async def test_a_handler_that_is_not_loaded_is_an_error(bus: EventBus, noted: Ran) -> None:
    with pytest.raises(HandlerNotFound):
        await replay(bus, EVERYTHING, ReplayOptions(handlers=("t:unknown",)))


async def test_the_plan_counts_by_type_tenant_and_handler_within_the_selection(
    bus: EventBus, store: EventStore
) -> None:
    bus.subscribe("order.*", Ran().handler("x"), id="t:order")
    bus.subscribe("*", Ran().handler("x"), id="t:all", background=True)
    await store.append_many([*events(6), *events(4, event_type="mail.sent", tenants=["c"])])

    async def plan(selection: Selection, *handlers: str) -> Any:
        one = Replay(bus, selection, ReplayOptions(handlers=handlers))
        await one.begin()
        return await one.plan()

    everything = await plan(EVERYTHING)
    assert (everything.counts.events, everything.counts.deliveries, everything.unhandled) == (10, 16, 0)
    assert everything.counts.by_type == {"order.placed": 6, "mail.sent": 4}
    assert everything.counts.by_tenant == {"a": 2, "b": 2, None: 2, "c": 4}
    assert everything.counts.by_handler == {"t:order": 6, "t:all": 10}
    only = await plan(EVERYTHING, "t:order")
    assert (only.counts.events, only.unhandled) == (6, 4)
    assert (await plan(Selection(limit=5))).counts.events == 5
    assert (await plan(Selection(tenants=("c",), since=BEGAN + timedelta(seconds=1)))).counts.events == 2


async def test_a_failing_handler_stops_no_other_and_is_reported(bus: EventBus, store: EventStore) -> None:
    stored = events(4, tenants=["a"])
    await store.append_many(stored)
    first = in_order(stored)[0]

    async def fail(event: DomainEvent) -> None:
        if event.event_id == first:
            raise ValueError("no")

    async def signal(event: DomainEvent) -> None:
        raise Retry if event.event_id == first else Discard("old")

    ran = Ran()
    bus.subscribe("*", fail, id="t:fail")
    bus.subscribe("*", signal, id="t:signal", background=True)
    bus.subscribe("*", ran.handler("t:note"), id="t:note")
    recorder = Recorder()
    summary = await replay(bus, EVERYTHING, observer=recorder)
    assert ran.order == in_order(stored)
    assert (summary.events, summary.done, summary.failed, summary.skipped) == (4, 7, 2, 3)
    assert not summary.is_clean
    outcomes = {(one.event_id, one.handler): (one.outcome, one.error) for one in recorder.reports}
    assert outcomes[first, "t:fail"] == ("failed", "ValueError: no")
    assert outcomes[first, "t:signal"] == ("failed", "Retry: asks for another attempt, which a replay does not give")
    assert (len(recorder.reports), recorder.ends) == (12, 4)


async def test_events_stored_after_the_start_are_not_replayed(bus: EventBus, store: EventStore) -> None:
    await store.append_many(events(3))
    ran = Ran()
    bus.subscribe("*", ran.handler("t:note"), id="t:note")
    one = Replay(bus, EVERYTHING, ReplayOptions())
    await one.begin()
    await store.append(DomainEvent(event_type="later"))
    assert (await one.plan()).counts.events == 3
    assert (await one.run(asyncio.Event())).events == 3


async def test_a_scan_of_an_empty_log_ends_at_once(bus: EventBus, noted: Ran) -> None:
    summary = await replay(bus, EVERYTHING)
    assert (summary.events, summary.is_complete) == (0, True)


async def test_named_events_run_in_order_and_missing_ones_are_reported(
    bus: EventBus, store: EventStore, noted: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MAX_IDS", 50)
    stored = events(125)
    await store.append_many(stored)
    ids = in_order(stored)
    other = Ran()
    bus.subscribe("*", other.handler("t:other"), id="t:other")
    only = dict.fromkeys(reversed(ids[:110])) | {"unknown": None, ids[120]: frozenset({"t:other"})}
    one = Replay(bus, Selection(tenants=("a",)), ReplayOptions(only=only))
    await one.begin()
    plan, summary = await one.plan(), await one.run(asyncio.Event())
    of_a = {one.event_id for one in stored if one.tenant_id == "a"}
    assert summary.missing == ("unknown",)
    assert noted.order == [one for one in ids[:110] if one in of_a]
    assert other.order == [one for one in [*ids[:110], ids[120]] if one in of_a]
    assert plan.counts.events == summary.events == len(other.order)
    assert plan.counts.deliveries == summary.done


async def test_malformed_records_are_counted_and_nothing_runs_on_them(
    bus: EventBus, store: EventStore, noted: Ran, database: Any, tmp_path: Path
) -> None:
    await store.append_many(events(2))
    odd: list[dict[str, Any]] = [{"payload": 1}, {"timestamp": "then"}, {"event_id": "x", "timestamp": None}]
    before_all = [{"event_id": number, "timestamp": BEGAN - timedelta(days=1)} for number in range(3)]
    database["event_log"].insert_many([*odd, *before_all])
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    summary = await replay(bus, EVERYTHING, checkpoint=point)
    assert (summary.events, summary.malformed, summary.is_complete) == (2, 3, True)
    named = Replay(bus, EVERYTHING, ReplayOptions(only=dict.fromkeys([*noted.order, "x"])))
    await named.begin()
    assert (await named.run(asyncio.Event())).missing == ("x",)
    assert max(Counter(noted.order).values()) == 2


def test_options_that_cannot_be_meant_are_refused() -> None:
    for wrong in ({"concurrency": 0}, {"rate": 0.0}, {"speed": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ReplayOptions(**wrong)
    assert ReplaySummary().is_clean
