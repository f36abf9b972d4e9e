"""What a worker counts, and what a probe is told while its loop is blocked."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from craft_easy.core.events.engine.report import Began, ConnectionLost, ConnectionResumed, DeliveryReport, EventEnded
from craft_events_cli.metrics.deliveries import OUTCOMES, DeliveryCounts
from craft_events_cli.metrics.gauges import OTHER, HandlerLabels
from craft_events_cli.metrics.worker import WorkerMetrics


def report(
    handler: str = "shop:mail", outcome: str = "done", attempt: int = 1, took_ms: float = 20.0
) -> DeliveryReport:
    return DeliveryReport("e", "order.placed", "acme", handler, outcome, attempt, None, None, None, took_ms)


def scraped(metrics: WorkerMetrics) -> dict[str, float]:
    """Return the samples of a scrape by name and labels."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics(("shop", "event_log"))


def test_deliveries_are_counted_by_handler_and_outcome(metrics: WorkerMetrics) -> None:
    for one in (report(), report(), report(outcome="failed"), report(outcome="dead", attempt=20), EventEnded()):
        metrics.observe(one)
    found = scraped(metrics)
    assert found["craft_events_deliveries_total{shop:mail,done}"] == 2
    assert found["craft_events_deliveries_total{shop:mail,failed}"] == 1
    assert found["craft_events_deliveries_total{shop:mail,dead}"] == 1
    assert found["craft_events_deliveries_total{shop:mail,lost}"] == 0
    assert found["craft_events_retries_total{shop:mail}"] == 1


def test_durations_are_a_cumulative_histogram(metrics: WorkerMetrics) -> None:
    for took_ms in (5.0, 6.0, 2_000.0, 1e6):
        metrics.observe(report(took_ms=took_ms))
    found = scraped(metrics)
    name = "craft_events_delivery_duration_seconds"
    bounds = ("0.005", "0.01", "1.0", "2.5", "900.0", "+Inf")
    assert [found[f"{name}_bucket{{shop:mail,{bound}}}"] for bound in bounds] == [1, 2, 2, 3, 3, 4]
    assert found[f"{name}_count{{shop:mail}}"] == 4
    assert found[f"{name}_sum{{shop:mail}}"] == pytest.approx(1002.011)


def test_every_loaded_handler_begins_with_zeros() -> None:
    counts = DeliveryCounts(HandlerLabels())
    counts.begin(["a", "b"])
    ended, retries, took = counts.collect()
    assert {(one.labels["handler"], one.labels["outcome"]): one.value for one in ended.samples} == {
        (handler, outcome): 0 for handler in "ab" for outcome in OUTCOMES
    }
    assert {one.labels["handler"] for one in [*retries.samples, *took.samples]} == {"a", "b"}


def test_handlers_past_the_bound_are_counted_together() -> None:
    counts = DeliveryCounts(HandlerLabels(limit=1))
    for handler in "abc":
        counts.add(report(handler))
    _, retries, _ = counts.collect()
    assert [one.labels["handler"] for one in retries.samples] == ["a", OTHER]


def test_an_outage_is_not_up_and_still_alive(metrics: WorkerMetrics) -> None:
    ups = []
    for notice in (None, Began(None), ConnectionLost("gone"), ConnectionResumed(3)):
        if notice is not None:
            metrics.observe(notice)
        found = scraped(metrics)
        ups.append(found["craft_events_up{}"])
        assert found["craft_events_healthy{}"] == 1
    assert ups == [0, 1, 0, 1]
