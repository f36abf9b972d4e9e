"""The spans: one around each publish, and one around each attempt of a delivery.

The record keeps the context of the publish span. The span of an attempt is in the same trace and links to the publish
span, in whatever process and however much later it runs; see decision 22.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from craft_easy.core.events.handlers.context import open_delivery
from craft_easy.core.events.model.event import origin_of, with_trace_context
from craft_easy.core.events.model.retry import Retry, signal_of
from craft_easy.core.events.telemetry import attributes

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.context import CurrentDelivery
    from craft_easy.core.events.handlers.middleware import DeliverNext, PublishNext
    from craft_easy.core.events.model.event import DomainEvent
    from craft_easy.core.events.telemetry.metrics import BusMetrics

_W3C: Final = TraceContextTextMapPropagator()


class TelemetryMiddleware:
    """Records a span for each publish and each attempt, and measures both.

    Args:
        tracer: starts the spans.
        metrics: measures them.
    """

    def __init__(self, tracer: Tracer, metrics: BusMetrics) -> None:
        self._tracer = tracer
        self._metrics = metrics

    async def publish(self, event: DomainEvent, call_next: PublishNext) -> None:
        """Publish an event in a span whose context its record keeps.

        An event that has a trace context already keeps it, and the span links to that.
        """
        made = _context_of(event)
        with self._span(
            f"publish {event.event_type}",
            SpanKind.PRODUCER,
            attributes.of_publish(event.event_type) | _ids_of(event, is_final=_has_its_id(event)),
            links=[] if made is None else [Link(made)],
        ):
            try:
                await call_next(_in_this_trace(event) if made is None else event)
            except BaseException as error:
                self._metrics.count_publish(event, error)
                raise
            self._metrics.count_publish(event)

    async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext) -> None:
        """Run one attempt in a span of the trace in which the event was published, and link to its publish span.

        The spans of a replay have the link alone: they are not in that trace.
        """
        event = delivery.event
        published = _context_of(event)
        with self._span(
            f"process {delivery.handler_id}",
            SpanKind.CONSUMER,
            attributes.of_process(event.event_type, delivery.handler_id) | _ids_of(event) | _run_of(delivery),
            links=[] if published is None else [Link(published, {attributes.MESSAGE_ID: event.event_id})],
            parent=None if delivery.is_replay else published,
        ):
            began = time.perf_counter()
            try:
                await call_next(delivery)
            except BaseException as error:
                self._metrics.measure(delivery, time.perf_counter() - began, error)
                raise
            self._metrics.measure(delivery, time.perf_counter() - began)

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        values: Mapping[str, Any],
        *,
        links: list[Link],
        parent: SpanContext | None = None,
    ) -> Iterator[None]:
        """Make a span the current one, and note what its block raises.

        Args:
            name: of the span.
            kind: of the span.
            values: its attributes.
            links: its links.
            parent: the span that it follows; None for the current one.
        """
        context = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
        with self._tracer.start_as_current_span(
            name,
            context,
            kind,
            values,
            links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _note(span, error)
                raise


def _in_this_trace(event: DomainEvent) -> DomainEvent:
    """Return the event with the context of the current span; without an SDK there is none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return with_trace_context(event, carrier) if carrier else event


def _context_of(event: DomainEvent) -> SpanContext | None:
    """Return the span that an event was published in, from its record."""
    kept = origin_of(event).trace_context
    if kept is None:
        return None
    context = get_current_span(_W3C.extract(kept, Context())).get_span_context()
    return context if context.is_valid else None


def _has_its_id(event: DomainEvent) -> bool:
    """Return whether an event is stored under the id that it has: a child of a delivery gets a derived one."""
    return open_delivery() is None or "event_id" in event.model_fields_set


def _ids_of(event: DomainEvent, *, is_final: bool = True) -> dict[str, str]:
    ids = {attributes.MESSAGE_ID: event.event_id} if is_final else {}
    if (chain := origin_of(event).correlation_id) is not None:
        ids[attributes.CONVERSATION_ID] = chain
    return ids


def _run_of(delivery: CurrentDelivery) -> dict[str, str | int]:
    run: dict[str, str | int] = {attributes.ATTEMPT: delivery.attempt}
    return run if delivery.replay_id is None else run | {attributes.REPLAY: delivery.replay_id}


def _note(span: Span, error: BaseException) -> None:
    """Note what a block raised: a signal is an outcome, everything else an error."""
    signal = signal_of(error)
    if signal is not None:
        span.set_attribute(attributes.OUTCOME, "retried" if isinstance(signal, Retry) else "skipped")
        return
    span.record_exception(error)
    span.set_attribute(attributes.ERROR_TYPE, attributes.error_type(error))
    span.set_status(Status(StatusCode.ERROR, attributes.error_type(error)))
