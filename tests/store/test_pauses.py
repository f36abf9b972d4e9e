"""Paused handlers: their deliveries wait without an attempt, in publishers and in every redispatch, on every driver."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.engine.report import HandlersPaused, HandlersResumed, Notice
from craft_easy.core.events.errors import InvalidSetting, StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.model.retry import RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import pauses
from craft_easy.core.events.redispatch import RedispatchOptions, redispatching
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.pauses import HandlerPauses
from tests.support.conditions import becomes
from tests.support.deliveries import delivery_of, entry, own
from tests.support.redispatches import deliver, events
from tests.support.runs import Ran

BY = "anna@db-1"


async def pause(store: EventStore, handler: str = "a", **values: Any) -> pauses.PauseChange:
    return await pauses.pause(store, handler, by=BY, **values)


def knows(bus: EventBus, *handlers: str) -> bool:
    """Return whether the worker of a bus knows these pauses and no other."""
    return {one.handler for one in bus.publisher.record_owner().worker.pauses.current()} == set(handlers)


@pytest.fixture
def two(bus: EventBus, ran: Ran) -> EventBus:
    """The bus with two handlers for all events."""
    for name in "ab":
        bus.subscribe("*", ran.handler(name), id=name)
    return bus


# what is stored


async def test_a_pause_is_stored_with_its_reason_and_ends_with_a_resume(store: EventStore) -> None:
    await store.append_many(events(3), handlers=["a", "b"])
    assert await pauses.paused_handlers(store) == []
    until = await store.now() + timedelta(hours=2)
    change = await pause(store, until=until, reason="the mail server is down")
    assert (change.former, change.waiting) == (None, 3)
    [found] = await pauses.paused_handlers(store)
    assert (found.handler, found.waiting, found.pause) == ("a", 3, change.pause)
    assert (found.pause.by, found.pause.until, found.pause.reason) == (BY, until, "the mail server is down")
    assert await pauses.resume(store, "a") == found.pause
    assert await pauses.paused_handlers(store) == []
    assert await pauses.resume(store, "a") is None


async def test_a_second_pause_changes_the_end_and_the_reason_but_not_the_beginning(store: EventStore) -> None:
    first = await pause(store, reason="down")
    second = await pauses.pause(store, "a", by="bo@db-2", reason="still down")
    assert second.former == first.pause
    assert second.pause == pauses.Pause("a", first.pause.paused_at, "bo@db-2", None, "still down")


async def test_a_pause_ends_by_itself_and_is_forgotten_by_the_next(store: EventStore, bus: EventBus) -> None:
    over = pauses.Pause("old", await store.now(), BY, await store.now() - timedelta(seconds=1))
    await HandlerPauses(store).put(over)
    assert await pauses.paused_handlers(store) == []
    assert await pauses.resume(store, "old") is None
    await HandlerPauses(store).put(over)
    await pause(store)
    assert [one.handler for one in await HandlerPauses(store).read()] == ["a"]


async def test_a_pause_must_end_in_the_future_and_be_storable(store: EventStore) -> None:
    with pytest.raises(InvalidSetting, match="not in the future"):
        await pause(store, until=await store.now())
    with pytest.raises(InvalidSetting, match="UTF-8"):
        await pause(store, reason="\udcff")
    with pytest.raises(InvalidSetting, match="empty"):
        await pause(store, "")
    assert await HandlerPauses(store).read() == ()


async def test_a_pause_of_another_program_holds_as_far_as_it_can_be_read(store: EventStore) -> None:
    async with store.call() as connection:
        await connection.handlers.insert_many([{"_id": "a", "until": "soon", "by": 7}, {"_id": 7}])
    [found] = await pauses.paused_handlers(store)
    assert found.pause == pauses.Pause("a")


async def test_nothing_but_a_pause_creates_the_collection(two: EventBus, store: EventStore) -> None:
    await two.publish(events(1)[0])
    await two.drain()
    await deliver(two)
    await pauses.paused_handlers(store)
    await pauses.resume(store, "a")
    async with store.call() as connection:
        assert store.handlers_name not in await connection.database.list_collection_names()


# publishers


async def test_a_publisher_leaves_the_delivery_of_a_paused_handler_and_runs_the_others(
    two: EventBus, store: EventStore, ran: Ran
) -> None:
    await pause(store)
    [event] = events(1)
    await two.publish(event)
    await two.drain()
    stored = await delivery_of(store, event)
    assert ran.runs == {("b", event.event_id): 1}
    assert (stored.state, stored.owner) == ("open", None)
    assert (entry(stored, "a").state, entry(stored, "a").attempts, entry(stored, "a").crashes) == ("pending", 0, 0)
    assert entry(stored, "b").state == "done"


async def test_a_publisher_gives_back_a_record_of_paused_handlers_alone(
    two: EventBus, store: EventStore, ran: Ran
) -> None:
    await pause(store, "a")
    await pause(store, "b")
    await two.publish_many(published := events(3))
    await two.drain()
    assert not ran.runs
    for event in published:
        stored = await delivery_of(store, event)
        assert (stored.state, stored.owner, stored.claimed_at, stored.takeovers) == ("open", None, None, 0)
    await pauses.resume(store, "a")
    await pauses.resume(store, "b")
    async with EventBus() as later:
        later.configure_store(store)
        for name in "ab":
            later.subscribe("*", ran.handler(name), id=name)
        assert (await deliver(later)).done == 6


async def test_a_child_waits_for_a_paused_handler_too(bus: EventBus, store: EventStore, ran: Ran) -> None:
    [child] = events(1)

    async def parent(_: DomainEvent) -> None:
        await bus.publish(child)

    bus.subscribe("user.left", parent, id="parent")
    bus.subscribe("order.*", ran.handler("a"), id="a")
    await pause(store)
    await bus.publish(DomainEvent(event_type="user.left"))
    await bus.drain()
    assert not ran.runs
    [waiting] = await pauses.paused_handlers(store)
    assert waiting.waiting == 1


async def test_a_committed_event_waits_for_a_paused_handler_too(
    real_store: EventStore, real_database: Any, ran: Ran
) -> None:
    await pause(real_store)
    async with EventBus() as bus:
        bus.configure_store(real_store)
        for name in "ab":
            bus.subscribe("*", ran.handler(name), id=name)
        async with bus.transaction(real_database.client) as tx:
            await tx.publish(event := events(1)[0])
        await bus.drain()
        stored = await delivery_of(real_store, event)
    assert ran.runs == {("b", event.event_id): 1}
    assert (stored.state, stored.owner, entry(stored, "a").attempts) == ("open", None, 0)


async def test_a_background_handler_that_is_paused_is_not_started(bus: EventBus, store: EventStore, ran: Ran) -> None:
    bus.subscribe("*", ran.handler("a"), id="a", background=True)
    await pause(store)
    await bus.publish(event := events(1)[0])
    await bus.drain()
    assert not ran.runs
    assert (await delivery_of(store, event)).owner is None


async def test_a_handler_that_runs_when_its_pause_comes_ends_as_usual(bus: EventBus, store: EventStore) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def handle(_: DomainEvent) -> None:
        started.set()
        await gate.wait()

    bus.subscribe("*", handle, id="a", background=True)
    await bus.publish(event := events(1)[0])
    await started.wait()
    bus.publisher.record_owner().worker.pauses.stored = ((await pause(store)).pause,)
    gate.set()
    await bus.drain()
    assert (await delivery_of(store, event)).state == "done"


# redispatches


async def test_a_paused_handler_uses_no_attempt_and_is_delivered_after_the_resume(
    two: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(published := events(3), handlers=["a", "b"])
    await pause(store)
    summary = await deliver(two)
    assert (summary.done, summary.paused, summary.paused_handlers) == (3, 3, ["a"])
    assert (summary.orphaned, summary.not_due, summary.is_clean) == (0, 0, True)
    for event in published:
        left = await delivery_of(store, event)
        assert (left.state, left.owner, entry(left, "a").attempts) == ("open", None, 0)
    again = await deliver(two)
    assert (again.claimed, again.paused) == (0, 3), "nothing is claimed for a paused handler alone"
    await pauses.resume(store, "a")
    two.publisher.record_owner().worker.pauses.stored = ()  # as the next heartbeat does
    last = await deliver(two)
    assert (last.done, last.paused, last.paused_handlers) == (3, 0, [])
    assert set(ran.runs.values()) == {1}


async def test_a_handler_is_paused_by_its_alias_and_under_its_alias(bus: EventBus, store: EventStore, ran: Ran) -> None:
    bus.subscribe("*", ran.handler("new"), id="new", aliases=["old"])
    await store.append_many(events(1), handlers=["old"])
    await store.append_many(events(1), handlers=["new"])
    await pause(store, "old")
    summary = await deliver(bus)
    assert (summary.claimed, summary.paused) == (0, 2)
    await bus.publish(events(1)[0])
    await bus.drain()
    assert not ran.runs
    await pauses.resume(store, "old")
    await pause(store, "new")
    await bus.publisher.record_owner().worker.ready()
    bus.publisher.record_owner().worker.pauses.stored = await HandlerPauses(store).read()
    assert (await deliver(bus)).paused_handlers == ["new"]
    assert not ran.runs


async def test_a_paused_handler_that_is_not_loaded_is_no_orphan(two: EventBus, store: EventStore) -> None:
    await store.append_many(events(1), handlers=["gone"])
    await pause(store, "gone")
    await pause(store, "nobody's")
    summary = await deliver(two)
    assert (summary.orphaned, summary.paused, summary.paused_handlers, summary.is_clean) == (0, 1, ["gone"], True)


async def test_a_pause_that_is_not_of_the_chosen_handlers_is_not_reported(two: EventBus, store: EventStore) -> None:
    await store.append_many(events(1), handlers=["a", "b"])
    await pause(store)
    assert (await deliver(two, handlers=("b",))).paused_handlers == []
    assert (await deliver(two, exclude_handlers=("a",))).paused_handlers == []


async def test_a_dry_run_counts_paused_deliveries_apart(two: EventBus, store: EventStore) -> None:
    await store.append_many(events(2), handlers=["a", "b"])
    await pause(store)
    counts = await count(two, Selection(), RedispatchOptions())
    assert (counts.events, counts.deliveries, counts.by_handler, counts.paused) == (2, 2, {"b": 2}, {"a": 2})


async def test_a_named_event_waits_too(two: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(published := events(2), handlers=["a"])
    await pause(store)
    summary = await deliver(two, Selection(event_ids=(published[0].event_id,)))
    assert (summary.claimed, summary.paused, ran.runs) == (0, 1, {})


async def test_a_suspect_of_a_paused_handler_is_neither_run_nor_charged(two: EventBus, store: EventStore) -> None:
    await store.append_many(published := events(1), handlers=["a"])
    await own(store, "gone:1:x", register=False)
    async with store.call() as connection:
        await connection.events.update_many({}, {"$set": {"delivery.takeovers": 4}})
    await pause(store)
    await deliver(two)
    left = await delivery_of(store, published[0])
    assert (left.owner, left.running, left.takeovers, entry(left, "a").crashes) == (None, None, 5, 0)


async def test_what_was_claimed_and_not_begun_is_given_back_when_the_pause_is_learned(
    bus: EventBus, store: EventStore
) -> None:
    started, gate, ran = asyncio.Event(), asyncio.Event(), list[str]()

    async def handle(event: DomainEvent) -> None:
        ran.append(event.event_id)
        started.set()
        await gate.wait()

    bus.subscribe("*", handle, id="a")
    await store.append_many(published := events(20), handlers=["a"])
    running = asyncio.create_task(deliver(bus, concurrency=1))
    await started.wait()
    bus.publisher.record_owner().worker.pauses.stored = ((await pause(store)).pause,)
    await becomes(lambda: len(bus.publisher.record_owner().writer.owned) == 1)
    gate.set()
    summary = await running
    assert (summary.done, summary.paused, len(ran)) == (1, 19, 1)
    left = [await delivery_of(store, event) for event in published]
    assert sum(one.state == "done" for one in left) == 1
    assert {one.owner for one in left} == {None}


async def test_the_later_handlers_of_an_event_wait_when_their_pause_comes_while_an_earlier_one_runs(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    async def first(_: DomainEvent) -> None:
        bus.publisher.record_owner().worker.pauses.stored = (pauses.Pause("second"),)

    bus.subscribe("*", first, id="first")
    bus.subscribe("*", ran.handler("second"), id="second")
    await store.append_many(published := events(1), handlers=["first", "second"])
    await deliver(bus)
    left = await delivery_of(store, published[0])
    assert (left.state, left.owner, entry(left, "second").attempts, ran.runs) == ("open", None, 0, {})


# a watch


@pytest.mark.slow
async def test_a_watch_learns_of_a_pause_and_of_its_end_and_reports_both(
    store: EventStore, ran: Ran, bus: EventBus
) -> None:
    notices: list[Notice] = []
    async with EventBus() as quick:
        quick.configure_store(store, lease=0.6)
        quick.subscribe("*", ran.handler("a"), id="a")
        async with redispatching(quick, observer=notices.append):
            await store.append_many(events(1), handlers=["a"])
            await becomes(lambda: len(ran.runs) == 1)
            await pause(store, reason="down")
            await becomes(lambda: any(isinstance(notice, HandlersPaused) for notice in notices))
            await store.append_many(late := events(2), handlers=["a"])
            assert (await pauses.paused_handlers(store))[0].waiting == 2
            await asyncio.sleep(1.2)
            assert len(ran.runs) == 1
            assert {(await delivery_of(store, event)).rev for event in late} == {0}, "no poll claims them"
            await pauses.resume(store, "a")
            await becomes(lambda: len(ran.runs) == 3)
            await becomes(lambda: HandlersResumed(("a",)) in notices)
    [paused] = [notice for notice in notices if isinstance(notice, HandlersPaused)]
    assert [(one.handler, one.pause.reason) for one in paused.handlers] == [("a", "down")]


async def test_a_pause_with_an_end_is_over_without_a_heartbeat(two: EventBus, store: EventStore, ran: Ran) -> None:
    await pause(store, until=await store.now() + timedelta(milliseconds=300))
    await two.publish(events(1)[0])
    worker = two.publisher.record_owner().worker
    await becomes(lambda: not worker.pauses.current())
    await two.publish(events(1)[0])
    await two.drain()
    assert sorted(name for name, _ in ran.runs) == ["a", "b", "b"]


# where the pauses cannot be read


async def test_the_first_claim_waits_until_the_pauses_are_known(
    two: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch, ran: Ran
) -> None:
    async def lost(_: HandlerPauses) -> None:
        raise StoreUnavailable("gone")

    await pause(store)
    with monkeypatch.context() as patched:
        patched.setattr(HandlerPauses, "read", lost)
        with pytest.raises(StoreUnavailable):
            await two.publish(events(1)[0])
    await two.publish(events(1)[0])
    await two.drain()
    assert [name for name, _ in ran.runs] == ["b"]


async def test_a_login_that_may_not_read_the_pauses_pauses_nothing(
    two: EventBus, monkeypatch: pytest.MonkeyPatch, ran: Ran, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(_: HandlerPauses) -> None:
        raise StoreLoginRefused("not authorized")

    monkeypatch.setattr(HandlerPauses, "read", refused)
    await two.publish(events(1)[0])
    await two.drain()
    assert len(ran.runs) == 2
    assert "cannot be read" in caplog.text


async def test_an_hour_of_an_outage_costs_a_paused_handler_no_attempt(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the process jumps; what the handler calls is down for that hour, and each run of it would fail."""
    is_down, runs = True, 0

    async def send(_: DomainEvent) -> None:
        nonlocal runs
        runs += 1
        if is_down:
            raise ConnectionError("the mail server is down")

    bus.subscribe("*", send, id="a", retry=RetryPolicy(max_attempts=2, delay=60))
    await bus.publish(before := events(1)[0])
    await bus.drain()
    await pause(store)
    worker, real = bus.publisher.record_owner().worker, bus.publisher.record_owner().worker.now
    worker.pauses.stored = await HandlerPauses(store).read()
    published = events(7)
    for number, event in enumerate(published):
        monkeypatch.setattr(worker, "now", lambda number=number: real() + timedelta(minutes=10 * number))
        await bus.publish(event)
        await deliver(bus, now=False)
    assert runs == 1, "only the one before the pause"
    for event in (before, *published):
        left = await delivery_of(store, event)
        assert (left.state, entry(left, "a").attempts) == ("open", int(event is before))
    is_down = False
    await pauses.resume(store, "a")
    worker.pauses.stored = await HandlerPauses(store).read()
    assert (await deliver(bus, now=False)).done == 8
    assert knows(bus)
