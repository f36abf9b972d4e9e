"""Middleware of a bus without a store: its order, what it may replace, and what its errors do."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from craft_easy.core.events import (
    CurrentDelivery,
    DeliverNext,
    Discard,
    DomainEvent,
    EventBus,
    Middleware,
    PublishNext,
    Retry,
    current_delivery,
    get_event_bus,
)
from craft_easy.core.events.handlers.context import suppressing
from craft_easy.core.events.testing import fresh_bus
from tests.unit.noting import Seen, event, notes, raises


class Noting:
    """Notes when it is entered and left."""

    def __init__(self, seen: Seen, name: str) -> None:
        self.seen, self.name = seen, name

    async def publish(self, event: DomainEvent, call_next: PublishNext) -> None:
        self.seen.append(f"{self.name} publish")
        await call_next(event)
        self.seen.append(f"{self.name} published")

    async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        self.seen.append(f"{self.name} deliver {delivery.handler_id}")
        await call_next(delivery)
        self.seen.append(f"{self.name} delivered")


class Publishing:
    """A middleware of one method."""

    def __init__(self, publish: Callable[[DomainEvent, PublishNext], Any]) -> None:
        self._publish = publish

    async def publish(self, event: DomainEvent, call_next: PublishNext) -> None:
        await self._publish(event, call_next)


class Delivering:
    """A middleware of the other method."""

    def __init__(self, deliver: Callable[[CurrentDelivery, DeliverNext], Any]) -> None:
        self._deliver = deliver

    async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        await self._deliver(delivery, call_next)


def of_tenant(tenant_id: str) -> Publishing:
    async def publish(event: DomainEvent, call_next: PublishNext) -> None:
        await call_next(event.model_copy(update={"tenant_id": tenant_id}))

    return Publishing(publish)


# order


async def test_the_first_middleware_is_the_outermost(bus: EventBus, seen: Seen) -> None:
    bus.subscribe("*", notes(seen, "handler"), id="h")
    for name in ("outer", "inner"):
        bus.add_middleware(Noting(seen, name))
    await bus.publish(event())
    assert seen == [
        *("outer publish", "inner publish"),
        *("outer deliver h", "inner deliver h", "handler", "inner delivered", "outer delivered"),
        *("inner published", "outer published"),
    ]


async def test_each_delivery_has_its_own_way_through_the_middleware(bus: EventBus, seen: Seen) -> None:
    bus.add_middleware(Noting(seen, "m"))
    bus.subscribe("*", notes(seen, "1"), id="1")
    bus.subscribe("*", notes(seen, "2"), id="2", background=True)
    await bus.publish_many([event(), event()])
    await bus.drain()
    assert [each for each in seen if each.startswith("m deliver ")] == ["m deliver 1", "m deliver 1"] + [
        "m deliver 2"
    ] * 2
    assert seen.count("m publish") == 2


async def test_a_middleware_added_later_is_around_handlers_that_are_there_already(bus: EventBus, seen: Seen) -> None:
    bus.subscribe("*", notes(seen, "handler"), id="h")
    await bus.publish(event())
    bus.add_middleware(Noting(seen, "late"))
    await bus.publish(event())
    assert seen == [
        "handler", "late publish", "late deliver h", "handler", "late delivered", "late published",
    ]  # fmt: skip


# publish


async def test_publish_may_replace_the_event_and_the_callers_object_is_unchanged(bus: EventBus, seen: Seen) -> None:
    bus.subscribe("*", seen.append, id="h")
    bus.add_middleware(of_tenant("acme"))
    await bus.publish(published := event())
    assert (seen[0].tenant_id, published.tenant_id) == ("acme", None)
    assert seen[0].event_id == published.event_id


async def test_the_handlers_are_those_of_the_event_that_was_passed_on(bus: EventBus, seen: Seen) -> None:
    async def rename(event: DomainEvent, call_next: PublishNext) -> None:
        await call_next(event.model_copy(update={"event_type": "order.placed"}))

    bus.subscribe("order.placed", notes(seen, "placed"), id="1")
    bus.subscribe("payment.*", notes(seen, "never"), id="2")
    bus.add_middleware(Publishing(rename))
    await bus.publish(event())
    assert seen == ["placed"]


async def test_what_publish_raises_reaches_the_caller_and_no_handler_runs(bus: EventBus, seen: Seen) -> None:
    async def refuse(event: DomainEvent, call_next: PublishNext) -> None:
        raise PermissionError("not this tenant")

    bus.subscribe("*", notes(seen, "never"), id="h")
    bus.add_middleware(Publishing(refuse))
    with pytest.raises(PermissionError, match="not this tenant"):
        await bus.publish(event())
    with pytest.raises(PermissionError, match="not this tenant"):
        await bus.publish_many([event()])
    assert seen == []


async def test_events_of_handlers_pass_it_too(bus: EventBus, seen: Seen) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish(event("child.born"))

    bus.subscribe("parent.done", parent, id="parent")
    bus.subscribe("child.*", seen.append, id="child")
    bus.add_middleware(of_tenant("acme"))
    await bus.publish(event("parent.done"))
    assert [child.tenant_id for child in seen] == ["acme"]


async def test_a_handler_that_publishes_the_event_that_it_got_sends_it_through_again(bus: EventBus, seen: Seen) -> None:
    async def twice(got: DomainEvent) -> None:
        if seen.count("m publish") < 2:
            await bus.publish(got)

    bus.subscribe("*", twice, id="h")
    bus.add_middleware(Noting(seen, "m"))
    await bus.publish(event())
    assert (seen.count("m publish"), seen.count("m deliver h")) == (2, 2)


async def test_publish_from_thread_passes_it(bus: EventBus, seen: Seen) -> None:
    bus.subscribe("*", seen.append, id="h")
    bus.add_middleware(of_tenant("acme"))
    async with bus:
        await asyncio.to_thread(bus.publish_from_thread, event())
    assert seen[0].tenant_id == "acme"


async def test_a_suppressed_event_does_not_pass_it(bus: EventBus, seen: Seen) -> None:
    bus.add_middleware(Noting(seen, "m"))
    with suppressing() as suppression:
        await bus.publish(event())
        await bus.publish_many([event()])
    assert (seen, suppression.events) == ([], 2)


async def test_what_is_not_an_event_reaches_no_middleware(bus: EventBus, seen: Seen) -> None:
    bus.add_middleware(Noting(seen, "m"))
    with pytest.raises(TypeError, match="publish takes a DomainEvent"):
        await bus.publish("order.placed")  # type: ignore[arg-type]
    assert seen == []


async def test_publish_cannot_pass_on_what_is_not_an_event(bus: EventBus) -> None:
    bus.add_middleware(Publishing(lambda event, call_next: call_next(None)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="publish takes a DomainEvent"):
        await bus.publish(event())


# deliver


async def test_deliver_runs_in_the_delivery_and_its_context_reaches_the_handler(bus: EventBus, seen: Seen) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")

    async def bind(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        assert current_delivery() is delivery
        token = request.set(delivery.event.event_id)
        await call_next(delivery)
        request.reset(token)

    def plain(_: DomainEvent) -> None:
        seen.append((request.get(), threading.current_thread() is threading.main_thread()))

    bus.add_middleware(Delivering(bind))
    bus.subscribe("*", plain, id="thread", background=True)
    bus.subscribe("*", plain, id="inline")
    await bus.publish(published := event())
    await bus.drain()
    assert seen == [(published.event_id, True), (published.event_id, False)]
    assert request.get() == "none"


@pytest.mark.parametrize("background", [False, True])
async def test_what_deliver_raises_fails_the_delivery_alone(
    bus: EventBus, seen: Seen, background: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        await call_next(delivery)
        if delivery.handler_id == "1":
            raise ValueError("of the middleware")

    bus.add_middleware(Delivering(fail))
    bus.subscribe("*", notes(seen, "1"), id="1", background=background)
    bus.subscribe("*", notes(seen, "2"), id="2", background=background)
    await bus.publish(event())
    await bus.drain()
    assert seen == ["1", "2"]
    [record] = caplog.records
    assert (record.handler_id, str(record.exc_info[1])) == ("1", "of the middleware")  # type: ignore[attr-defined, index]


async def test_deliver_sees_the_handlers_exception_and_may_replace_it(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def discard(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        try:
            await call_next(delivery)
        except KeyError as error:
            raise Discard(f"no such {error.args[0]}") from error

    caplog.set_level("INFO")
    bus.add_middleware(Delivering(discard))
    bus.subscribe("*", raises(KeyError("order")), id="h")
    await bus.publish(event())
    assert "discarded" in caplog.text
    assert "no such order" in caplog.text


@pytest.mark.parametrize("signal", [Retry(), Discard("not ours")])
async def test_deliver_may_raise_a_signal(
    bus: EventBus, seen: Seen, signal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def stop(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        raise signal

    caplog.set_level("INFO")
    bus.add_middleware(Delivering(stop))
    bus.subscribe("*", notes(seen, "never"), id="h")
    await bus.publish(event())
    assert (seen, [record.levelname for record in caplog.records if record.levelname == "ERROR"]) == ([], [])
    assert len(caplog.records) == 1


async def test_the_limit_of_the_handler_holds_for_deliver(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    async def hang(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        await asyncio.sleep(60)

    bus.add_middleware(Delivering(hang))
    bus.subscribe("*", notes([], ""), id="h", timeout=0.01)
    began = time.perf_counter()
    await bus.publish(event())
    assert time.perf_counter() - began < 10
    assert "ran past its limit of 0.01 s" in caplog.text


# a call too many, too few


async def test_call_next_twice_is_an_error(bus: EventBus, seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    async def twice(value: Any, call_next: Any) -> None:
        await call_next(value)
        await call_next(value)

    bus.subscribe("*", notes(seen, "handler"), id="h")
    bus.add_middleware(Delivering(twice))
    await bus.publish(event())
    assert seen == ["handler"]
    assert "RuntimeError: Delivering.deliver called call_next twice" in caplog.text

    bus.add_middleware(Publishing(twice))
    with pytest.raises(RuntimeError, match=r"Publishing\.publish called call_next twice, and an event is"):
        await bus.publish(event())


async def test_a_deliver_that_does_not_call_next_fails_the_delivery(
    bus: EventBus, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def forget(delivery: CurrentDelivery, call_next: DeliverNext) -> None: ...

    bus.subscribe("*", notes(seen, "never"), id="h")
    bus.add_middleware(Delivering(forget))
    await bus.publish(event())
    assert seen == []
    assert "the handler did not run: raise Discard(reason)" in caplog.text


async def test_a_publish_that_does_not_call_next_is_an_error(bus: EventBus) -> None:
    async def forget(event: DomainEvent, call_next: PublishNext) -> None: ...

    bus.add_middleware(Publishing(forget))
    for publishing in (bus.publish(event()), bus.publish_many([event()])):
        with pytest.raises(RuntimeError, match="the event is not published: raise an exception to refuse it"):
            await publishing


async def test_a_deliver_that_does_not_wait_for_the_handler_fails_the_delivery(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = []

    async def hurry(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        tasks.append(asyncio.ensure_future(call_next(delivery)))
        await asyncio.sleep(0)

    async def slow(_: DomainEvent) -> None:
        await asyncio.sleep(0.01)

    bus.subscribe("*", slow, id="h")
    bus.add_middleware(Delivering(hurry))
    await bus.publish(event())
    assert "returned while call_next was running: it must await it" in caplog.text
    await asyncio.gather(*tasks)


async def test_deliver_passes_on_its_own_delivery_only(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    async def swap(delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        await call_next(CurrentDelivery(delivery.event, "another"))

    bus.subscribe("*", notes([], ""), id="h")
    bus.add_middleware(Delivering(swap))
    await bus.publish(event())
    assert "call_next takes the delivery that deliver was called with" in caplog.text


# what is a middleware


def test_an_object_with_neither_method_is_refused(bus: EventBus) -> None:
    with pytest.raises(TypeError, match="has neither"):
        bus.add_middleware(object())  # type: ignore[arg-type]


def test_a_class_is_refused(bus: EventBus) -> None:
    with pytest.raises(TypeError, match=r"an object, not a class: add_middleware\(Noting\(\)\)"):
        bus.add_middleware(Noting)  # type: ignore[arg-type]


def test_a_method_that_is_not_async_is_refused(bus: EventBus) -> None:
    class Plain:
        def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None: ...

    with pytest.raises(TypeError, match=r"Plain\.deliver must be `async def deliver"):
        bus.add_middleware(Plain())  # type: ignore[arg-type]


def test_the_same_middleware_twice_is_refused(bus: EventBus, seen: Seen) -> None:
    middleware: Middleware = Noting(seen, "m")
    bus.add_middleware(middleware)
    with pytest.raises(TypeError, match="is already a middleware of this bus"):
        bus.add_middleware(middleware)
    EventBus().add_middleware(middleware)


async def test_a_fresh_bus_has_none_and_records_what_the_middleware_passed_on() -> None:
    with fresh_bus() as outer:
        outer.add_middleware(of_tenant("outer"))
        with fresh_bus() as bus:
            bus.add_middleware(of_tenant("acme"))
            await get_event_bus().publish(event())
            await bus.publish_many([event()])
    assert [each.tenant_id for each in bus.published] == ["acme", "acme"]
    assert outer.published == []
