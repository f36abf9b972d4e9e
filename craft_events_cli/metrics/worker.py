"""The metrics of one worker, from the notices of its redispatch and from its own lease."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import Notice, Working
from craft_events_cli.metrics.address import ListenAddress
from craft_events_cli.metrics.deliveries import DeliveryCounts
from craft_events_cli.metrics.gauges import HandlerLabels, gauge, info, labelled
from craft_events_cli.metrics.liveness import VitalSigns, judge
from craft_events_cli.metrics.server import Health, serving

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.engine.owner import RecordOwner

BEAT_S: Final = 0.5
"""Seconds between two beats of the event loop."""
REACHED_S: Final = 5.0
"""Seconds without an answered look after which the log counts as away."""
MOST_RUNNING: Final = 10_000
"""The number of running deliveries that a scrape looks at."""


class WorkerMetrics(Collector):
    """Counts what a redispatch does, and answers scrapes and probes in any thread.

    Args:
        log_name: the database and the collection.
        clock: returns seconds.
    """

    def __init__(self, log_name: tuple[str, str], clock: Callable[[], float] = steady) -> None:
        self._database, self._collection = log_name
        self._clock = clock
        self._labels = HandlerLabels()
        self._deliveries = DeliveryCounts(self._labels)
        self._record_owner: RecordOwner | None = None
        self._loop_at = clock()
        self._working = Working(0, 0)

    # on the event loop

    @contextmanager
    def following(self, bus: EventBus) -> Iterator[None]:
        """Read the worker of a bus, and have its event loop beat, until the block ends."""
        self._deliveries.begin(one.handler.id for one in bus.subscriptions())
        bus.add_observer(self._deliveries.add)  # of the bus: it also hears of what handlers publish, and of crashes
        self.beat()
        self._record_owner = bus.publisher.record_owner()
        beating = asyncio.create_task(self._beat_for_ever(), name="beat of the loop")
        try:
            yield
        finally:
            beating.cancel()

    async def _beat_for_ever(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(BEAT_S)

    def beat(self) -> None:
        """Note that the event loop runs."""
        self._loop_at = self._clock()

    def observe(self, notice: Notice) -> None:
        """Keep when the log has answered; the run's other notices are not needed."""
        if isinstance(notice, Working):
            self._working = notice

    # in any thread

    def health(self) -> Health:
        """Return whether the worker is alive, for a probe."""
        if self._record_owner is None:
            return Health(is_well=True, text="ok: the log has not been reached yet")
        return judge(self._signs(self._record_owner))

    def _signs(self, record_owner: RecordOwner) -> VitalSigns:
        worker, working, now = record_owner.worker, self._working, self._clock()
        since, at = working.answered_since, working.answered_at
        return VitalSigns(
            loop_age=now - self._loop_at,
            hang_limit=worker.hang_limit,
            lease=worker.lease,
            heartbeat_age=worker.heartbeat_age,
            has_lease=worker.may_start,
            answered_for=0.0 if since is None or at is None else at - since,
            answered_ago=inf if at is None else now - at,
        )

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of a scrape."""
        yield info(database=self._database, collection=self._collection)
        signs = None if self._record_owner is None else self._signs(self._record_owner)
        is_up = signs is not None and _is_reached(signs)
        yield gauge("up", "1 if the log answered within the last seconds.", is_up)
        yield gauge("healthy", "1 if /healthz answers 200.", self.health().is_well)
        yield from self._deliveries.collect()
        if self._record_owner is not None and signs is not None:
            yield from self._of_worker(self._record_owner, signs)

    def _of_worker(self, record_owner: RecordOwner, signs: VitalSigns) -> Iterable[Metric]:
        yield gauge("records_owned", "Records that this worker owns.", len(record_owner.writer.owned))
        yield gauge("lease_seconds", "The lease of this worker.", signs.lease)
        yield gauge("lease_held", "1 if the lease is held, and handlers may start.", signs.has_lease)
        yield gauge("loop_age_seconds", "Seconds since the event loop last answered.", signs.loop_age)
        if signs.heartbeat_age is not None:
            yield gauge(
                "heartbeat_age_seconds", "Seconds since the last accepted heartbeat was sent.", signs.heartbeat_age
            )
        yield from self._running(record_owner)

    def _running(self, record_owner: RecordOwner) -> Iterable[Metric]:
        numbers, longest = Counter(dict.fromkeys(self._labels.known, 0)), dict.fromkeys(self._labels.known, 0.0)
        for one in record_owner.worker.running_handlers.longest_running(MOST_RUNNING):
            ran_s = max(0.0, steady() - one.since)
            label = self._labels.of(one.handler_id)
            numbers[label] += 1
            longest[label] = max(longest.get(label, 0.0), ran_s)
        yield labelled("running_deliveries", "Deliveries that run now, by handler.", "handler", numbers)
        yield labelled(
            "longest_running_seconds",
            "How long the delivery that runs for the longest has run, by handler; 0 if none runs.",
            "handler",
            longest,
        )


def _is_reached(signs: VitalSigns) -> bool:
    """Return whether a look, one a second, or a heartbeat, three a lease, was answered lately."""
    beat = signs.heartbeat_age
    return signs.answered_ago <= REACHED_S or (beat is not None and beat <= signs.lease / 2)


@contextmanager
def serving_worker(address: ListenAddress, log_name: tuple[str, str]) -> Iterator[WorkerMetrics]:
    """Serve the metrics of this process until the block ends.

    Raises:
        UsageError: the address cannot be listened on.
    """
    metrics = WorkerMetrics(log_name)
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    with serving(address, registry, metrics.health):
        yield metrics
