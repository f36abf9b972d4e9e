"""Times as people write them: `2h`, `1d12h`, `2026-01-31`, `2026-01-31T10:00:00Z`, epoch seconds.

A time without a zone is UTC. All of it is pure: the caller that resolves a relative time passes the database's time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

EXAMPLES: Final = "Try 2h, 1d12h, 2026-01-31 or 2026-01-31T10:00:00Z"

_AGO: Final = re.compile(r"(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_EPOCH_SECONDS: Final = re.compile(r"(-?[0-9]+)(?:\.([0-9]{1,9}))?")
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: either absolute, or `ago` before the `now` that is passed when it is resolved."""

    text: str
    absolute: datetime | None = None
    ago: timedelta | None = None

    def at(self, now: datetime) -> datetime:
        """Return the point in time, aware and in UTC.

        Raises:
            ValueError: the time is before the year 1.
        """
        if self.absolute is not None:
            return self.absolute
        try:
            return now.astimezone(UTC) - (self.ago or timedelta())
        except OverflowError:
            raise ValueError(f"{_quoted(self.text)} is before the year 1. {EXAMPLES}") from None


@dataclass(frozen=True, slots=True)
class Window:
    """A window of time, `since ≤ timestamp < until`; None leaves that end open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it contains no time."""
        return self.since is not None and self.until is not None and self.since >= self.until

    def __str__(self) -> str:
        since = _shown(self.since) if self.since else "the beginning"
        until = _shown(self.until) if self.until else "now"
        return f"{since} … {until} UTC"


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


def parse_time(text: str, *, now: datetime) -> datetime:
    """Parse a time; a relative one is subtracted from `now`."""
    return parse_moment(text).at(now)


def window(since: Moment | None, until: Moment | None, *, now: datetime) -> Window:
    """Return the window between two moments.

    Raises:
        ValueError: the window is empty, or a moment cannot be resolved.
    """
    resolved = Window(since.at(now) if since else None, until.at(now) if until else None)
    if since and until and resolved.is_empty:
        raise ValueError(f"the window is empty: {_quoted(since.text)} is not before {_quoted(until.text)}")
    return resolved


def _read(text: str) -> Moment | None:
    if match := _AGO.fullmatch(text):
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        ago = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return Moment(text, ago=ago) if text else None  # every part of the pattern is optional
    if match := _EPOCH_SECONDS.fullmatch(text):
        return Moment(text, absolute=_from_epoch(match[1], match[2] or ""))
    if match := _DATE.fullmatch(text):
        return Moment(text, absolute=_from_date(match))
    return None


def _from_epoch(seconds: str, fraction: str) -> datetime:
    sign = -1 if seconds.startswith("-") else 1
    return _EPOCH + timedelta(seconds=int(seconds), microseconds=sign * _microseconds(fraction))


def _from_date(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    naive = datetime(  # noqa: DTZ001 - the zone is added below
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        _microseconds(fraction or ""),
    )
    return naive.replace(tzinfo=_zone(zone)).astimezone(UTC)


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
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


def _shown(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", _precision(moment))


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= 80 else text[:79] + "…"}"'


def _precision(moment: datetime) -> str:
    if not moment.microsecond:
        return "seconds"
    return "microseconds" if moment.microsecond % 1000 else "milliseconds"
