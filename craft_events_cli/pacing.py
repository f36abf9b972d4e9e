"""The rate and pace of a replay, as typed: `50/s`, `original*10`."""

from __future__ import annotations

from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


def events_a_second(text: str) -> float:
    """Read a rate: `50`, `50/s`, `600/m`; returns events per second."""
    number, slash, unit = text.partition("/")
    found = _positive(number)
    if found is None or (slash and unit not in _UNITS):
        raise ValueError(f'"{text[:80]}" is not a valid rate. Try 50/s or 600/m')
    return found / _UNITS.get(unit, 1)


def speed(text: str) -> float:
    """Read a pace: `original`, or a multiple of it, `original*10`."""
    word, star, factor = text.partition("*")
    found = _positive(factor) if star else 1.0
    if word != "original" or found is None:
        raise ValueError(f'"{text[:80]}" is not a valid pace. Try original or original*10')
    return found


def _positive(text: str) -> float | None:
    if len(text) > 15 or not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    return float(text) or None
