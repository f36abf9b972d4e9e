"""Times and durations for people, in the zone that `--time-zone` names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Final

from craft_easy.core.events import clock
from craft_easy.core.events.clock import LOCAL, UTC_ZONE, TimeZone

if TYPE_CHECKING:
    from craft_easy.core.events.model.times import Window

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

_zone: ContextVar[TimeZone] = ContextVar("time_zone", default=UTC_ZONE)


@contextmanager
def shown_in(zone: TimeZone) -> Iterator[None]:
    """Show times, and read those that name no zone, in this zone while the block runs."""
    token = _zone.set(zone)
    try:
        yield
    finally:
        _zone.reset(token)


def zone() -> TimeZone:
    """Return the zone that times are shown and read in."""
    return _zone.get()


def shown(moment: datetime) -> datetime:
    """Return an aware time as it is shown."""
    return _zone.get().of(moment)


def today() -> datetime:
    """Return the present time as it is shown."""
    return shown(clock.now())


def times_are() -> str:
    """Return the remark that names the zone of the times on a page."""
    return f"times are {_zone.get().name}"


def stamp(moment: datetime, *, unit: str = "seconds") -> str:
    """Return a time with its date and its zone.

    >>> stamp(datetime(2026, 11, 23, 17, 43, 45, tzinfo=UTC))
    '2026-11-23 17:43:45 UTC'
    """
    there = shown(moment)
    return f"{plain(there, unit)} {there:%Z}"


def plain(moment: datetime, unit: str) -> str:
    """Return a time that is shown already, with its date and without its zone."""
    return moment.replace(tzinfo=None).isoformat(" ", unit)


def time_of_day(moment: datetime) -> str:
    """Return the time of day, with the date where that is not today's."""
    there = shown(moment)
    return f"{there:%H:%M:%S}" if there.date() == today().date() else f"{there:%Y-%m-%d %H:%M:%S}"


def window_text(window: Window) -> str:
    """Return both ends of a window, and their zone once."""
    name = _zone.get().name
    since = _end(window.since) if window.since else "the beginning"
    until = _end(window.until) if window.until else "now"
    return f"{since} … {until} {'local time' if name == LOCAL else name}"


def _end(moment: datetime) -> str:
    unit = "seconds" if not moment.microsecond else "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return plain(shown(moment), unit)


def elapsed_text(seconds: float) -> str:
    """Return how long a run took: tenths of a second below a minute.

    >>> elapsed_text(31.24), elapsed_text(598.3)
    ('31.2 s', '9 min 58 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration_text(11_534)
    '3 h 12 min'
    >>> duration_text(0.4)
    '0 s'
    """
    rest = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        number, rest = divmod(rest, size)
        if number or (parts and len(parts) < 2):
            parts.append((number, unit))
        if len(parts) == 2:
            break
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def minutes(moments: Iterable[datetime | None]) -> list[str]:
    """Return times to the minute, with the year if one of them is not in this year."""
    some = [None if one is None else shown(one) for one in moments]
    this_year = today().year
    start = 0 if any(one is not None and one.year != this_year for one in some) else 5
    return ["–" if one is None else f"{one:%Y-%m-%d %H:%M}"[start:] for one in some]
