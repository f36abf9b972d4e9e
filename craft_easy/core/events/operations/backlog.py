"""The backlog as gauges: what is open, due and dead, by handler, since when, and which workers are alive.

    from craft_easy.core.events.operations.backlog import backlog

    now = await backlog(store)
    print(now.due, now.longest_due_s, now.workers["alive"])

It is the part of `stats` that a monitoring system asks for every few seconds: no figures over time, and each count
stops at a bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.operations.workers import WorkerState, workers
from craft_easy.core.events.store.pauses import HandlerPauses
from craft_easy.core.events.store.queries.backlog import MAX_COUNTED, StandingCounts, count_dead, count_open

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore


@dataclass(frozen=True, slots=True)
class HandlerGauges:
    """The unfinished deliveries of a handler.

    Args:
        open: pending deliveries.
        owned: the number of these whose record a worker owns.
        waiting: the number of these that are unowned and wait, for their next attempt or while the handler is paused.
        dead: dead deliveries.
        is_paused: whether the handler is paused.
    """

    open: int = 0
    owned: int = 0
    waiting: int = 0
    dead: int = 0
    is_paused: bool = False

    @property
    def due(self) -> int:
        """The number of pending deliveries that a redispatch with this handler would claim now."""
        return self.open - self.owned - self.waiting


@dataclass(frozen=True, slots=True)
class BacklogGauges:
    """The backlog at one moment.

    Args:
        at: the database's time of the look.
        open: open events.
        owned: the number of these that a worker owns.
        waiting: the number of these that are unowned and wait, for their next attempt or for a paused handler.
        dead: dead deliveries.
        oldest_s: seconds since the time of the oldest open event; 0 where none is open.
        longest_due_s: seconds for which the event that has been due for the longest is due; 0 where none is.
        handlers: those that are paused or have unfinished deliveries, by id.
        workers: the number of workers in each state.
        is_capped: True if there is more than is counted, 100,000 records; the oldest are.
    """

    at: datetime
    open: int = 0
    owned: int = 0
    waiting: int = 0
    dead: int = 0
    oldest_s: float = 0.0
    longest_due_s: float = 0.0
    handlers: Mapping[str, HandlerGauges] = field(default_factory=dict)
    workers: Mapping[WorkerState, int] = field(default_factory=dict)
    is_capped: bool = False

    @property
    def due(self) -> int:
        """The number of open events that a redispatch would claim now."""
        return self.open - self.owned - self.waiting


async def backlog(store: EventStore) -> BacklogGauges:
    """Read the backlog once; nothing is changed.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    now = await store.now()
    paused = [pause.handler for pause in await HandlerPauses(store).read() if pause.holds(now)]
    opened = await count_open(store, now, paused)
    dead = await count_dead(store, now)
    states = Counter(status.state for status in await workers(store))
    return BacklogGauges(
        at=now,
        open=opened.records,
        owned=opened.owned,
        waiting=opened.records - opened.owned - opened.due,
        dead=dead.dead.total(),
        oldest_s=_seconds_since(opened.oldest, now),
        longest_due_s=_seconds_since(opened.due_since, now),
        handlers=_by_handler(opened, dead, paused),
        workers={state: states[state] for state in _STATES},
        is_capped=max(opened.records, dead.records) >= MAX_COUNTED,
    )


_STATES: Final[Sequence[WorkerState]] = ("alive", "silent", "fenced", "gone")


def _by_handler(opened: StandingCounts, dead: StandingCounts, paused: Sequence[str]) -> dict[str, HandlerGauges]:
    """Return the gauges of each handler, those with the most pending deliveries first."""
    names = dict.fromkeys([name for name, _ in opened.pending.most_common()] + [*dead.dead, *paused])
    return {
        name: HandlerGauges(
            open=opened.pending[name],
            owned=opened.pending_owned[name],
            waiting=opened.pending[name] - opened.pending_owned[name] - opened.pending_due[name],
            dead=dead.dead[name],
            is_paused=name in paused,
        )
        for name in names
    }


def _seconds_since(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
