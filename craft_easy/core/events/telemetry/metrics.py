"""The metrics: counters and a histogram by type and handler, gauges of this process's workers.

No attribute holds a tenant or the id of an event, so the number of time series does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from craft_easy.core.events.model.retry import signal_of
from craft_easy.core.events.telemetry import attributes

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.engine.owner import RecordOwner
    from craft_easy.core.events.engine.report import DeliveryReport
    from craft_easy.core.events.handlers.context import CurrentDelivery
    from craft_easy.core.events.model.event import DomainEvent

BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 900)
"""Seconds: those of the conventions, and on to the default limit of a handler."""


class BusMetrics:
    """The instruments of one bus.

    Args:
        bus: its workers are observed.
        meter: makes the instruments.
    """

    def __init__(self, bus: EventBus, meter: Meter) -> None:
        self._bus = bus
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Events that were published, or could not be."
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Duration of an attempt of a delivery.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )
        self._deliveries = meter.create_counter(
            "craft_events.deliveries", "{attempt}", "Attempts whose outcome is stored, by handler and outcome."
        )
        self._retries = meter.create_counter(
            "craft_events.retries", "{attempt}", "Attempts after which the delivery will be tried again, by handler."
        )
        self._dead = meter.create_counter(
            "craft_events.dead", "{delivery}", "Deliveries that used up their attempts, by handler."
        )
        meter.create_observable_gauge(
            "craft_events.records.owned", [self._owned], "{record}", "Records that this process owns."
        )
        meter.create_observable_gauge(
            "craft_events.heartbeat.age", [self._heartbeat_age], "s", "Time since the last accepted heartbeat was sent."
        )

    def count_publish(self, event: DomainEvent, error: BaseException | None = None) -> None:
        """Count an event that was published, or refused with an error."""
        self._sent.add(1, attributes.of_publish(event.event_type) | _error_of(error))

    def measure(self, delivery: CurrentDelivery, seconds: float, error: BaseException | None = None) -> None:
        """Measure an attempt that has ended; a signal is not an error."""
        of_attempt = attributes.of_process(delivery.event.event_type, delivery.handler_id)
        self._duration.record(seconds, of_attempt | _error_of(error))

    def count_delivery(self, report: DeliveryReport) -> None:
        """Count an attempt by its outcome in the log; an observer of the bus."""
        handler = {attributes.HANDLER: report.handler}
        self._deliveries.add(1, handler | {attributes.OUTCOME: report.outcome})
        if report.outcome in ("failed", "retried"):
            self._retries.add(1, handler)
        elif report.outcome == "dead":
            self._dead.add(1, handler)

    def _owned(self, _: CallbackOptions) -> Iterator[Observation]:
        owners = self._record_owners()
        if owners:
            yield Observation(sum(len(owner.writer.owned) for owner in owners))

    def _heartbeat_age(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield the age of the oldest last heartbeat: a process has a worker for each event loop."""
        ages = [age for owner in self._record_owners() if (age := owner.worker.heartbeat_age) is not None]
        if ages:
            yield Observation(max(ages))

    def _record_owners(self) -> tuple[RecordOwner, ...]:
        return self._bus.publisher.record_owners() if self._bus.has_store else ()


def _error_of(error: BaseException | None) -> dict[str, str]:
    if error is None or signal_of(error) is not None:
        return {}
    return {attributes.ERROR_TYPE: attributes.error_type(error)}
