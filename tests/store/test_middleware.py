"""Middleware of a bus with a store: around the record, in a redispatch and in a replay."""

from typing import Any

import pytest

from craft_easy.core.events import (
    CurrentDelivery,
    DeliverNext,
    Discard,
    DomainEvent,
    EventBus,
    PublishNext,
    Retry,
    RetryPolicy,
    current_delivery,
)
from craft_easy.core.events.engine.children import derived_id
from craft_easy.core.events.engine.report import DeliveryReport
from craft_easy.core.events.history.replay import ReplayOptions, replay
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import event_content
from tests.support.deliveries import delivery_of
from tests.support.redispatches import deliver
from tests.support.runs import Ran

DRIVERS = ("a URI",)
LEASE = 3.0


class Tenancy:
    """Sets the tenant of events, and refuses those of one actor."""

    async def publish(self, event: DomainEvent, call_next: PublishNext) -> None:
        if event.actor_id == "mallory":
            raise PermissionError("mallory")
        await call_next(event.model_copy(update={"tenant_id": "acme"}))


class Noting:
    """Notes the deliveries that it is around, and raises an error once."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.seen: list[tuple[str, int, bool]] = []
        self.errors = [] if error is None else [error]

    async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        assert current_delivery() is delivery
        self.seen.append((delivery.handler_id, delivery.attempt, delivery.is_replay))
        if self.errors:
            raise self.errors.pop()
        await call_next(delivery)


def order(**values: Any) -> DomainEvent:
    return DomainEvent(event_type="order.placed", **values)


async def test_the_record_and_the_handlers_have_the_event_of_the_middleware(bus: EventBus, store: EventStore) -> None:
    seen: list[DomainEvent] = []
    bus.subscribe("*", seen.append, id="h")
    bus.add_middleware(Tenancy())
    first, second = order(), order()
    await bus.publish(first)
    await bus.publish_many([second])
    assert [(event.event_id, event.tenant_id) for event in seen] == [(e.event_id, "acme") for e in (first, second)]
    assert await store.replay(tenant_id="acme") == seen
    await bus.publish(first)  # a no-op: the same event again
    assert len(seen) == 2


async def test_a_refused_event_of_a_batch_leaves_the_log_as_it_was(bus: EventBus, store: EventStore) -> None:
    bus.add_middleware(Tenancy())
    with pytest.raises(PermissionError):
        await bus.publish_many([order(), order(actor_id="mallory")])
    assert await store.replay() == []


async def test_an_event_of_a_transaction_passes_the_middleware(bus: EventBus, store: EventStore, ran: Ran) -> None:
    client = (await store.collection()).database.client
    bus.subscribe("*", ran.handler("h"), id="h")
    bus.add_middleware(Tenancy())
    async with bus.transaction(client) as tx:
        await tx.publish(order())
    await bus.drain()
    [event] = await store.replay()
    assert (event.tenant_id, (await delivery_of(store, event)).state) == ("acme", "done")


async def test_a_childs_id_follows_from_the_event_that_the_middleware_passed_on(
    bus: EventBus, store: EventStore
) -> None:
    given = DomainEvent(event_type="child.born")

    async def parent(_: DomainEvent) -> None:
        await bus.publish(given)

    bus.subscribe("order.*", parent, id="parent")
    bus.add_middleware(Tenancy())
    await bus.publish(published := order())
    await bus.drain()
    [child] = await store.replay(event_type="child.*")
    content = event_content(given.model_copy(update={"tenant_id": "acme"}))
    assert child.event_id == derived_id(published.event_id, "parent", content, 0)
    assert (child.tenant_id, given.tenant_id, given.causation_id) == ("acme", None, None)


async def test_what_deliver_raises_is_the_failure_of_the_delivery(bus: EventBus, store: EventStore, ran: Ran) -> None:
    bus.subscribe("*", ran.handler("h"), id="h")
    bus.add_middleware(noting := Noting(ConnectionError("no session")))
    await bus.publish(event := order())
    await bus.drain()
    [entry] = (await delivery_of(store, event)).handlers
    assert (entry.state, entry.attempts, entry.errors[0].type) == ("pending", 1, "ConnectionError")
    assert "test_middleware.py" in (entry.errors[0].where or "")
    assert (await deliver(bus, now=True)).done == 1
    assert noting.seen == [("h", 1, False), ("h", 2, False)]
    assert ran.runs == {("h", event.event_id): 1}


@pytest.mark.parametrize(("signal", "state"), [(Retry(after=60), "pending"), (Discard("not ours"), "skipped")])
async def test_signals_of_deliver_act_like_those_of_the_handler(
    bus: EventBus, store: EventStore, ran: Ran, signal: Exception, state: str
) -> None:
    bus.subscribe("*", ran.handler("h"), id="h")
    bus.add_middleware(Noting(signal))
    await bus.publish(event := order())
    await bus.drain()
    [entry] = (await delivery_of(store, event)).handlers
    assert (entry.state, entry.attempts, ran.order) == (state, 1, [])


async def test_a_delivery_that_is_not_passed_on_is_not_done(bus: EventBus, store: EventStore, ran: Ran) -> None:
    class Forgetful:
        async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None: ...

    bus.subscribe("*", ran.handler("h"), id="h", background=True)
    bus.add_middleware(Forgetful())
    await bus.publish(event := order())
    await bus.drain()
    [entry] = (await delivery_of(store, event)).handlers
    assert (entry.state, entry.errors[0].type, ran.order) == ("pending", "RuntimeError", [])


async def test_deliver_is_around_replayed_deliveries(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append(order())
    bus.subscribe("*", ran.handler("h"), id="h")
    bus.add_middleware(noting := Noting())
    await replay(bus, Selection(), ReplayOptions(handlers=("h",)))
    assert noting.seen == [("h", 1, True)]


async def test_an_observer_of_the_bus_gets_each_stored_outcome(bus: EventBus, store: EventStore, ran: Ran) -> None:
    reports: list[DeliveryReport] = []

    def observe(report: DeliveryReport) -> None:
        reports.append(report)
        raise ValueError("it is logged, and nothing depends on it")

    async def fail(_: DomainEvent) -> None:
        raise ConnectionError("away")

    bus.add_observer(observe)
    bus.subscribe("*", ran.handler("good"), id="good")
    bus.subscribe("*", fail, id="bad", retry=RetryPolicy(max_attempts=2, delay=0))
    await bus.publish(event := order())
    await bus.drain()
    await deliver(bus, now=True)
    assert [(report.handler, report.outcome, report.attempt) for report in reports] == [
        ("good", "done", 1),
        ("bad", "failed", 1),
        ("bad", "dead", 2),
    ]
    assert {report.event_id for report in reports} == {event.event_id}
