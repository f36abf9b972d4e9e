"""What a worker counts, and what a probe is told while its loop is blocked."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import DeliveryReport, Working
from craft_easy.core.events.engine.watchdog import RunningHandler
from craft_easy.core.events.testing import memory_store
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


def counted(*reports: DeliveryReport) -> dict[str, float]:
    """Return the samples of these deliveries by name and labels."""
    counts = DeliveryCounts(HandlerLabels())
    for one in reports:
        counts.add(one)
    samples = [sample for family in counts.collect() for sample in family.samples]
    return {f"{one.name}{{{','.join(one.labels.values())}}}": one.value for one in samples}


def test_deliveries_are_counted_by_handler_and_outcome() -> None:
    outcomes = ("done", "failed", "done", "retried", "dead")
    found = counted(*(report(outcome=outcome) for outcome in outcomes))
    assert found["craft_events_deliveries_total{shop:mail,done}"] == 2
    assert found["craft_events_deliveries_total{shop:mail,failed}"] == 1
    assert found["craft_events_deliveries_total{shop:mail,dead}"] == 1
    assert found["craft_events_deliveries_total{shop:mail,lost}"] == 0
    assert found["craft_events_retries_total{shop:mail}"] == 2


def test_durations_are_a_cumulative_histogram() -> None:
    found = counted(*(report(took_ms=took_ms) for took_ms in (5.0, 6.0, 2_000.0, 1e6)))
    name = "craft_events_delivery_duration_seconds"
    bounds = ("0.005", "0.01", "1.0", "2.5", "900.0", "+Inf")
    assert [found[f"{name}_bucket{{shop:mail,{bound}}}"] for bound in bounds] == [1, 2, 2, 3, 3, 4]
    assert found[f"{name}_count{{shop:mail}}"] == 4
    assert found[f"{name}_sum{{shop:mail}}"] == pytest.approx(1002.011)


def test_a_delivery_that_ended_its_process_is_counted_and_has_no_duration() -> None:
    found = counted(report(outcome="dead", took_ms=0.0))
    assert found["craft_events_deliveries_total{shop:mail,dead}"] == 1
    assert found["craft_events_delivery_duration_seconds_count{shop:mail}"] == 0


async def test_what_the_bus_delivers_is_counted(metrics: WorkerMetrics) -> None:
    async with EventBus() as bus:
        bus.configure_store(memory_store())
        bus.subscribe("order.*", lambda _: None, id="shop:mail")
        bus.publisher.record_owner()
        with metrics.following(bus):
            await bus.publish(DomainEvent(event_type="order.placed"))
            await bus.drain()
            found = scraped(metrics)
    assert found["craft_events_deliveries_total{shop:mail,done}"] == 1
    assert found["craft_events_lease_held{}"] == 1


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


class OwnWorker:
    """A record owner whose worker a test sets."""

    def __init__(self) -> None:
        self.worker = self.writer = self.running_handlers = self
        self.owned = {1, 2}
        self.lease, self.hang_limit, self.may_start = 30.0, 900.0, True
        self.heartbeat_age: float | None = 1.0

    def longest_running(self, _: int) -> list[RunningHandler]:
        return [
            RunningHandler("shop:mail", None, 900, "e", steady() - 20),
            RunningHandler("shop:mail", None, 900, "f", steady()),
        ]


@pytest.fixture
def own(metrics: WorkerMetrics) -> OwnWorker:
    own = OwnWorker()
    metrics._record_owner = own  # type: ignore[assignment]
    return own


def test_what_runs_and_what_is_owned_are_gauges(metrics: WorkerMetrics, own: OwnWorker) -> None:
    metrics._labels.of("shop:stock")
    found = scraped(metrics)
    assert (found["craft_events_records_owned{}"], found["craft_events_lease_held{}"]) == (2, 1)
    assert found["craft_events_running_deliveries{shop:mail}"] == 2
    assert found["craft_events_running_deliveries{shop:stock}"] == 0
    assert 20 <= found["craft_events_longest_running_seconds{shop:mail}"] < 80


def test_the_log_is_up_while_it_answers_looks_or_heartbeats(metrics: WorkerMetrics, own: OwnWorker) -> None:
    ups = []
    for heartbeat_age, answered_at in ((None, None), (1.0, None), (16.0, None), (16.0, steady())):
        own.heartbeat_age = heartbeat_age
        metrics.observe(Working(0, 0, answered_at, answered_at))
        ups.append(scraped(metrics)["craft_events_up{}"])
    assert ups == [0, 1, 0, 1]


def test_a_lease_that_is_lost_while_the_log_answers_is_not_healthy(metrics: WorkerMetrics, own: OwnWorker) -> None:
    own.may_start, own.heartbeat_age = False, 100.0
    metrics.observe(Working(0, 0, steady() - 500, steady() - 200))
    assert scraped(metrics)["craft_events_healthy{}"] == 1
    metrics.observe(Working(0, 0, steady() - 500, steady()))
    assert scraped(metrics)["craft_events_healthy{}"] == 0
    assert not metrics.health().is_well


def test_before_the_log_is_reached_a_worker_is_alive_and_the_log_is_not_up(metrics: WorkerMetrics) -> None:
    found = scraped(metrics)
    assert (found["craft_events_up{}"], found["craft_events_healthy{}"]) == (0, 1)
