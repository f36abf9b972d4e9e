"""Publishing with a store: first the record, then the handlers, then the outcome."""

import asyncio
import gc
import logging
import os
import sys
from typing import Any

import pytest
from pydantic import field_validator

from craft_easy.core.events import DomainEvent, EventBus, EventConflict, InvalidEvent
from craft_easy.core.events.handlers import background
from craft_easy.core.events.handlers.loops import PerLoop
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.retry import Discard, Retry, RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries, Tracked
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.types import PaymentCompleted
from tests.support.conditions import becomes
from tests.support.deliveries import delivery_of, entry, tracked
from tests.support.events import payment

DRIVERS = ("a URI",)
LEASE = 3.0


async def test_the_record_is_there_before_the_first_handler_runs(bus: EventBus, store: EventStore) -> None:
    seen: list[Delivery] = []

    async def look(event: DomainEvent) -> None:
        seen.append(await delivery_of(store, event))

    bus.subscribe("payment.*", look, id="look")
    await bus.publish(event := payment())
    [before] = seen
    assert (before.state, before.owner, before.rev) == ("open", bus.publisher.record_owner().worker.owner, 0)
    assert before.claimed_at is not None
    assert [(one.id, one.state, one.attempts) for one in before.handlers] == [("look", "pending", 0)]
    await bus.drain()
    after = await delivery_of(store, event)
    assert (after.state, after.owner, entry(after, "look").state, entry(after, "look").attempts) == (
        "done",
        None,
        "done",
        1,
    )
    assert entry(after, "look").took_ms is not None


async def test_one_failing_handler_stops_no_other_and_leaves_the_record_open_and_free(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[str] = []

    async def bad(_: DomainEvent) -> None:
        raise ValueError("no")

    async def good(_: DomainEvent) -> None:
        ran.append("good")

    bus.subscribe("*", bad, id="bad", retry=RetryPolicy(delay=60, jitter=0))
    bus.subscribe("*", good, id="good")
    await bus.publish(event := payment())
    await bus.drain()
    after = await delivery_of(store, event)
    assert ran == ["good"]
    assert (after.state, after.owner) == ("open", None)
    assert (entry(after, "bad").state, entry(after, "bad").attempts) == ("pending", 1)
    [error] = entry(after, "bad").errors
    assert (error.type, error.message, error.attempt) == ("ValueError", "no", 1)
    assert after.due_at == entry(after, "bad").due_at
    assert after.claimed_at is not None, "it ran"


async def test_signals_are_outcomes_and_not_errors(bus: EventBus, store: EventStore) -> None:
    async def later(_: DomainEvent) -> None:
        raise Retry(after=60)

    async def never(_: DomainEvent) -> None:
        raise Discard("not at home")

    bus.subscribe("*", later, id="later")
    bus.subscribe("*", never, id="never")
    await bus.publish(event := payment())
    await bus.drain()
    after = await delivery_of(store, event)
    assert (entry(after, "later").state, entry(after, "later").attempts, entry(after, "later").errors) == (
        "pending",
        1,
        (),
    )
    assert (entry(after, "never").state, entry(after, "never").reason) == ("skipped", "not at home")


async def test_background_handlers_end_later_and_the_last_one_frees_the_record(
    bus: EventBus, store: EventStore
) -> None:
    go = asyncio.Event()

    async def slow(_: DomainEvent) -> None:
        await go.wait()

    async def quick(_: DomainEvent) -> None:
        return

    bus.subscribe("*", slow, id="slow", background=True)
    bus.subscribe("*", quick, id="quick")
    await bus.publish(event := payment())
    await bus.publisher.flush(10)
    half = await delivery_of(store, event)
    assert (half.state, half.owner is not None) == ("open", True)
    assert (entry(half, "quick").state, entry(half, "slow").state) == ("done", "pending")
    go.set()
    await bus.drain()
    whole = await delivery_of(store, event)
    assert (whole.state, whole.owner) == ("done", None)


async def test_waiting_for_a_thread_counts_neither_against_the_limit_nor_as_time_that_a_handler_took(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_thread_slots", PerLoop(lambda: asyncio.Semaphore(1)))
    ran: list[DomainEvent] = []
    handler = bus.subscribe("*", ran.append, id="plain", background=True, timeout=1).handler
    async with background.thread_for(handler):
        await bus.publish(event := payment())
        await asyncio.sleep(1.2)
        assert ran == []
    await bus.drain()
    [left] = (await delivery_of(store, event)).handlers
    assert left.state == "done"
    assert left.took_ms is not None
    assert left.took_ms < 1_000


async def test_an_event_without_handlers_is_done_when_it_is_stored(bus: EventBus, store: EventStore) -> None:
    await bus.publish(event := payment())
    after = await delivery_of(store, event)
    assert (after.state, after.handlers, after.owner) == ("done", (), None)


async def test_publishing_the_same_event_again_is_a_no_op(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []

    async def once(event: DomainEvent) -> None:
        ran.append(event.event_id)

    bus.subscribe("*", once, id="once")
    event = payment()
    await bus.publish(event)
    await bus.publish(event)
    await bus.publish(DomainEvent.from_record((await tracked(store, event)).document))
    assert ran == [event.event_id]


async def test_publishing_other_content_under_a_stored_id_is_a_conflict(bus: EventBus) -> None:
    event = payment()
    await bus.publish(event)
    for other in (payment(2), payment(tenant_id="acme"), payment(actor_id="somebody")):
        with pytest.raises(EventConflict, match=event.event_id):
            await bus.publish(other.model_copy(update={"event_id": event.event_id}))


async def test_an_event_that_was_stored_untracked_is_tracked_and_run_when_it_is_published(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[str] = []

    async def handler(event: DomainEvent) -> None:
        ran.append(event.event_id)

    bus.subscribe("*", handler, id="handler")
    event = payment()
    await store.append(event)
    await bus.publish(event)
    await bus.drain()
    assert ran == [event.event_id]
    assert (await delivery_of(store, event)).state == "done"


async def test_a_value_that_the_log_cannot_keep_is_refused_before_anything_is_written(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[object] = []

    async def handler(event: DomainEvent) -> None:
        ran.append(event)

    bus.subscribe("*", handler, id="handler")
    with pytest.raises(InvalidEvent, match=r"payload\.x"):
        await bus.publish(DomainEvent(event_type="odd", payload={"x": float("nan")}))
    assert ran == []
    assert await (await store.collection()).count_documents({}) == 0
    assert not bus.publisher.record_owner().is_uncertain, "the write was not sent"


async def test_many_events_are_stored_with_one_write_and_run_in_order(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []

    async def handler(event: PaymentCompleted) -> None:
        ran.append(event.payment_id)

    bus.subscribe("payment.*", handler, id="handler")
    events = [payment(number) for number in range(5)]
    await bus.publish_many(events)
    assert ran == [f"p_{number}" for number in range(5)]
    await bus.drain()
    assert {(await delivery_of(store, event)).state for event in events} == {"done"}


async def test_a_conflict_among_many_is_raised_after_the_others_ran(bus: EventBus) -> None:
    ran: list[str] = []

    async def handler(event: PaymentCompleted) -> None:
        ran.append(event.payment_id)

    event = payment(0)
    await bus.publish(event)
    bus.subscribe("payment.*", handler, id="handler")
    changed = payment(9).model_copy(update={"event_id": event.event_id})
    with pytest.raises(EventConflict):
        await bus.publish_many([payment(1), changed, payment(2)])
    assert ran == ["p_1", "p_2"]


async def test_a_publisher_that_is_cancelled_leaves_foreground_handlers_pending_and_starts_background_ones(
    bus: EventBus, store: EventStore
) -> None:
    ran: list[str] = []
    started = asyncio.Event()

    async def stuck(_: DomainEvent) -> None:
        started.set()
        await asyncio.Event().wait()

    async def after(_: DomainEvent) -> None:
        ran.append("after")

    async def beside(_: DomainEvent) -> None:
        ran.append("beside")

    bus.subscribe("*", stuck, id="stuck")
    bus.subscribe("*", after, id="after")
    bus.subscribe("*", beside, id="beside", background=True)
    publishing = asyncio.create_task(bus.publish(event := payment()))
    await started.wait()
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    await bus.drain()
    left = await delivery_of(store, event)
    assert ran == ["beside"]
    assert (left.state, left.owner) == ("open", None)
    assert [(one.id, one.state, one.attempts) for one in left.handlers] == [
        ("stuck", "pending", 0),
        ("after", "pending", 0),
        ("beside", "done", 1),
    ]


async def test_an_event_published_inside_a_handler_names_its_cause_and_the_first_of_its_chain(
    bus: EventBus, store: EventStore
) -> None:
    async def parent(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="receipt.sent", payload={"of": event.event_id}))

    async def child(_: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="receipt.filed"))

    bus.subscribe("payment.*", parent, id="parent")
    bus.subscribe("receipt.sent", child, id="child")
    await bus.publish(event := payment())
    [sent], [filed] = await store.replay(event_type="receipt.sent"), await store.replay(event_type="receipt.filed")
    assert (sent.causation_id, sent.correlation_id) == (event.event_id, event.event_id)
    assert (filed.causation_id, filed.correlation_id) == (sent.event_id, event.event_id)
    assert "causation_id" not in (await tracked(store, event)).document


class Dated(DomainEvent):
    event_type: str = "dated.made"
    cents: int

    @field_validator("cents")
    @classmethod
    def hundredfold(cls, value: int) -> int:
        return value * 100


async def test_the_first_run_gets_the_same_event_as_every_later_run(bus: EventBus, store: EventStore) -> None:
    seen: list[tuple[int, Any]] = []

    async def handler(event: Dated) -> None:
        seen.append((event.cents, event.payload["tags"]))
        if len(seen) == 1:
            raise Retry

    bus.subscribe("dated.*", handler, id="handler")
    event = Dated(cents=1, payload={"tags": {"b", "a"}})
    await bus.publish(event)
    await bus.drain()
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1
    assert seen == [(10_000, ["a", "b"])] * 2, "the stored form is validated again, at the first run and at the second"
    assert (event.cents, event.payload["tags"]) == (100, {"a", "b"}), "the caller's object does not change"


async def test_the_six_fields_of_a_record_never_change(bus: EventBus, store: EventStore) -> None:
    async def handler(_: DomainEvent) -> None:
        return

    bus.subscribe("*", handler, id="handler")
    event = payment(tenant_id="acme", actor_id="user_1")
    await bus.publish(event)
    before = (await tracked(store, event)).document
    await bus.drain()
    after = (await tracked(store, event)).document
    fields = ("_id", "event_id", "event_type", "tenant_id", "actor_id", "payload", "timestamp")
    assert [before[name] for name in fields] == [after[name] for name in fields]


async def test_a_bus_that_is_closed_leaves_the_registry_of_workers(bus: EventBus, store: EventStore) -> None:
    await bus.publish(payment())
    workers = await store.workers_collection()
    assert await workers.count_documents({"fenced": False}) == 1
    await bus.aclose()
    assert await workers.count_documents({}) == 0
    await bus.publish(payment(2))
    assert await workers.count_documents({}) == 1


async def test_a_second_publish_of_a_worker_does_not_register_it_again(bus: EventBus, store: EventStore) -> None:
    for number in range(3):
        await bus.publish(payment(number))
    assert await (await store.workers_collection()).count_documents({}) == 1


async def test_no_task_is_left_behind(bus: EventBus) -> None:
    async def handler(_: DomainEvent) -> None:
        return

    bus.subscribe("*", handler, id="handler", background=True)
    for number in range(20):
        await bus.publish(payment(number))
    await bus.drain()
    await becomes(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "write outcomes"])
    gc.collect()
    assert len(bus.tasks()) == 0


PROGRAM = """
import asyncio
from craft_easy.core.events import EventBus
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.types import UserRegistered

async def handler(event):
    pass

async def main():
    bus = EventBus()
    bus.subscribe("*", handler, id="handler")
    bus.configure_store(EventStore())
    await bus.publish(UserRegistered(user_id="u_1", email="a@example.org", event_id="the one"))

asyncio.run(main())
"""


async def test_a_program_that_ends_without_draining_still_writes_its_outcomes_and_leaves_the_registry(
    store: EventStore, embedded_uri: str
) -> None:
    environment = {**os.environ, "CRAFT_EVENTS_URI": embedded_uri, "CRAFT_EVENTS_DATABASE": store.database_name}
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environment)
    assert await program.wait() == 0
    [found] = (await Deliveries(store).read([record_id("the one")])).values()
    assert (found.delivery.state, found.delivery.owner) == ("done", None)
    assert await (await store.workers_collection()).count_documents({}) == 0


async def test_a_publish_that_still_runs_when_its_bus_is_closed_ends_well(bus: EventBus, store: EventStore) -> None:
    go = asyncio.Event()

    async def slow(_: DomainEvent) -> None:
        await go.wait()

    bus.subscribe("*", slow, id="slow")
    publishing = asyncio.create_task(bus.publish(event := payment()))
    await becomes(lambda: bus.publisher.record_owner().worker.running_handlers.longest)
    record_owner = bus.publisher.record_owner()
    await bus.aclose()
    go.set()
    await publishing
    await record_owner.writer.flush()
    assert entry(await delivery_of(store, event), "slow").state == "done", "a success always counts"


async def test_drain_returns_when_all_is_stored_of_a_handler_that_recurses(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="again", payload={"n": event.payload["n"] + 1}))

    bus.subscribe("again", again, id="again", retry=RetryPolicy(delay=60, jitter=0))
    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)  # a traceback for each level
    await bus.publish(DomainEvent(event_type="again", payload={"n": 0}))
    await bus.drain()
    deliveries = [Tracked.of(one).delivery async for one in (await store.collection()).find({})]
    assert len(deliveries) > 10
    assert {one.owner for one in deliveries} == {None}
    assert all(handler.attempts == 1 for one in deliveries for handler in one.handlers)
