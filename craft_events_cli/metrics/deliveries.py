"""The counts of the deliveries of one process: written by its event loop, read by the threads of a scrape."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from craft_easy.core.events.engine.report import DeliveryReport
from craft_events_cli.metrics.gauges import PREFIX, HandlerLabels

OUTCOMES: Final = ("done", "failed", "retried", "dead", "skipped", "lost")
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""The upper bounds of the histogram, up to the default limit of an attempt."""


class _OfHandler:
    """The counts of one handler."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.retries = 0
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0


class DeliveryCounts:
    """Counts deliveries by handler.

    Args:
        labels: the label of each handler.
    """

    def __init__(self, labels: HandlerLabels) -> None:
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: defaultdict[str, _OfHandler] = defaultdict(_OfHandler)

    def begin(self, handlers: Iterable[str]) -> None:
        """Begin with zeros for these handlers: a rate needs a first value."""
        with self._lock:
            for handler in handlers:
                self._counts[self._labels.of(handler)].retries += 0

    def add(self, report: DeliveryReport) -> None:
        """Count a delivery that has ended."""
        seconds = report.took_ms / 1000
        with self._lock:
            counts = self._counts[self._labels.of(report.handler)]
            counts.outcomes[report.outcome] = counts.outcomes.get(report.outcome, 0) + 1
            counts.retries += report.outcome in ("failed", "retried")
            if report.took_ms:  # one that ended its process has no duration
                counts.buckets[bisect_left(BUCKETS_S, seconds)] += 1
                counts.seconds += seconds

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of a scrape; in any thread."""
        ended = CounterMetricFamily(
            f"{PREFIX}deliveries", "Attempts that ended, by handler and outcome.", labels=["handler", "outcome"]
        )
        retries = CounterMetricFamily(
            f"{PREFIX}retries", "Attempts after which the delivery is tried again, by handler.", labels=["handler"]
        )
        took = HistogramMetricFamily(
            f"{PREFIX}delivery_duration_seconds", "The duration of an attempt, by handler.", labels=["handler"]
        )
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        with self._lock:
            for label, counts in self._counts.items():
                for outcome, number in counts.outcomes.items():
                    ended.add_metric([label, outcome], number)
                retries.add_metric([label], counts.retries)
                numbers = map(float, accumulate(counts.buckets))
                took.add_metric([label], list(zip(bounds, numbers, strict=True)), counts.seconds)
        yield from (ended, retries, took)
