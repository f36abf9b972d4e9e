"""The one place that reads this machine's clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
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
