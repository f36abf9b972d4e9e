"""The one place that reads this machine's clocks."""

from __future__ import annotations

import time
from typing import Final

_CONTINUOUS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Return seconds of a clock that never jumps and goes on while the machine is suspended.

    Linux counts suspension in CLOCK_BOOTTIME (clock_gettime(2)); on macOS CLOCK_MONOTONIC does.
    """
    return time.clock_gettime(_CONTINUOUS)
