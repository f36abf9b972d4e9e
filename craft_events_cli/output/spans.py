"""Times and durations for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from craft_easy.core.events import clock

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


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
    """Return times to the minute, in UTC; with the year if one of them is not in this year."""
    some = list(moments)
    this_year = clock.now().year
    start = 0 if any(one is not None and one.year != this_year for one in some) else 5
    return ["–" if one is None else f"{one:%Y-%m-%d %H:%M}"[start:] for one in some]
