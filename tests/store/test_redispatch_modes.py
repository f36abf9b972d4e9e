"""The modes of a redispatch: due, watch, suspects alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus, StoreUnavailable
from craft_easy.core.events.engine import outage
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed, DeliveryReport, Notice
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.model.retry import Retry, RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch, redispatching
from craft_easy.core.events.redispatch import loop as module
from craft_easy.core.events.redispatch.claiming import Claimer
from craft_easy.core.events.redispatch.options import claim_filter
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries, Listed
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.conditions import becomes
from tests.support.deliveries import delivery_of, set_fields
from tests.support.redispatches import deliver, events

DRIVERS = ("a URI",)
LEASE = 1.0
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


# due


async def test_only_due_deliveries_run_if_back_off_is_honoured(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []

    async def fails_once(event: DomainEvent) -> None:
        ran.append("slow to recover")
        if len(ran) == 1:
            raise ValueError("no")

    [event] = published = events(1)
    await store.append_many(published, handlers=["a"])
    bus.subscribe("*", fails_once, id="a", retry=RetryPolicy(delay=3600))
    assert (await deliver(bus, now=False)).failed == 1
    assert (await deliver(bus, now=False)).claimed == 0, "it is due in an hour"
    due = (await delivery_of(store, event)).due_at
    assert due is not None
    await set_fields(store, event, delivery__due_at=BEGAN, delivery__handlers__0__due_at=BEGAN)
    assert (await deliver(bus, now=False)).done == 1


async def test_each_handler_has_its_own_time(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []

    def handler(name: str) -> Any:
        async def run(_: DomainEvent) -> None:
            ran.append(name)

        return run

    [event] = published = events(1)
    await store.append_many(published, handlers=["soon", "late", "gone"])
    for name in ("soon", "late"):
        bus.subscribe("*", handler(name), id=name)
    later = await store.now() + timedelta(hours=1)
    await set_fields(store, event, delivery__handlers__1__due_at=later)
    assert (await deliver(bus, now=False)).done == 1
    left = await delivery_of(store, event)
    assert ran == ["soon"]
    assert [one.state for one in left.handlers] == ["done", "pending", "pending"]
    assert (await deliver(bus, now=False)).claimed == 0, "the due delivery is that of a handler that is not loaded"
    assert (await deliver(bus)).done == 1, "`now` ignores back-off"


async def test_back_off_is_honoured_by_default_and_the_summary_has_its_end(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []

    async def fails_once(event: DomainEvent) -> None:
        ran.append(event.event_id)
        if len(ran) == 1:
            raise ValueError("no")

    await store.append_many(published := events(1), handlers=["a"])
    bus.subscribe("*", fails_once, id="a", retry=RetryPolicy(delay=3600))
    first = await redispatch(bus, Selection(), RedispatchOptions(wait=False))
    due_at = (await delivery_of(store, published[0])).due_at
    assert (first.events, first.failed, first.not_due, first.next_due_at) == (1, 1, 1, due_at)
    again = await redispatch(bus, Selection(), RedispatchOptions(wait=False))
    assert (again.claimed, again.not_due, again.next_due_at, again.is_clean) == (0, 1, due_at, True)
    assert (await redispatch(bus, Selection(), RedispatchOptions(wait=False, now=True))).done == 1


async def test_a_handler_that_raises_retry_has_not_failed(bus: EventBus, store: EventStore) -> None:
    def later(_: DomainEvent) -> None:
        raise Retry(after=3600)

    await store.append_many(events(1), handlers=["a"])
    bus.subscribe("*", later, id="a")
    summary = await deliver(bus)
    assert (summary.retried, summary.failed, summary.not_due, summary.is_clean) == (1, 0, 1, True)


# watch


async def test_a_slow_delivery_does_not_keep_a_watch_from_others(bus: EventBus, store: EventStore) -> None:
    gate, quick = asyncio.Event(), asyncio.Event()

    async def handle(event: DomainEvent) -> None:
        if event.payload["n"] == 0:
            await gate.wait()
        else:
            quick.set()

    [slow, late] = events(2)
    bus.subscribe("*", handle, id="a")
    await store.append(slow, handlers=["a"])
    async with redispatching(bus, options=RedispatchOptions(concurrency=2)):
        await becomes(lambda: bool(bus.publisher.record_owner().worker.running_handlers.longest))
        await store.append(late, handlers=["a"])
        await asyncio.wait_for(quick.wait(), 60)
        gate.set()
    assert (await delivery_of(store, slow)).state == (await delivery_of(store, late)).state == "done"


async def test_a_slow_delivery_does_not_keep_a_watch_from_taking_over(bus: EventBus, store: EventStore) -> None:
    gate, quick = asyncio.Event(), asyncio.Event()

    async def handle(event: DomainEvent) -> None:
        if event.payload["n"] == 0:
            await gate.wait()
        else:
            quick.set()

    [slow, left_behind] = events(2)
    bus.subscribe("*", handle, id="a")
    await store.append(slow, handlers=["a"])
    async with redispatching(bus, options=RedispatchOptions(concurrency=2)):
        await becomes(lambda: bool(bus.publisher.record_owner().worker.running_handlers.longest))
        await store.append(left_behind, handlers=["a"])
        await set_fields(store, left_behind, delivery__owner="elsewhere:1:unknown")
        await asyncio.wait_for(quick.wait(), 10)
        gate.set()
    assert (await delivery_of(store, left_behind)).takeovers == 1


async def test_a_watch_counts_an_event_once_however_often_it_is_claimed(bus: EventBus, store: EventStore) -> None:
    stop, ran = asyncio.Event(), 0

    def fails_twice(_: DomainEvent) -> None:
        nonlocal ran
        ran += 1
        if ran < 3:
            raise ValueError("no")
        stop.set()

    await store.append_many(events(1), handlers=["a"])
    bus.subscribe("*", fails_twice, id="a", retry=RetryPolicy(delay=0.01))
    summary = await redispatch(bus, Selection(), RedispatchOptions(watch=True), stop=stop)
    assert (summary.claimed, summary.events, summary.done, summary.failed) == (3, 1, 1, 2)


async def test_a_watch_delivers_due_events_until_it_is_stopped(bus: EventBus, store: EventStore) -> None:
    attempts: list[int] = []

    async def third_time(event: DomainEvent) -> None:
        attempts.append(event.payload["n"])
        if attempts.count(event.payload["n"]) < 3:
            raise Retry(after=0.05)

    bus.subscribe("*", third_time, id="a")
    stop = asyncio.Event()
    watching = asyncio.create_task(redispatch(bus, Selection(), RedispatchOptions(watch=True), stop=stop))
    published = events(3)
    await store.append_many(published, handlers=["a"])
    await becomes(lambda: len(attempts) == 9)
    stop.set()
    summary = await watching
    assert (summary.done, summary.retried) == (3, 6)
    assert {(await delivery_of(store, event)).state for event in published} == {"done"}


async def test_an_application_redispatches_while_the_block_runs(bus: EventBus, store: EventStore) -> None:
    ran: list[DomainEvent] = []
    bus.subscribe("*", ran.append, id="a")
    async with redispatching(bus):
        await store.append_many(events(5), handlers=["a"])
        await becomes(lambda: len(ran) == 5)
    await store.append_many(events(1), handlers=["a"])
    await bus.drain()
    assert len(ran) == 5, "it has ended"
    assert await Deliveries(store).owners() == {}


async def test_a_watch_outlives_an_outage_of_the_log(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[Notice] = []
    errors = [StoreUnavailable("gone")] * 3
    list_unowned = Deliveries.unowned

    async def unreachable(*args: Any, **values: Any) -> AsyncIterator[list[Listed]]:
        if errors:
            raise errors.pop()
        async for page in list_unowned(*args, **values):
            yield page

    monkeypatch.setattr(outage, "RETRY_S", 0.01)
    monkeypatch.setattr(Deliveries, "unowned", unreachable)
    ran: list[DomainEvent] = []
    bus.subscribe("*", ran.append, id="a")
    await store.append_many(events(2), handlers=["a"])
    async with redispatching(bus, observer=notices.append):
        await becomes(lambda: len(ran) == 2 and any(isinstance(one, ConnectionResumed) for one in notices))
    kinds = [type(one) for one in notices if isinstance(one, (ConnectionLost, ConnectionResumed))]
    assert kinds == [ConnectionLost, ConnectionResumed], "an outage is reported once, for any number of retries"


async def test_a_run_that_has_an_end_gives_up_after_a_minute_without_its_log(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(*_: Any, **__: Any) -> AsyncIterator[list[Listed]]:
        raise StoreUnavailable("gone")
        yield []

    monkeypatch.setattr(outage, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "OUTAGE_LIMIT_S", 0.05)
    monkeypatch.setattr(Deliveries, "unowned", unreachable)
    bus.subscribe("*", lambda event: None, id="a")
    with pytest.raises(StoreUnavailable):
        await deliver(bus)


async def test_what_the_loop_of_a_slow_handler_has_no_slot_for_stays_with_the_others(
    bus: EventBus, store: EventStore
) -> None:
    bus.subscribe("*", lambda event: None, id="a")
    await store.append_many(events(30), handlers=["a"])
    record_owner, started, options = bus.publisher.record_owner(), asyncio.Event(), RedispatchOptions()
    await record_owner.worker.ready()
    claimer = Claimer(record_owner, None, 10, lambda claimed: None)

    async def start(claimed: list[OwnedRecord]) -> bool:
        started.set()
        await asyncio.Event().wait()
        return True

    wanted = claim_filter(bus.registry, Selection(), options)
    claiming = asyncio.create_task(claimer.claim_all(wanted, start, size=10, ahead=False))
    await started.wait()
    await asyncio.wait([claiming], timeout=0.2)
    assert len(record_owner.writer.owned) == 10
    claiming.cancel()
    await asyncio.wait([claiming])


# suspects


async def test_a_suspect_runs_alone_one_handler_at_a_time_each_noted_before(bus: EventBus, store: EventStore) -> None:
    running_handlers: set[str] = set()
    seen: list[tuple[str, str | None, int]] = []

    def handler(name: str) -> Any:
        async def run(event: DomainEvent) -> None:
            running_handlers.add(f"{event.event_id}:{name}")
            if event is not None and event.event_id == suspect.event_id:
                seen.append((name, (await delivery_of(store, event)).running, len(running_handlers)))
            else:
                await asyncio.sleep(0.01)
            running_handlers.discard(f"{event.event_id}:{name}")

        return run

    published = events(30)
    suspect = published[4]
    await store.append_many(published, handlers=["a", "b"])
    bus.subscribe("*", handler("a"), id="a")
    bus.subscribe("*", handler("b"), id="b", background=True)
    await set_fields(store, suspect, delivery__takeovers=2)
    assert (await deliver(bus)).done == 60
    assert seen == [("a", "a", 1), ("b", "b", 1)]
    after = await delivery_of(store, suspect)
    assert (after.state, after.running) == ("done", None)


async def test_records_taken_over_once_are_claimed_in_batches_of_the_concurrency(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    claim = Deliveries.claim

    async def note(self: Deliveries, ids: Sequence[Any], *args: Any, **values: Any) -> Any:
        sizes.append(len(ids))
        return await claim(self, ids, *args, **values)

    monkeypatch.setattr(Deliveries, "claim", note)
    await store.append_many(events(50), handlers=["a"])
    await (await store.collection()).update_many({}, {"$set": {"delivery.takeovers": 1}})
    bus.subscribe("*", lambda event: None, id="a")
    assert (await deliver(bus, concurrency=8)).done == 50
    assert max(sizes) == 8


async def test_a_handler_that_is_noted_in_three_take_overs_is_dead_and_its_neighbour_is_delivered(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[str] = []
    reports: list[DeliveryReport] = []
    bus.add_observer(reports.append)
    [event] = published = events(1)
    await store.append_many(published, handlers=["kills", "good"])
    bus.subscribe("*", lambda event: ran.append("kills"), id="kills")
    bus.subscribe("*", lambda event: ran.append("good"), id="good")
    registry, collection = WorkerRegistry(store), await store.collection()
    for death in range(3):
        owner = f"elsewhere:1:died-{death}"
        await registry.register(owner, lease=60)
        await registry.fence((await registry.entries())[owner])
        await collection.update_one(
            {}, {"$set": {"delivery.owner": owner, "delivery.running": "kills"}, "$inc": {"delivery.rev": 1}}
        )
        await TakeOver(bus.publisher.record_owner()).once() if death else await deliver(bus, handlers=("good",))
    after = await delivery_of(store, event)
    assert [(one.id, one.state, one.crashes) for one in after.handlers] == [("kills", "dead", 3), ("good", "done", 0)]
    assert ran == ["good"]
    assert [(report.handler, report.outcome) for report in reports] == [("good", "done"), ("kills", "dead")]


# events apart from each other


SEEN: ContextVar[str] = ContextVar("seen", default="")


async def test_a_context_variable_set_for_one_event_is_not_visible_to_another(bus: EventBus, store: EventStore) -> None:
    found: list[str] = []

    async def leaves_a_mark(event: DomainEvent) -> None:
        found.append(SEEN.get())
        SEEN.set(event.event_id)

    bus.subscribe("*", leaves_a_mark, id="a")
    await store.append_many(events(20), handlers=["a"])
    assert (await deliver(bus, concurrency=1)).done == 20
    assert found == [""] * 20
