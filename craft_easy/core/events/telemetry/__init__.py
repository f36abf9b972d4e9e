"""Telemetry: OpenTelemetry's spans and metrics for a bus, by a middleware and an observer of it.

    from craft_easy.core.events.telemetry import instrument

    instrument(get_event_bus())

It needs the extra `telemetry`, which is OpenTelemetry's API alone: the application chooses the SDK and the exporter,
and without them nothing is recorded. It imports the bus and what is below it, and nothing imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakSet

try:
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import get_tracer
except ImportError as missing:
    raise ImportError(
        "telemetry needs OpenTelemetry's API, which is not installed: pip install 'craft-events[telemetry]'"
    ) from missing

from craft_easy.core.events.telemetry.metrics import BusMetrics
from craft_easy.core.events.telemetry.spans import TelemetryMiddleware

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from craft_easy.core.events.bus import EventBus

__all__ = ["instrument"]

SCOPE: Final = "craft_easy.core.events"
"""The name of the tracer and of the meter."""
_instrumented: Final[WeakSet[EventBus]] = WeakSet()


def instrument(
    bus: EventBus, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> None:
    """Record spans and metrics of a bus with OpenTelemetry.

    Call it before other middleware is added, so that its spans are around them, and in a module that a redispatch
    loads, so that its deliveries are recorded too.

    Args:
        bus: every publish has a span `publish <type>` and every attempt of a delivery a span `process <handler id>`.
        tracer_provider: None for the global one, which may be set later.
        meter_provider: None for the global one.

    Raises:
        RuntimeError: the bus is instrumented already.
    """
    if bus in _instrumented:
        raise RuntimeError("this bus is instrumented already: its deliveries would be counted twice")
    measured = BusMetrics(bus, get_meter(SCOPE, meter_provider=meter_provider))
    bus.add_middleware(TelemetryMiddleware(get_tracer(SCOPE, tracer_provider=tracer_provider), measured))
    bus.add_observer(measured.count_delivery)
    _instrumented.add(bus)
