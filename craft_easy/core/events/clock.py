"""The one place that reads this machine's clocks, and its time zones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

_CONTINUOUS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Return seconds of a clock that never jumps and continues while the machine is suspended.

    Linux counts suspension in CLOCK_BOOTTIME (clock_gettime(2)); on macOS CLOCK_MONOTONIC does.
    """
    return time.clock_gettime(_CONTINUOUS)


def now() -> datetime:
    """Return the present time of day in UTC, cut to milliseconds, because the log keeps no more."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class TimeZone:
    """A time zone that times are shown and read in.

    Args:
        name: its name in the IANA database, `UTC`, or `local`.
        info: its rules; None for those of this machine.
    """

    name: str
    info: tzinfo | None

    def of(self, moment: datetime) -> datetime:
        """Return an aware time with the hands of this zone's clocks; one that has no place in it stays in UTC."""
        try:
            return moment.astimezone(self.info)
        except (OverflowError, ValueError, OSError):  # at the ends of the calendar; the C library has its own
            return moment.astimezone(UTC)

    def utc(self, naive: datetime) -> datetime:
        """Return what a clock of this zone showed, in UTC; of an hour that came twice the first."""
        return naive.replace(tzinfo=self.info).astimezone(UTC)


UTC_ZONE: Final = TimeZone("UTC", UTC)


def time_zone(name: str) -> TimeZone:
    """Return a zone by its name: `UTC`, `local`, or `Europe/Oslo`.

    Raises:
        ValueError: the zone is not known; the message names a similar one.
    """
    if name.lower() in ("utc", "z"):
        return UTC_ZONE
    if name.lower() == LOCAL:
        return TimeZone(LOCAL, None)
    from zoneinfo import ZoneInfo

    try:
        return TimeZone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # a folder of the database is an OSError
        raise ValueError(_unknown(name)) from None


def _unknown(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    by_lower = {known.lower(): known for known in available_timezones()}
    shown = name if len(name) <= 80 else name[:79] + "…"
    if not by_lower:
        return f'"{shown}": this machine has no time zones but UTC and local; pip install tzdata brings them'
    close = get_close_matches(shown.lower(), by_lower, n=1)
    advice = f"did you mean {by_lower[close[0]]}?" if close else "try UTC, local or Europe/Oslo"
    return f'"{shown}" is not a known time zone: {advice}'
