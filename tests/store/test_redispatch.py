"""One redispatch on a real server: what it selects, claims, runs and counts."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.errors import HandlerNotFound
from craft_easy.core.events.handlers.context import current_delivery
from craft_easy.core.events.model.retry import Discard, Retry, RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, loop, redispatching
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE
from craft_easy.core.events.store import EventStore, counts
from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.conditions import becomes
from tests.support.deliveries import delivery_of, own
from tests.support.redispatches import deliver, events
from tests.support.runs import Ran, Recorder

DRIVERS = ("a URI",)
LEASE = 0.6


async def test_only_handlers_that_are_not_done_run_and_each_once(bus: EventBus, store: EventStore, ran: Ran) -> None:
    published = events(30)
    await store.append_many(published, handlers=["a", "b"])
    collection = await store.collection()
    await collection.update_one(
        {"event_id": published[0].event_id},
        {"$set": {"delivery.handlers.0.state": "done"}, "$inc": {"delivery.rev": 1}},
    )
    bus.subscribe("*", ran.handler("a"), id="a")
    bus.subscribe("order.*", ran.handler("b"), id="b", background=True)
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert set(ran.runs.values()) == {1}
    assert len(ran.runs) == 59
    assert ("a", published[0].event_id) not in ran.runs
    assert (summary.claimed, summary.done, summary.failed, summary.orphaned, summary.owned) == (30, 59, 0, 0, 0)
    assert summary.is_clean
    assert (recorder.events, recorder.ends, len(recorder.reports)) == (30, 30, 59)
    assert {(await delivery_of(store, event)).state for event in published} == {"done"}


async def test_deliveries_start_in_the_order_of_their_due_times(bus: EventBus, store: EventStore, ran: Ran) -> None:
    published = events(9)
    await store.append_many(published, handlers=["a"])
    collection = await store.collection()
    for number, event in enumerate(reversed(published)):
        due_at = datetime(2026, 1, 31, 10, number, tzinfo=UTC)
        await collection.update_one({"event_id": event.event_id}, {"$set": {"delivery.due_at": due_at}})
    bus.subscribe("*", ran.handler("a"), id="a")
    await deliver(bus, concurrency=1)
    assert ran.order == [event.event_id for event in reversed(published)]


async def test_a_limit_counts_events_that_were_claimed(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(10), handlers=["a"])
    bus.subscribe("*", ran.handler("a"), id="a")
    assert (await deliver(bus, Selection(limit=4))).claimed == 4
    assert (await deliver(bus)).claimed == 6


async def test_a_limit_counts_records_that_run_alone_too(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(7), handlers=["a"])
    await (await store.collection()).update_many({}, {"$set": {"delivery.takeovers": 2}})
    bus.subscribe("*", ran.handler("a"), id="a")
    assert (await count(bus, Selection(limit=1), RedispatchOptions())).events == 1
    assert ((await deliver(bus, Selection(limit=1))).claimed, len(ran.runs)) == (1, 1)


async def test_a_backlog_is_counted_up_to_a_bound_and_for_a_watch_not_at_all(
    bus: EventBus, store: EventStore, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count_nothing(*_: object) -> int:
        raise AssertionError("a watch counts its backlog")

    for module in (counts, loop):
        monkeypatch.setattr(module, "MAX_COUNTED", 3)
    bus.subscribe("*", ran.handler("a"), id="a")
    for number, known in ((2, 2), (3, None), (5, None)):
        await store.append_many(events(number), handlers=["a"])
        await deliver(bus, observer=(recorder := Recorder()))
        assert recorder.events == known
    await store.append_many(events(5), handlers=["a"])
    monkeypatch.setattr(loop, "count_unowned", count_nothing)
    async with redispatching(bus, observer=(recorder := Recorder())):
        await becomes(lambda: len(ran.runs) == 15)
    assert recorder.events is None


async def test_a_selection_is_kept(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(3, tenant_id="acme"), handlers=["a"])
    await store.append_many(events(2, tenant_id="docs"), handlers=["a"])
    bus.subscribe("*", ran.handler("a"), id="a")
    assert (await deliver(bus, Selection(tenants=("docs",)))).claimed == 2
    assert (await deliver(bus, Selection(types=("payment.*",)))).claimed == 0
    assert (await deliver(bus, Selection(until=await store.now() - timedelta(days=1)))).claimed == 0


async def test_a_failure_is_stored_and_not_tried_twice_in_one_run(bus: EventBus, store: EventStore) -> None:
    attempts: list[int] = []

    async def fails(_: DomainEvent) -> None:
        delivery = current_delivery()
        assert delivery is not None
        attempts.append(delivery.attempt)
        raise ValueError("no")

    [event] = published = events(1)
    await store.append_many(published, handlers=["a"])
    bus.subscribe("*", fails, id="a", retry=RetryPolicy(max_attempts=2, delay=0))
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert (summary.failed, summary.dead, attempts) == (1, 0, [1])
    assert not summary.is_clean
    [report] = recorder.reports
    assert (report.handler, report.outcome, report.attempt, report.error) == ("a", "failed", 1, "ValueError: no")
    assert report.due_at is not None
    left = await delivery_of(store, event)
    assert (left.state, left.owner) == ("open", None)
    summary = await deliver(bus)
    assert (summary.failed, summary.dead, attempts) == (0, 1, [1, 2])
    assert (await delivery_of(store, event)).state == "dead"
    assert (await deliver(bus)).claimed == 0, "only an operator moves dead deliveries"


async def test_a_one_shot_run_does_not_wait_for_the_back_off(bus: EventBus, store: EventStore) -> None:
    async def fails(_: DomainEvent) -> None:
        raise ValueError("no")

    await store.append_many(events(1), handlers=["a"])
    bus.subscribe("*", fails, id="a")
    for _ in range(3):
        assert (await deliver(bus)).failed == 1


async def test_signals_are_counted_as_what_they_are(bus: EventBus, store: EventStore) -> None:
    async def later(_: DomainEvent) -> None:
        raise Retry(after=60)

    async def never(_: DomainEvent) -> None:
        raise Discard("not at home")

    await store.append_many(events(1), handlers=["later", "never"])
    bus.subscribe("*", later, id="later")
    bus.subscribe("*", never, id="never")
    summary = await deliver(bus)
    assert (summary.retried, summary.skipped, summary.done) == (1, 1, 0)


async def test_a_handler_that_is_not_loaded_stays_pending_and_is_named(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(events(3), handlers=["a", "gone"])
    await store.append_many(events(2), handlers=["old"])
    bus.subscribe("*", ran.handler("a"), id="a")
    summary = await deliver(bus)
    assert (summary.claimed, summary.done) == (3, 3)
    assert (summary.orphaned, summary.orphaned_handlers) == (5, ["gone", "old"])
    assert not summary.is_clean
    assert (await deliver(bus)).claimed == 0, "records that are pending for other handlers only are not read"


async def test_an_alias_carries_a_renamed_handler(bus: EventBus, store: EventStore, ran: Ran) -> None:
    [event] = published = events(1)
    await store.append_many(published, handlers=["shop:old_name"])
    bus.subscribe("*", ran.handler("new"), id="shop:new_name", aliases=["shop:old_name"])
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert (summary.done, summary.orphaned) == (1, 0)
    assert recorder.reports[0].handler == "shop:old_name"
    assert (await delivery_of(store, event)).state == "done"


async def test_one_handler_can_be_chosen_and_the_others_stay(bus: EventBus, store: EventStore, ran: Ran) -> None:
    [event] = published = events(1)
    await store.append_many(published, handlers=["a", "b"])
    bus.subscribe("*", ran.handler("a"), id="a")
    bus.subscribe("*", ran.handler("b"), id="b")
    summary = await deliver(bus, handlers=("b",))
    assert (summary.done, summary.orphaned) == (1, 0)
    left = await delivery_of(store, event)
    assert [(one.id, one.state) for one in left.handlers] == [("a", "pending"), ("b", "done")]
    assert left.owner is None


@pytest.mark.parametrize("options", [{"handlers": ("unknown",)}, {"exclude_handlers": ("unknown",)}])
async def test_a_handler_that_is_not_loaded_cannot_be_chosen(bus: EventBus, ran: Ran, options: dict[str, Any]) -> None:
    bus.subscribe("*", ran.handler("a"), id="a")
    with pytest.raises(HandlerNotFound, match="unknown") as raised:
        await deliver(bus, **options)
    assert raised.value.loaded == ("a",)


@pytest.mark.parametrize("excluded", ["b", "b's old name"])
async def test_the_deliveries_of_an_excluded_handler_stay_open_and_untouched(
    bus: EventBus, store: EventStore, ran: Ran, excluded: str
) -> None:
    [both, only] = published = events(2)
    await store.append_many([both], handlers=["a", "b"])
    await store.append_many([only], handlers=["b"])
    bus.subscribe("*", ran.handler("a"), id="a")
    bus.subscribe("*", ran.handler("b"), id="b", aliases=["b's old name"])
    before = {event.event_id: await delivery_of(store, event) for event in published}
    options = RedispatchOptions(exclude_handlers=(excluded,))
    assert (await count(bus, Selection(), options)).by_handler == {"a": 1}
    summary = await deliver(bus, exclude_handlers=(excluded,))
    assert (summary.claimed, summary.done, summary.not_due, summary.orphaned) == (1, 1, 0, 0)
    assert await delivery_of(store, only) == before[only.event_id], "it was not even claimed"
    left = await delivery_of(store, both)
    assert [(one.id, one.state) for one in left.handlers] == [("a", "done"), ("b", "pending")]
    assert left.handlers[1] == before[both.event_id].handlers[1]
    assert (left.state, left.owner) == ("open", None)
    assert (await deliver(bus)).done == 2


async def test_a_record_taken_in_has_no_delivery_of_an_excluded_handler(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    [event] = published = events(1)
    await store.append_many(published)
    bus.subscribe("*", ran.handler("a"), id="a")
    bus.subscribe("*", ran.handler("b"), id="b")
    since = await store.now() - timedelta(hours=1)
    await deliver(bus, Selection(since=since), include_untracked=True, exclude_handlers=("b",))
    assert [one.id for one in (await delivery_of(store, event)).handlers] == ["a"]


async def test_excluded_types_are_left_out_of_the_count_and_of_the_run(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    published = [DomainEvent(event_type=name) for name in ("order.placed", "order.paid", "stock.low")]
    await store.append_many(published, handlers=["a"])
    bus.subscribe("*", ran.handler("a"), id="a")
    selection = Selection(except_types=("order.p?id", "stock.*"))
    assert (await count(bus, selection, RedispatchOptions())).by_type == {"order.placed": 1}
    assert (await deliver(bus, selection)).claimed == 1
    assert ran.order == [published[0].event_id]


@pytest.mark.parametrize("is_watch", [False, True])
async def test_a_limited_rate_spaces_the_events_and_claims_a_second_of_them_at_most(
    bus: EventBus, store: EventStore, is_watch: bool
) -> None:
    began: list[float] = []
    owned: list[int] = []
    stop = asyncio.Event()

    async def handle(_: DomainEvent) -> None:
        began.append(asyncio.get_running_loop().time())
        owned.append(len(bus.publisher.record_owner().writer.owned))
        if len(began) == 10:
            stop.set()

    await store.append_many(events(30), handlers=["a", "b"])
    bus.subscribe("*", handle, id="a")
    bus.subscribe("*", lambda _: None, id="b")
    summary = await deliver(bus, rate=20.0, now=False, wait=False, watch=is_watch, stop=stop)
    assert began[9] - began[0] >= 9 / 20 / 2, "a late start is made up for"
    assert max(owned) <= 3 * 20
    assert summary.failed == 0
    assert (await deliver(bus)).done == 60 - summary.done, "the others were given back"


async def test_events_that_a_handler_publishes_are_stored_and_dispatched(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    async def parent(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="receipt.sent"))

    await store.append_many(events(3), handlers=["parent"])
    bus.subscribe("order.*", parent, id="parent")
    bus.subscribe("receipt.*", ran.handler("child"), id="child", background=True)
    assert (await deliver(bus)).done == 3
    assert sum(ran.runs.values()) == 3
    assert await (await store.collection()).count_documents({"delivery.state": "done"}) == 6


async def test_a_stop_claims_nothing_more_and_gives_back_what_did_not_finish(bus: EventBus, store: EventStore) -> None:
    stop, ended = asyncio.Event(), list[str]()

    started: list[str] = []

    async def slow(event: DomainEvent) -> None:
        started.append(event.event_id)
        if len(started) == 1:
            stop.set()
            await asyncio.sleep(0.05)
        else:
            await asyncio.Event().wait()
        ended.append(event.event_id)

    published = events(20)
    await store.append_many(published, handlers=["a"])
    bus.subscribe("*", slow, id="a")
    summary = await deliver(bus, concurrency=3, grace=0.3, stop=stop)
    assert (ended, summary.done) == (started[:1], 1)
    assert await Deliveries(store).owners() == {}
    left = {one.event_id: await delivery_of(store, one) for one in published if one.event_id not in ended}
    assert {(one.state, one.handlers[0].attempts) for one in left.values()} == {("open", 0)}
    assert {one.claimed_at for event_id, one in left.items() if event_id not in started} == {None}, (
        "an event that never started is given back as unclaimed"
    )


async def test_records_without_deliveries_are_skipped_by_default(bus: EventBus, store: EventStore, ran: Ran) -> None:
    published = events(5)
    await store.append_many(published)
    await store.append_many([DomainEvent(event_type="stock.ignored")])
    bus.subscribe("order.*", ran.handler("a"), id="a")
    bus.subscribe("order.*", ran.handler("b"), id="b")
    assert (await deliver(bus)).claimed == 0
    since = await store.now() - timedelta(hours=1)
    some = await deliver(bus, Selection(since=since, limit=2), include_untracked=True, handlers=("a",))
    assert (some.claimed, some.done) == (2, 2)
    rest = await deliver(bus, Selection(since=since), include_untracked=True)
    assert (rest.claimed, rest.done) == (3, 6)
    tracked = await (await store.collection()).count_documents({"delivery": {"$ne": None}})
    assert tracked == 5, "an event without a matching handler stays untracked"


async def test_without_a_limit_all_records_without_deliveries_are_taken_in(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(events(CLAIM_SIZE + 20))
    bus.subscribe("order.*", ran.handler("a"), id="a")
    since = await store.now() - timedelta(hours=1)
    assert (await deliver(bus, Selection(since=since), include_untracked=True)).done == CLAIM_SIZE + 20


async def test_a_handler_may_block_the_loop_for_its_limit_while_it_runs_and_no_longer(
    bus: EventBus, store: EventStore
) -> None:
    seen: list[float] = []

    async def long(_: DomainEvent) -> None:
        seen.append(bus.publisher.record_owner().worker.hang_limit)

    await store.append_many(events(1), handlers=["a"])
    bus.subscribe("*", long, id="a", timeout=1200)
    await deliver(bus)
    assert seen == [1200]
    assert bus.publisher.record_owner().worker.hang_limit == LEASE


async def test_events_that_had_no_handler_are_delivered_with_the_option(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await bus.publish(DomainEvent(event_type="order.placed"))
    bus.subscribe("order.*", ran.handler("a"), id="a")
    assert (await deliver(bus)).claimed == 0
    assert (await deliver(bus, include_unhandled=True)).done == 1
    assert (await deliver(bus, include_unhandled=True)).claimed == 0


async def test_a_count_shows_what_a_run_would_do_and_writes_nothing(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(3, tenant_id="acme"), handlers=["a", "gone"])
    await own(store, "elsewhere:1:gone", register=False)
    await store.append_many(events(2), handlers=["b"])
    await store.append_many(events(4, tenant_id="docs"))
    bus.subscribe("*", ran.handler("a"), id="a")
    bus.subscribe("*", ran.handler("b"), id="b")
    before = await (await store.collection()).find({}).sort("_id").to_list(None)
    options = RedispatchOptions(include_untracked=True)
    selection = Selection(since=await store.now() - timedelta(hours=1))
    counts = await count(bus, selection, options)
    assert (counts.events, counts.deliveries) == (9, 13)
    assert counts.by_type == {"order.placed": 9}
    assert counts.by_tenant == {"acme": 3, None: 2, "docs": 4}
    assert counts.by_handler == {"a": 7, "b": 6}
    assert await (await store.collection()).find({}).sort("_id").to_list(None) == before
    assert await WorkerRegistry(store).entries() == {}
    limited = Selection(limit=2)
    assert (await count(bus, limited, RedispatchOptions())).events == 2


async def test_records_of_other_writers_are_delivered(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await (await store.collection()).insert_one(
        {
            "event_type": "order.placed",
            "payload": ["no", "object"],
            "extra": 1,
            "delivery": {"state": "open", "handlers": [{"id": "a", "state": "pending"}]},
        }
    )
    bus.subscribe("*", ran.handler("a"), id="a")
    assert (await deliver(bus)).done == 1
    [record] = await (await store.collection()).find({}).to_list(None)
    assert (record["delivery"]["state"], record["payload"], record["extra"]) == ("done", ["no", "object"], 1)


async def test_a_handler_that_runs_past_its_limit_has_failed(bus: EventBus, store: EventStore) -> None:
    async def slow(_: DomainEvent) -> None:
        await asyncio.Event().wait()

    await store.append_many(events(1), handlers=["a"])
    bus.subscribe("*", slow, id="a")
    recorder = Recorder()
    assert (await deliver(bus, timeout=0.05, observer=recorder)).failed == 1
    assert "limit" in (recorder.reports[0].error or "")


async def test_two_services_with_the_same_handler_id_do_not_run_each_others_events(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[str] = []
    bus.subscribe("billing.*", lambda event: ran.append(event.event_type), id="app.main:on_event")
    theirs = DomainEvent(event_type="stock.taken")
    ours = DomainEvent(event_type="billing.paid")
    await store.append_many([theirs, ours], handlers=["app.main:on_event"])
    assert (await count(bus, Selection(), RedispatchOptions())).by_type == {"billing.paid": 1}
    summary = await deliver(bus)
    assert (ran, summary.done, summary.orphaned) == (["billing.paid"], 1, 1)
    assert (summary.orphaned_handlers, summary.is_clean) == (["app.main:on_event"], False)
    left = await delivery_of(store, theirs)
    assert (left.state, left.owner, left.handlers[0].attempts) == ("open", None, 0)


async def test_any_type_delivers_events_that_a_narrowed_pattern_left_behind(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []
    bus.subscribe("order.placed", lambda event: ran.append(event.event_type), id="audit")
    await store.append(DomainEvent(event_type="order.cancelled"), handlers=["audit"])
    assert (await deliver(bus)).orphaned == 1
    summary = await deliver(bus, handlers=("audit",), any_type=True)
    assert (ran, summary.done, summary.orphaned) == (["order.cancelled"], 1, 0)
