"""The summary of a redispatch, and the reporter that adds stored outcomes to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING

from craft_easy.core.events.engine.report import DeliveryReport, outcome_name

if TYPE_CHECKING:
    from craft_easy.core.events.engine.report import Observer
    from craft_easy.core.events.model.delivery import Delivery, Ended
    from craft_easy.core.events.model.pause import PausedHandler
    from craft_easy.core.events.store.deliveries import Tracked


@dataclass(slots=True)
class RedispatchSummary:
    """The counts of one run: `events` to `lost` and `not_due` count events, the others deliveries.

    Args:
        events: claimed events; with `--watch` each of them may have been `claimed` several times.
        owned: events that a living worker still owns.
        lost: events that were claimed and then taken over by another worker.
        retried: deliveries whose handler raised `Retry`.
        not_due: events that wait for their back-off, up to a bound; the first of them is due at `next_due_at`.
        paused: deliveries that wait for a paused handler, up to a bound for each.
        orphaned: deliveries that wait for a handler that is not loaded.
        uncounted: why the events that the run leaves (`owned`, `not_due`, `paused`, `orphaned`) could not be counted.
        abandoned: handlers that still run past their limit or the grace; nothing waits for them.
    """

    events: int = 0
    claimed: int = 0
    taken_over: int = 0
    owned: int = 0
    lost: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    not_due: int = 0
    next_due_at: datetime | None = None
    paused: int = 0
    paused_handlers: list[str] = field(default_factory=list)
    orphaned: int = 0
    orphaned_handlers: list[str] = field(default_factory=list)
    uncounted: str | None = None
    elapsed_s: float = 0.0
    abandoned: int = 0

    @property
    def is_clean(self) -> bool:
        """True if nothing failed, died or lacked its handler, as far as is known; pauses do not count."""
        return not (self.failed or self.dead or self.orphaned or self.uncounted)

    def add(self, other: RedispatchSummary) -> None:
        """Add the counts of another run."""
        for count in fields(self):
            value = getattr(other, count.name)
            if isinstance(value, int | float):
                setattr(self, count.name, round(getattr(self, count.name) + value, 3))
        self.paused_handlers = sorted({*self.paused_handlers, *other.paused_handlers})
        self.orphaned_handlers = sorted({*self.orphaned_handlers, *other.orphaned_handlers})
        self.uncounted = self.uncounted or other.uncounted
        due = [at for at in (self.next_due_at, other.next_due_at) if at is not None]
        self.next_due_at = min(due, default=None)

    def add_paused(self, handlers: Iterable[PausedHandler]) -> None:
        """Add the handlers that are paused, and the deliveries that wait for them."""
        for handler in handlers:
            self.paused += handler.waiting
            self.paused_handlers = sorted({*self.paused_handlers, handler.handler})


class RecordReporter:
    """Counts and reports the outcomes of one record.

    Args:
        record: the record.
        summary: counts them.
        observer: called with each.
    """

    def __init__(self, record: Tracked, summary: RedispatchSummary, observer: Observer) -> None:
        self._record = record
        self._summary = summary
        self._observer = observer
        self._is_lost = False

    def report(self, ended: Ended, delivery: Delivery) -> None:
        """Count and report an outcome, with the delivery as it is stored now."""
        outcome = outcome_name(ended, delivery)
        if outcome is None:
            return
        if outcome == "lost":
            self._summary.lost += not self._is_lost
            self._is_lost = True
        else:
            setattr(self._summary, outcome, getattr(self._summary, outcome) + 1)
        self._observer(DeliveryReport.of(self._record, ended, delivery, outcome))
