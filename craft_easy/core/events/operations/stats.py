"""The figures of a log: the backlog with its age and handlers, and the events and failures over time.

    from craft_easy.core.events.operations.stats import stats

    figures = await stats(store, by="handler")
    print(figures.open, figures.dead, figures.oldest)
    for group in figures.groups:
        print(group.name, group.open, group.failed, group.median_ms)

Open and dead deliveries of any age are counted, from the partial indexes alone. The figures over time are of a window,
by default the last 24 hours; the server counts them, bar by bar, and returns no payload. Failures are the errors that
the records keep, the last five of a delivery: those of open and dead records of any age, and those of done ones that
were published within the window. An event without a time is in no bar.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.clock import steady
from craft_easy.core.events.model.envelope import EARLIEST, read_envelope
from craft_easy.core.events.model.figures import Bars, cut_into_bars
from craft_easy.core.events.model.pause import PausedHandler
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.pauses import paused_handlers
from craft_easy.core.events.operations.workers import RunningNow, living
from craft_easy.core.events.store.queries.stats import (
    By,
    Counted,
    Durations,
    Question,
    count_dead,
    count_open,
    count_slice,
    durations,
)

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

WINDOW: Final = timedelta(hours=24)
"""The default window of the figures over time."""
BARS: Final = 48
"""The maximum number of bars, unless their width is given."""
EVERYTHING: Final = Selection()
_ALWAYS_FRESH: Final = 2
"""The number of latest bars that each look counts again, because events are still stored, and fail, in them."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The event that has been open for the longest; `age_s` seconds have passed since its time."""

    event_id: str
    event_type: str
    tenant_id: str | None
    timestamp: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class Bar:
    """The events of a part of the window, and the errors that happened in it."""

    since: datetime
    until: datetime
    events: int
    failed: int


@dataclass(frozen=True, slots=True)
class StatsGroup:
    """The figures of a handler, an event type, a tenant or a kind of error.

    Args:
        name: None for events without a tenant, and for deliveries that have not failed yet.
        open: open events by type and tenant, pending deliveries by handler and error.
        waiting: the number of these that are unowned and not due yet.
        dead: dead deliveries.
        failed: errors that happened within the window.
        events: events of the window; by handler, those that it was subscribed to. None by error.
        median_ms: the time of a delivery's last run, of the newest 10,000 events of the window; only by handler.
        mean_ms: the same, where the server is older than MongoDB 7 and has no median.
    """

    name: str | None
    open: int = 0
    waiting: int = 0
    dead: int = 0
    failed: int = 0
    events: int | None = None
    median_ms: float | None = None
    mean_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of the log.

    Args:
        at: the database's time of the look.
        open: open events.
        owned: the number of these that a worker owns.
        waiting: the number of these that are unowned and wait for their next attempt.
        dead: dead deliveries.
        oldest: the event that has been open for the longest.
        since: the beginning of the window.
        until: the end of the window.
        bar: the width of a bar.
        events: the events of the window.
        failed: the errors that happened within the window.
        bars: the window, bar by bar.
        by: the key of a group.
        groups: the largest thousand groups, by open and dead deliveries, then by failures and events.
        orphaned: the handlers of open events that are neither loaded nor paused; None where `loaded` was not given.
        workers: the number of workers that are alive.
        running: what they run, as of their last heartbeats, the longest running first.
        paused: the handlers that are paused, whatever the selection is.
    """

    at: datetime
    open: int
    owned: int
    waiting: int
    dead: int
    oldest: Oldest | None
    since: datetime
    until: datetime
    bar: timedelta
    events: int
    failed: int
    bars: Sequence[Bar]
    by: By
    groups: Sequence[StatsGroup]
    orphaned: Sequence[str] | None = None
    workers: int = 0
    running: Sequence[RunningNow] = ()
    paused: Sequence[PausedHandler] = ()

    @property
    def due(self) -> int:
        """The number of open events that a redispatch would claim now."""
        return self.open - self.owned - self.waiting


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for an alert; None sets no limit.

    Args:
        max_backlog: open events.
        max_age: seconds since the time of the oldest open event.
        max_dead: dead deliveries.
    """

    max_backlog: int | None = None
    max_age: float | None = None
    max_dead: int | None = None

    def crossed(self, stats: Stats) -> list[Crossing]:
        """Return the limits that are crossed."""
        age = None if stats.oldest is None else stats.oldest.age_s
        measured = {
            "max_backlog": (stats.open, self.max_backlog),
            "max_age": (age, self.max_age),
            "max_dead": (stats.dead, self.max_dead),
        }
        return [
            Crossing(name, value, limit)
            for name, (value, limit) in measured.items()
            if value is not None and limit is not None and value > limit
        ]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A limit that is crossed, by its name in `Limits`, with the measured value; an age in seconds."""

    name: str
    value: float
    limit: float


async def stats(
    store: EventStore,
    selection: Selection = EVERYTHING,
    *,
    by: By = "handler",
    bar: timedelta | None = None,
    loaded: Iterable[str] | None = None,
) -> Stats:
    """Read the figures once; nothing is changed.

    Args:
        selection: the events; its window is that of the figures over time. It has no limit and no states.
        by: the key of a group.
        bar: the width of a bar; None for a round one.
        loaded: ids of the loaded handlers, aliases included.

    Raises:
        InvalidSetting: the window is empty, or has too many bars of this width.
        StoreUnavailable: the log was not reached, or a bar was not counted in time.
    """
    return await Meter(store, by=by, bar=bar, loaded=loaded).read(selection)


@dataclass(slots=True)
class _Known:
    """The counts of a bar, and the time of the look."""

    counted: Counted
    failed_at: Mapping[datetime, int]
    read_at: float


@dataclass(slots=True)
class Meter:
    """Reads the same figures repeatedly, and counts again only those that may have changed.

    Each look counts the backlog, the latest bars, and one of the other bars, in turn.

    Args:
        store: the event log.
        by: the key of a group.
        bar: the width of a bar; None for a round one, chosen at the first look.
        most_bars: the maximum number of bars, where `bar` is None.
        loaded: ids of the loaded handlers, aliases included.
        on_bar: called with the number of bars that were counted so far, and of all to count.
    """

    store: EventStore
    by: By = "handler"
    bar: timedelta | None = None
    most_bars: int = BARS
    loaded: Iterable[str] | None = None
    on_bar: Callable[[int, int], None] | None = None
    _known: dict[tuple[datetime, datetime], _Known] = field(default_factory=dict)

    async def read(self, selection: Selection = EVERYTHING) -> Stats:
        """Read the figures; only the window of the selection may differ between calls."""
        now = await self.store.now()
        question = Question(selection, self.by, self._bars(selection, now), now)
        opened = await count_open(self.store, question)
        dead = await count_dead(self.store, question)
        paused = await paused_handlers(self.store)
        orphaned = await self._orphaned(question, opened, {one.handler for one in paused})
        counted = await self._over_time(question)
        took = await durations(self.store, question) if self.by == "handler" else Durations()
        at_work = await living(self.store)
        found = _put_together(question, opened, dead, counted, took, orphaned)
        return replace(found, workers=at_work.number, running=at_work.running, paused=paused)

    def _bars(self, selection: Selection, now: datetime) -> Bars:
        until = selection.until or now
        since = selection.since or until - min(WINDOW, until - EARLIEST)
        if self.bar is None:
            self.bar = cut_into_bars(since, until, most=self.most_bars).width
        return Bars(since, until, self.bar)

    async def _orphaned(self, question: Question, opened: Counted, paused: Collection[str]) -> Sequence[str] | None:
        if self.loaded is None:
            return None
        if self.by != "handler":
            opened = await count_open(self.store, replace(question, by="handler"))
        expected = {*self.loaded, *paused}
        return sorted(group.name for group in opened.groups if group.name is not None and group.name not in expected)

    async def _over_time(self, question: Question) -> list[_Known]:
        ends = list(question.bars)
        stale = self._to_count(ends)
        for number, window in enumerate(stale, 1):
            counted = await count_slice(self.store, question, *window)
            self._known[window] = _Known(counted, _by_begin(question.bars, counted), steady())
            if self.on_bar is not None:
                self.on_bar(number, len(stale))
        self._known = {window: self._known[window] for window in ends}
        return list(self._known.values())

    def _to_count(self, ends: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
        over = {window for window in ends[:-_ALWAYS_FRESH] if window in self._known}
        oldest_look = min(over, key=lambda window: self._known[window].read_at, default=None)
        return [window for window in ends if window not in over or window == oldest_look]


def _by_begin(bars: Bars, counted: Counted) -> Mapping[datetime, int]:
    """Return the errors by the beginning of their bar, because the numbers of bars change as the window moves."""
    return {bars.origin + number * bars.width: errors for number, errors in counted.failed_at.items()}


def _put_together(
    question: Question,
    opened: Counted,
    dead: Counted,
    over_time: Sequence[_Known],
    took: Durations,
    orphaned: Sequence[str] | None,
) -> Stats:
    bars = _counted_bars(question.bars, [opened, dead], over_time)
    return Stats(
        at=question.now,
        open=opened.number,
        owned=opened.owned,
        waiting=opened.waiting,
        dead=dead.number,
        oldest=_oldest(opened.oldest, question.now),
        since=question.bars.since,
        until=question.bars.until,
        bar=question.bars.width,
        events=sum(bar.events for bar in bars),
        failed=sum(bar.failed for bar in bars),
        bars=bars,
        by=question.by,
        groups=_groups(question.by, opened, dead, [known.counted for known in over_time], took),
        orphaned=orphaned,
    )


def _counted_bars(bars: Bars, standing: Sequence[Counted], over_time: Sequence[_Known]) -> list[Bar]:
    failed: Counter[datetime] = Counter()
    for counted in standing:
        failed.update(_by_begin(bars, counted))
    for known in over_time:
        failed.update(known.failed_at)
    begins = [bars.origin + number * bars.width for number in range(len(bars))]
    return [
        Bar(since, until, known.counted.number, failed[begin])
        for (since, until), begin, known in zip(bars, begins, over_time, strict=True)
    ]


def _oldest(fields: Mapping[str, Any] | None, now: datetime) -> Oldest | None:
    if fields is None:
        return None
    event = read_envelope(fields)
    age_s = max((now - event.timestamp).total_seconds(), 0.0)
    return Oldest(event.event_id, event.event_type, event.tenant_id, event.timestamp, age_s)


def _groups(by: By, opened: Counted, dead: Counted, over_time: Sequence[Counted], took: Durations) -> list[StatsGroup]:
    numbers: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for group in opened.groups:
        numbers[group.name].update(open=group.number, waiting=group.waiting)
    for group in dead.groups:
        numbers[group.name].update(dead=group.number)
    for counted in over_time:
        for group in counted.groups:
            numbers[group.name].update(events=group.number)
    for counted in (opened, dead, *over_time):
        for name, errors in counted.failed_by.items():
            numbers[name].update(failed=errors)
    return sorted((_group(by, name, numbers[name], took) for name in numbers), key=_by_weight)


def _group(by: By, name: str | None, numbers: Counter[str], took: Durations) -> StatsGroup:
    milliseconds = took.by_handler.get(name)
    return StatsGroup(
        name=name,
        open=numbers["open"],
        waiting=numbers["waiting"],
        dead=numbers["dead"],
        failed=numbers["failed"],
        events=None if by == "error" else numbers["events"],
        median_ms=milliseconds if took.measure == "median" else None,
        mean_ms=milliseconds if took.measure == "mean" else None,
    )


def _by_weight(group: StatsGroup) -> tuple[int, int, int, str]:
    return -(group.open + group.dead), -group.failed, -(group.events or 0), group.name or ""
