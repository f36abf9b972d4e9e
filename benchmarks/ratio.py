"""A table of ratios between our time and that of a floor, with limits."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Run = Callable[[], Awaitable[float]]
"""Does a piece of work and returns its seconds per event."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a ratio: the highest ratio of times, or the lowest ratio of rates."""

    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:.2f}"
        return "" if self.at_least is None else f"≥ {self.at_least:.2f}"

    def ratio(self, floor: float, ours: float) -> float:
        """Return the ratio that the limit is for: of times for an upper limit, otherwise of rates."""
        return ours / floor if self.at_most is not None else floor / ours

    def is_kept(self, ratio: float) -> bool:
        """Return whether a ratio is within the limit."""
        return (self.at_most is None or ratio <= self.at_most) and (self.at_least is None or ratio >= self.at_least)


def head(first: str = "") -> None:
    """Print the head of the table."""
    print(f"{first:<58}{'floor µs':>10}{'µs':>10}{'ratio':>9}{'limit':>9}")


def line(name: str, floors: Sequence[float], ours: Sequence[float], limit: Limit) -> bool:
    """Print a row, the medians of alternating rounds; return whether its limit was met."""
    ratio = statistics.median(limit.ratio(floor, mine) for floor, mine in zip(floors, ours, strict=True))
    cells = "".join(f"{statistics.median(seconds) * 1e6:10.1f}" for seconds in (floors, ours))
    kept = limit.is_kept(ratio)
    print(f"{name:<58}{cells}{ratio:9.2f}{limit!s:>9}{'' if kept else '  missed'}", flush=True)
    return kept


async def in_turns(rounds: int, *runs: Run) -> list[list[float]]:
    """Run each once in every round and return the times; a first round is not counted."""
    taken: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 1):
        for run, seconds in zip(runs, taken, strict=True):
            spent = await run()
            if number:
                seconds.append(spent)
    return taken
