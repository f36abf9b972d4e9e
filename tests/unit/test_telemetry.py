"""Spans and metrics of a bus, in the memory of OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from craft_easy.core.events import Discard, DomainEvent, EventBus, Retry
from craft_easy.core.events.model.event import with_trace_context
from craft_easy.core.events.telemetry import instrument
from tests.support.telemetry import Telemetry
from tests.unit.noting import event, notes, raises

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def telemetry(bus: EventBus) -> Iterator[Telemetry]:
    telemetry = Telemetry(bus)
    yield telemetry
    telemetry.close()


async def test_a_publish_and_its_deliveries_are_one_trace(bus: EventBus, telemetry: Telemetry) -> None:
    bus.subscribe("*", notes([], ""), id="shop:front")
    bus.subscribe("*", notes([], ""), id="shop:back", background=True)
    with telemetry.tracer.start_as_current_span("request") as request:
        await bus.publish(published := event("order.placed"))
        await bus.drain()
    publish = telemetry.spans["publish order.placed"]
    assert publish.parent == request.get_span_context()
    assert publish.kind is SpanKind.PRODUCER
    assert publish.attributes == {
        "messaging.system": "craft_events",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "order.placed",
        "messaging.message.id": published.event_id,
    }
    for name in ("shop:front", "shop:back"):
        span = telemetry.spans[f"process {name}"]
        assert span.parent is not None
        assert span.parent.span_id == publish.context.span_id
        assert span.context.trace_id == publish.context.trace_id == request.get_span_context().trace_id
        assert [link.context.span_id for link in span.links] == [publish.context.span_id]
        assert span.kind is SpanKind.CONSUMER
        assert span.attributes == {
            "messaging.system": "craft_events",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "order.placed",
            "messaging.destination.subscription.name": name,
            "messaging.message.id": published.event_id,
            "craft_events.attempt": 1,
        }


async def test_what_a_handler_does_is_inside_its_span_also_in_a_thread(bus: EventBus, telemetry: Telemetry) -> None:
    def call_the_bank(_: DomainEvent) -> None:
        with telemetry.tracer.start_as_current_span("bank"):
            pass

    bus.subscribe("*", call_the_bank, id="plain", background=True)
    await bus.publish(event())
    await bus.drain()
    parent = telemetry.spans["bank"].parent
    assert parent is not None
    assert parent.span_id == telemetry.spans["process plain"].context.span_id


async def test_a_child_event_is_in_the_trace_of_its_parent(bus: EventBus, telemetry: Telemetry) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish(event("child.born"))

    bus.subscribe("parent.*", parent, id="parent")
    bus.subscribe("child.*", notes([], ""), id="child")
    await bus.publish(event("parent.done"))
    spans = telemetry.spans
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert spans["publish child.born"].parent == spans["process parent"].context
    assert "messaging.message.id" not in (spans["publish child.born"].attributes or {})


async def test_events_of_a_batch_have_a_span_each(bus: EventBus, telemetry: Telemetry) -> None:
    seen: list[DomainEvent] = []
    bus.subscribe("*", seen.append, id="h")
    await bus.publish_many([event("a"), event("b")])
    traced = [(each.trace_context or {})["traceparent"].split("-")[2] for each in seen]
    spans = [telemetry.spans[name].context.span_id for name in ("publish a", "publish b")]
    assert traced == [f"{span:016x}" for span in spans]


async def test_an_exception_is_recorded_and_the_payload_is_not(bus: EventBus, telemetry: Telemetry) -> None:
    bus.subscribe("*", raises(ConnectionError("the bank is away")), id="h")
    await bus.publish(DomainEvent(event_type="a", payload={"card": "4242"}))
    span = telemetry.spans["process h"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ConnectionError"
    [recorded] = span.events
    assert (recorded.attributes or {})["exception.message"] == "the bank is away"
    assert all("4242" not in span.to_json() for span in telemetry.spans.values())
    assert telemetry.spans["publish a"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("signal", "outcome"), [(Retry(), "retried"), (Discard("not ours"), "skipped")])
async def test_a_signal_is_an_outcome_and_no_error(
    bus: EventBus, telemetry: Telemetry, signal: Exception, outcome: str
) -> None:
    bus.subscribe("*", raises(signal), id="h")
    await bus.publish(event())
    span = telemetry.spans["process h"]
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert (span.attributes or {})["craft_events.outcome"] == outcome
    assert all("error.type" not in attributes for attributes, _ in telemetry.metric("messaging.process.duration"))


async def test_a_context_that_the_event_has_already_is_kept(bus: EventBus, telemetry: Telemetry) -> None:
    seen: list[DomainEvent] = []
    bus.subscribe("*", seen.append, id="h")
    await bus.publish(with_trace_context(event("a"), {"traceparent": TRACEPARENT}))
    assert seen[0].trace_context == {"traceparent": TRACEPARENT}
    [link] = telemetry.spans["publish a"].links
    assert f"{link.context.span_id:016x}" == "b7ad6b7169203331"


async def test_a_broken_context_is_replaced(bus: EventBus, telemetry: Telemetry) -> None:
    bus.subscribe("*", notes([], ""), id="h")
    await bus.publish(with_trace_context(event("a"), {"traceparent": "nonsense"}))
    assert telemetry.spans["publish a"].links == ()
    [link] = telemetry.spans["process h"].links
    assert link.context.span_id == telemetry.spans["publish a"].context.span_id


async def test_what_is_published_and_processed_is_measured(bus: EventBus, telemetry: Telemetry) -> None:
    bus.subscribe("*", notes([], ""), id="good")
    bus.subscribe("*", raises(ValueError("no")), id="bad")
    for _ in range(2):
        await bus.publish(event("a"))
    [(published, count)] = telemetry.metric("messaging.client.sent.messages")
    assert (published["messaging.destination.name"], count) == ("a", 2)
    measured = telemetry.metric("messaging.process.duration")
    by_handler = {attributes["messaging.destination.subscription.name"]: (attributes.get("error.type"), count)
                  for attributes, count in measured}  # fmt: skip
    assert by_handler == {"good": (None, 2), "bad": ("ValueError", 2)}
    labels = {name for attributes, _ in measured for name in attributes}
    assert not labels & {"messaging.message.id", "tenant_id", "messaging.message.conversation_id"}


async def test_a_refused_publish_is_counted_with_its_error(bus: EventBus, telemetry: Telemetry) -> None:
    class Refusing:
        async def publish(self, event: DomainEvent, call_next: Any) -> None:
            raise PermissionError("no")

    bus.add_middleware(Refusing())
    with pytest.raises(PermissionError):
        await bus.publish(event("a"))
    [(attributes, count)] = telemetry.metric("messaging.client.sent.messages")
    assert (attributes["error.type"], count) == ("PermissionError", 1)
    assert telemetry.spans["publish a"].status.status_code is StatusCode.ERROR


async def test_without_a_provider_nothing_is_written(bus: EventBus) -> None:
    seen: list[DomainEvent] = []
    bus.subscribe("*", seen.append, id="h")
    instrument(bus)
    await bus.publish(event())
    assert seen[0].trace_context is None
    assert not get_current_span().get_span_context().is_valid


def test_a_bus_is_instrumented_once(bus: EventBus) -> None:
    instrument(bus)
    with pytest.raises(RuntimeError, match="instrumented already"):
        instrument(bus)


def test_without_opentelemetry_the_import_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n    import craft_easy.core.events.telemetry\n"
        "except ImportError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'craft-events[telemetry]'" in ran.stdout


async def test_a_cancelled_publish_ends_its_span(bus: EventBus, telemetry: Telemetry) -> None:
    async def hang(_: DomainEvent) -> None:
        await asyncio.sleep(60)

    bus.subscribe("*", hang, id="h")
    publishing = asyncio.create_task(bus.publish(event("a")))
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.wait([publishing])
    assert telemetry.spans["publish a"].status.status_code is StatusCode.ERROR
