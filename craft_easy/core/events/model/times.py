"""Times as people write them: `2h`, `1d12h`, `yesterday`, `14:00`, `2026-01-31`, `2026-01-31T10:00:00Z`, epoch seconds.

All of it is pure: the caller that resolves a time passes the database's time, and the zone of times that name none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Final

from craft_easy.core.events.clock import UTC_ZONE, TimeZone

EXAMPLES: Final = "Try 2h, yesterday, 14:00 or 2026-01-31T10:00:00Z"

_DAYS_AGO: Final = {"today": 0, "yesterday": 1}
_DAY: Final = re.compile(r"(?:(today|yesterday)(?:[Tt ](?=[0-9])|$))?(?:([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?")
_YEAR_DAYS: Final = 365
_AGO: Final = re.compile(r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_EPOCH_SECONDS: Final = re.compile(r"(-?[0-9]+)(?:\.([0-9]{1,9}))?")
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as it was typed; one of the fields has it.

    Args:
        text: as typed.
        absolute: with its own zone.
        ago: before the database's now.
        local: the time that a clock showed, in the time zone of the person who asks.
        time_of_day: of the day that was `days_ago` in that zone.
    """

    text: str
    absolute: datetime | None = None
    ago: timedelta | None = None
    local: datetime | None = None
    time_of_day: time | None = None
    days_ago: int = 0

    @property
    def is_fixed(self) -> bool:
        """True if it does not depend on the present time."""
        return self.absolute is not None or self.local is not None

    def at(self, now: datetime, zone: TimeZone = UTC_ZONE) -> datetime:
        """Return the point in time, aware and in UTC.

        Raises:
            ValueError: the time is before the year 1, or after the year 9999.
        """
        if self.absolute is not None:
            return self.absolute
        try:
            return self._reckoned(now, zone)
        except (OverflowError, ValueError, OSError):  # the C library has its own ends of the calendar
            end = "after the year 9999" if self.local is not None and self.local.year > 1 else "before the year 1"
            raise ValueError(f"{_quoted(self.text)} is {end}. {EXAMPLES}") from None

    def ahead(self, now: datetime, zone: TimeZone = UTC_ZONE) -> datetime:
        """Return the point in time, where a duration counts forward from now.

        Raises:
            ValueError: the time is before the year 1, or after the year 9999.
        """
        if self.ago is None:
            return self.at(now, zone)
        try:
            return now.astimezone(UTC) + self.ago
        except OverflowError:
            raise ValueError(f"{_quoted(self.text)} is after the year 9999. {EXAMPLES}") from None

    def _reckoned(self, now: datetime, zone: TimeZone) -> datetime:
        if self.local is not None:
            return zone.utc(self.local)
        if self.time_of_day is not None:
            day = zone.of(now).date() - timedelta(days=self.days_ago)
            return zone.utc(datetime.combine(day, self.time_of_day))
        return now.astimezone(UTC) - (self.ago or timedelta())


@dataclass(frozen=True, slots=True)
class Window:
    """A window of time, `since ≤ timestamp < until`; None leaves that end open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """True if no time lies between its ends."""
        return self.since is not None and self.until is not None and self.since >= self.until

    def has(self, moment: datetime | None) -> bool:
        """Return whether a time lies in the window; an unknown one does if both ends are open."""
        if moment is None:
            return self.since is None and self.until is None
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def parse_moment(text: str) -> Moment:
    """Parse a time, absolute or relative.

    Raises:
        ValueError: the text is not a time, or names one that does not exist; the message shows how times are written.
    """
    try:
        moment = _read(text)
    except OverflowError:
        raise ValueError(
            f"{_quoted(text)} is outside the years 1 to 9999{_milliseconds_hint(text)}. {EXAMPLES}"
        ) from None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{_quoted(text)} is not a valid time. {EXAMPLES}")
    return moment


def window(since: Moment | None, until: Moment | None, *, now: datetime, zone: TimeZone = UTC_ZONE) -> Window:
    """Return the window between two moments.

    Raises:
        ValueError: a moment cannot be resolved, the window is empty, or it begins with a time that is still to come.
    """
    resolved = Window(since.at(now, zone) if since else None, until.at(now, zone) if until else None)
    if since and until and resolved.is_empty:
        raise ValueError(f"the window is empty: {_quoted(since.text)} is not before {_quoted(until.text)}")
    if since and since.time_of_day is not None and resolved.since and resolved.since > now:
        raise ValueError(f'{_quoted(since.text)} is still to come. Try "yesterday {since.time_of_day:%H:%M}"')
    return resolved


def _read(text: str) -> Moment | None:
    if match := _AGO.fullmatch(text):
        years, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        days += years * _YEAR_DAYS
        ago = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return Moment(text, ago=ago) if text else None  # every part of the pattern is optional
    if match := _DAY.fullmatch(text):
        day, hour, minute, second = match.groups()
        return Moment(
            text,
            time_of_day=time(int(hour or 0), int(minute or 0), int(second or 0)),
            days_ago=_DAYS_AGO[day or "today"],
        )
    if match := _EPOCH_SECONDS.fullmatch(text):
        return Moment(text, absolute=_from_epoch(match[1], match[2] or ""))
    if match := _DATE.fullmatch(text):
        return _from_date(match)
    return None


def _from_epoch(seconds: str, fraction: str) -> datetime:
    sign = -1 if seconds.startswith("-") else 1
    return _EPOCH + timedelta(seconds=int(seconds), microseconds=sign * _microseconds(fraction))


def _from_date(match: re.Match[str]) -> Moment:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    naive = datetime(  # noqa: DTZ001 - the zone is added below, or when it is known
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        _microseconds(fraction or ""),
    )
    if zone is None:
        return Moment(match[0], local=naive)
    return Moment(match[0], absolute=naive.replace(tzinfo=_zone(zone)).astimezone(UTC))


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _milliseconds_hint(text: str) -> str:
    return " (epoch times are in seconds)" if text.isascii() and text.isdigit() else ""


def _microseconds(fraction: str) -> int:
    return int(fraction[:6].ljust(6, "0"))


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= 80 else text[:79] + "…"}"'
