"""The backlog, read in the background: a scrape never waits for the database and never asks it anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import LogNotFound, StoreError, StoreLoginRefused
from craft_easy.core.events.operations.backlog import BacklogGauges, HandlerGauges, backlog
from craft_easy.core.events.store import existence
from craft_events_cli.metrics.gauges import HandlerLabels, gauge, info, labelled
from craft_events_cli.metrics.server import Health
from craft_events_cli.output.spans import elapsed_text

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

REACH_S: Final = 5.0
"""Seconds within which the log must answer at all."""
COUNT_S: Final = 120.0
"""Seconds within which the counts must be answered."""
REST: Final = 4.0
"""The factor by which a pause is at least longer than the poll before it: a large backlog is counted less often."""


@dataclass(frozen=True, slots=True)
class PolledBacklog:
    """The backlog, when it was read (seconds of `clock.steady`) and how long that took."""

    backlog: BacklogGauges
    read_at: float
    took_s: float


class BacklogPoller(Collector):
    """Polls the backlog, and answers scrapes and probes from what it knows.

    While the log does not answer its numbers are left out: a gauge that keeps its last value looks like a live one.
    Their age is still there.

    Args:
        interval: seconds between two polls at least.
        note: writes a line to stderr.
        log_name: the database and the collection.
        clock: returns seconds.
    """

    def __init__(
        self,
        interval: float,
        note: Callable[[str], object],
        log_name: tuple[str, str],
        clock: Callable[[], float] = steady,
    ) -> None:
        self._interval = interval
        self._note = note
        self._database, self._collection = log_name
        self._clock = clock
        self._answer: PolledBacklog | None = None
        self._reason: str | None = "the log has not been asked yet"
        self._lost_at: float | None = None
        self._polls = {"answered": 0, "failed": 0}
        self._labels = HandlerLabels()

    async def run(self, store: EventStore) -> None:
        """Poll until this is cancelled.

        Raises:
            StoreLoginRefused: the server refuses the login.
        """
        while True:
            began = self._clock()
            try:
                found = await _ask(store)
            except StoreLoginRefused:
                raise
            except LogNotFound as error:
                self.failed(str(error), f"{error}: waiting for it")
            except StoreError as error:
                self.failed(str(error), f"no answer, trying again … ({error})")
            else:
                self.answered(found, self._clock() - began)
            took = self._clock() - began
            await asyncio.sleep(max(self._interval - took, took * REST))

    def answered(self, found: BacklogGauges, took_s: float) -> None:
        """Keep an answer."""
        self._answer, self._reason = PolledBacklog(found, self._clock(), took_s), None
        self._polls["answered"] += 1
        if self._lost_at is not None:
            self._note(f"resumed after {elapsed_text(self._clock() - self._lost_at)}")
            self._lost_at = None

    def failed(self, reason: str, text: str) -> None:
        """Keep why a poll was not answered, and write the text once for each outage."""
        self._reason = reason
        self._polls["failed"] += 1
        if self._lost_at is None:
            self._lost_at = self._clock()
            self._note(text)

    def health(self) -> Health:
        """Return whether the last poll was answered, for a probe."""
        answer, reason = self._answer, self._reason
        if answer is None:
            return Health(is_well=False, text=f"no answer so far: {reason}")
        age = elapsed_text(self._clock() - answer.read_at)
        if reason is not None:
            return Health(is_well=False, text=f"the last answer is {age} old: {reason}")
        return Health(is_well=True, text=f"ok: the last answer is {age} old")

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of a scrape; in any thread."""
        answer, is_up = self._answer, self._reason is None
        yield info(database=self._database, collection=self._collection)
        yield gauge("up", "1 if the log answered the last poll.", is_up)
        polls = CounterMetricFamily("craft_events_polls", "Polls of the log, by outcome.", labels=["outcome"])
        for outcome, number in self._polls.items():
            polls.add_metric([outcome], number)
        yield polls
        yield gauge("poll_interval_seconds", "Seconds between two polls at least.", self._interval)
        if answer is None:
            return
        yield gauge("data_age_seconds", "Seconds since the log last answered a poll.", self._clock() - answer.read_at)
        if is_up:
            yield gauge("poll_duration_seconds", "Seconds that the last poll took.", answer.took_s)
            yield from self._gauges(answer.backlog)

    def _gauges(self, found: BacklogGauges) -> Iterable[Metric]:
        yield gauge("open_events", "Events with a pending delivery.", found.open)
        yield gauge("owned_events", "Open events that a worker owns.", found.owned)
        yield gauge("waiting_events", "Open events that wait for their next attempt or a pause.", found.waiting)
        yield gauge("due_events", "Open events that a redispatch would claim now.", found.due)
        yield gauge("oldest_open_age_seconds", "The age of the oldest open event; 0 if none is open.", found.oldest_s)
        yield gauge(
            "longest_due_seconds",
            "How long the event that is due for the longest has been due; 0 if none is.",
            found.longest_due_s,
        )
        yield gauge("backlog_capped", "1 if there is more than is counted (100,000 events).", found.is_capped)
        yield labelled("workers", "Workers, by state.", "state", found.workers)
        yield from self._by_handler(found)

    def _by_handler(self, found: BacklogGauges) -> Iterable[Metric]:
        named = [(self._labels.of(handler), one) for handler, one in found.handlers.items()]
        known = self._labels.known  # a handler that has nothing unfinished any more stays, with zeros
        for name, text, number in _OF_HANDLER:
            values = dict.fromkeys(known, 0.0)
            for label, one in named:
                values[label] = values.get(label, 0.0) + number(one)
            yield labelled(name, text, "handler", values)


_OF_HANDLER: Final[tuple[tuple[str, str, Callable[[HandlerGauges], int]], ...]] = (
    ("open_deliveries", "Pending deliveries, by handler.", lambda one: one.open),
    ("owned_deliveries", "Pending deliveries of events that a worker owns, by handler.", lambda one: one.owned),
    (
        "waiting_deliveries",
        "Pending deliveries that wait for a time or a pause, by handler.",
        lambda one: one.waiting,
    ),
    ("due_deliveries", "Pending deliveries that a redispatch would claim now, by handler.", lambda one: one.due),
    ("dead_deliveries", "Dead deliveries, by handler.", lambda one: one.dead),
    ("handler_paused", "1 if the handler is paused.", lambda one: one.is_paused),
)


async def _ask(store: EventStore) -> BacklogGauges:
    """Read the backlog; a log that does not exist is an error, and never reads as an empty one."""
    async with store.deadline(REACH_S):
        await existence.require(store)
    async with store.deadline(COUNT_S):
        return await backlog(store)
