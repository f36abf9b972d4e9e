"""An instrumented bus whose spans and metrics stay in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from craft_easy.core.events import EventBus
from craft_easy.core.events.telemetry import instrument


class Telemetry:
    """Collects the spans and metrics of an instrumented bus."""

    def __init__(self, bus: EventBus) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        instrument(bus, tracer_provider=provider, meter_provider=self._meters)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The last span of each name that has ended."""
        return {span.name: span for span in self._exporter.get_finished_spans()}

    def all(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name, in the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def metric(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Return the attributes and the value of each series; of a histogram its count."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        points = [point for metric in metrics for point in metric.data.data_points]
        return [(dict(each.attributes or {}), getattr(each, "value", getattr(each, "count", None))) for each in points]

    def close(self) -> None:
        """End the export."""
        self._meters.shutdown()
