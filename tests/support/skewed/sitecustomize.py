"""Gives a server another time of day: Python imports this first if it is on its path.

Only its clock differs; its data and its behaviour do not.
"""

import datetime as module
import os
import time
from datetime import datetime
from typing import Any

SKEW = float(os.environ["CLOCK_SKEW_S"])
_time, _time_ns = time.time, time.time_ns


class _Any(type):
    """Every time is an instance of the class that reads the skewed clock."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class _Skewed(datetime, metaclass=_Any):
    @classmethod
    def now(cls, tz: module.tzinfo | None = None) -> Any:
        return datetime.fromtimestamp(time.time(), tz)


time.time = lambda: _time() + SKEW
time.time_ns = lambda: _time_ns() + int(SKEW * 1e9)
module.datetime = _Skewed  # type: ignore[misc]
