"""Telemetry of a bus with a store: the trace in the record, spans of a redispatch and a replay, counted outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry.trace import get_current_span

from craft_easy.core.events import Discard, DomainEvent, EventBus, Retry, RetryPolicy
from craft_easy.core.events.history.replay import ReplayOptions, replay
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from tests.support.redispatches import deliver
from tests.support.runs import Ran
from tests.support.telemetry import Telemetry

DRIVERS = ("a URI",)
LEASE = 3.0


@pytest.fixture
def telemetry(bus: EventBus) -> Iterator[Telemetry]:
    telemetry = Telemetry(bus)
    yield telemetry
    telemetry.close()


def order() -> DomainEvent:
    return DomainEvent(event_type="order.placed")


async def test_a_redispatch_is_in_the_trace_of_the_publish_and_linked_to_it(
    bus: EventBus, store: EventStore, telemetry: Telemetry
) -> None:
    attempts: list[int] = []

    async def fail_once(_: DomainEvent) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("away")

    bus.subscribe("*", fail_once, id="h")
    with telemetry.tracer.start_as_current_span("request"):
        await bus.publish(event := order())
    await bus.drain()
    record = await store.find_record(event.event_id)
    publish = telemetry.spans["publish order.placed"]
    assert record is not None
    assert record["trace_context"]["traceparent"].split("-")[1:3] == [
        f"{publish.context.trace_id:032x}",
        f"{publish.context.span_id:016x}",
    ]
    with telemetry.tracer.start_as_current_span("an operator's own trace"):
        await deliver(bus, now=True)
    first, second = telemetry.all("process h")
    for span in (first, second):
        assert span.context.trace_id == publish.context.trace_id
        assert [link.context.span_id for link in span.links] == [publish.context.span_id]
    assert [(span.attributes or {})["craft_events.attempt"] for span in (first, second)] == [1, 2]


async def test_a_replay_is_linked_and_not_in_the_trace(bus: EventBus, telemetry: Telemetry, ran: Ran) -> None:
    bus.subscribe("*", ran.handler("h"), id="h")
    await bus.publish(order())
    await bus.drain()
    with telemetry.tracer.start_as_current_span("replay") as own:
        await replay(bus, Selection(), ReplayOptions(handlers=("h",)))
    span = telemetry.all("process h")[1]
    publish = telemetry.spans["publish order.placed"]
    assert span.context.trace_id == own.get_span_context().trace_id != publish.context.trace_id
    assert [link.context.span_id for link in span.links] == [publish.context.span_id]
    assert "craft_events.replay_id" in (span.attributes or {})


async def test_an_event_of_another_program_has_a_span_without_a_link(
    bus: EventBus, store: EventStore, telemetry: Telemetry, ran: Ran
) -> None:
    bus.subscribe("*", ran.handler("h"), id="h")
    await store.append(order(), handlers=["h"])
    await deliver(bus)
    assert (telemetry.spans["process h"].links, telemetry.spans["process h"].parent) == ((), None)


async def test_outcomes_are_counted_as_the_log_has_them(bus: EventBus, telemetry: Telemetry, ran: Ran) -> None:
    async def fail(_: DomainEvent) -> None:
        raise ConnectionError("away")

    async def discard(_: DomainEvent) -> None:
        raise Discard("not ours")

    async def later(_: DomainEvent) -> None:
        raise Retry(after=3600)

    bus.subscribe("*", ran.handler("good"), id="good")
    bus.subscribe("*", fail, id="bad", retry=RetryPolicy(max_attempts=2, delay=0))
    bus.subscribe("*", discard, id="picky", background=True)
    bus.subscribe("*", later, id="later")
    await bus.publish(order())
    await bus.drain()
    await deliver(bus, now=True)
    counted = Counter(
        {
            (attributes["craft_events.handler"], attributes["craft_events.outcome"]): count
            for attributes, count in telemetry.metric("craft_events.deliveries")
        }
    )
    assert counted == {
        ("good", "done"): 1,
        ("picky", "skipped"): 1,
        ("bad", "failed"): 1,
        ("bad", "dead"): 1,
        ("later", "retried"): 2,
    }
    retries = telemetry.metric("craft_events.retries")
    assert {attributes["craft_events.handler"]: count for attributes, count in retries} == {"bad": 1, "later": 2}
    assert telemetry.metric("craft_events.dead") == [({"craft_events.handler": "bad"}, 1)]


async def test_the_workers_of_the_process_are_observed(bus: EventBus, telemetry: Telemetry) -> None:
    owned: list[object] = []

    async def look(_: DomainEvent) -> None:
        owned.append(telemetry.metric("craft_events.records.owned"))

    bus.subscribe("*", look, id="h")
    assert telemetry.metric("craft_events.heartbeat.age") == []
    await bus.publish(order())
    await bus.drain()
    assert owned == [[({}, 1)]]
    assert telemetry.metric("craft_events.records.owned") == [({}, 0)]
    [(_, age)] = telemetry.metric("craft_events.heartbeat.age")
    assert 0 <= age < 60


async def test_the_span_of_a_delivery_is_current_in_its_handler_alone(bus: EventBus, telemetry: Telemetry) -> None:
    seen: list[int] = []

    async def look(_: DomainEvent) -> None:
        seen.append(get_current_span().get_span_context().span_id)

    bus.subscribe("*", look, id="h")
    await bus.publish(order())
    assert seen == [telemetry.spans["process h"].context.span_id]
    assert not get_current_span().get_span_context().is_valid
