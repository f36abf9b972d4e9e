"""The figures of summaries and charts: counts by type, tenant and handler; a window of time cut into bars.

Bars begin at whole multiples of their width (at the hour, at midnight UTC), as people expect of a chart, so the window
may cut the first and the last bar short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from craft_easy.core.events.errors import InvalidSetting


@dataclass(slots=True)
class Counts:
    """Numbers of events and deliveries, in total and by event type, tenant and handler."""

    events: int = 0
    deliveries: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_tenant: Counter[str | None] = field(default_factory=Counter)
    by_handler: Counter[str] = field(default_factory=Counter)
    after_take_over: int = 0
    """Events among them whose worker has been silent for its whole lease: a run takes them over first."""
    take_over_s: float = 0.0
    """Seconds that a run watches such a worker before it takes over."""
    paused: Counter[str] = field(default_factory=Counter)
    """Deliveries that are not counted, since their handler is paused, by the id under which it is paused."""

    def add(self, document: Mapping[str, Any], handlers: Sequence[str]) -> None:
        """Count one event and its deliveries to these handlers."""
        self.events += 1
        self.deliveries += len(handlers)
        self.by_type[str(document.get("event_type"))] += 1
        tenant = document.get("tenant_id")
        self.by_tenant[None if tenant is None else str(tenant)] += 1
        self.by_handler.update(handlers)

    def add_many(self, event_type: str, tenant_id: str | None, events: int, handlers: Sequence[str]) -> None:
        """Count events of one type and tenant, unless no handler would run."""
        if handlers:
            self.events += events
            self.deliveries += events * len(handlers)
            self.by_type[event_type] += events
            self.by_tenant[tenant_id] += events
            self.by_handler.update(dict.fromkeys(handlers, events))

    def merge(self, other: Counts) -> None:
        """Add the numbers of another count."""
        self.events += other.events
        self.deliveries += other.deliveries
        self.by_type += other.by_type
        self.by_tenant += other.by_tenant
        self.by_handler += other.by_handler
        self.paused.update(other.paused)  # not +=, which drops a handler that nothing waits for
        self.after_take_over += other.after_take_over
        self.take_over_s = max(self.take_over_s, other.take_over_s)


MAX_BARS: Final = 1_000
"""The maximum number of bars, because each costs a query."""
BAR_HINT: Final = "--bar is how wide a bar is, --since where the window begins"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = 86_400
_WIDTHS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(1, 2, 5, 10, 15, 30),
        *(60, 120, 300, 600, 900, 1_800),
        *(3_600, 7_200, 10_800, 21_600, 43_200),
        *(days * _DAY for days in (1, 2, 5, 10, 30, 90)),
        *(years * 365 * _DAY for years in (1, 5, 10, 50, 100, 1_000, 10_000)),
    )
)
"""Round widths, ascending."""


@dataclass(frozen=True, slots=True)
class Bars:
    """The window `since <= t < until` in bars of one width.

    Raises:
        InvalidSetting: the window is empty, a bar is narrower than a millisecond, or there are more than `MAX_BARS`.
    """

    since: datetime
    until: datetime
    width: timedelta

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise InvalidSetting("since", "the window is empty", hint=BAR_HINT)
        if self.width < _MILLISECOND:
            raise InvalidSetting("bar", "must be at least a millisecond wide", hint=BAR_HINT)
        if len(self) > MAX_BARS:
            reason = f"the window has {len(self):,} bars of this width, more than the maximum of {MAX_BARS:,}"
            raise InvalidSetting("bar", reason, hint=BAR_HINT)

    @property
    def origin(self) -> datetime:
        """The beginning of the first bar unless the window cuts it short; at the earliest the year 1."""
        return self.since - min((self.since - _EPOCH) % self.width, self.since - _BEGINNING)

    def __len__(self) -> int:
        return -((self.origin - self.until) // self.width)

    def __iter__(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield the beginning and the end of each bar, cut to the window."""
        for number in range(len(self)):
            begins_at = self.origin + number * self.width
            # the end of the last bar may be past the year 9999
            ends_at = self.until if self.until - begins_at <= self.width else begins_at + self.width
            yield max(begins_at, self.since), ends_at


def cut_into_bars(since: datetime, until: datetime, *, most: int) -> Bars:
    """Return the window cut into the narrowest bars of a round width that are at most `most`.

    >>> day = datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
    >>> cut_into_bars(*day, most=60).width, cut_into_bars(*day, most=24).width
    (datetime.timedelta(seconds=1800), datetime.timedelta(seconds=3600))
    """
    for width in _WIDTHS:
        if (until - since) / width < MAX_BARS - 1 and len(bars := Bars(since, until, width)) <= most:
            return bars
    return Bars(since, until, _WIDTHS[-1])
