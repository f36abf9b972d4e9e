"""The result of a run: a line for each point, and one for the total."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

from tests.proof import verdict
from tests.proof.plans import RANDOM, SERVER
from tests.proof.rounds import Result
from tests.support import kill

NOBODY: Final = "not killed"
ORDER: Final = (*kill.POINTS, RANDOM, SERVER, NOBODY)


@dataclass(slots=True)
class Row:
    """The processes killed at one point.

    Args:
        kills: their number.
        acknowledged: events whose publish was acknowledged to them.
        deliveries: handler runs that they started.
        repeated: runs of those that were repeated.
        lost: events that were acknowledged to them, or deliveries that they started, that never ended.
    """

    kills: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    repeated: int = 0
    lost: int = 0

    def __add__(self, other: Row) -> Row:
        return Row(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))


def rows(results: Iterable[Result]) -> dict[str, Row]:
    """Return a row for each point, in the order of the points; a point that no process reached has no kills."""
    table: dict[str, Row] = defaultdict(Row, {point: Row() for point in ORDER})
    for result in results:
        points = {victim.process: victim.point for victim in result.victims}
        for victim in result.victims:
            table[victim.point].kills += 1
        for process, share in verdict.shares(result.history).items():
            table[points.get(process, NOBODY)] += Row(0, share.acknowledged, share.deliveries, share.repeated)
        for finding in result.findings:
            table[points.get(finding.process, NOBODY)].lost += finding.rule in verdict.LOST
    return dict(table)


def total(table: dict[str, Row]) -> Row:
    """Return the sum of all rows."""
    return sum(table.values(), Row())


def lines(table: dict[str, Row]) -> Iterator[str]:
    """Yield the table as text."""
    heads = ["point", *(field.name for field in fields(Row))]
    body = [
        [name, *(f"{number:,}" for number in astuple(row))] for name, row in (*table.items(), ("all", total(table)))
    ]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    for cells in (heads, *body):
        yield _line(cells, widths)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    return "   ".join(
        [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
    )
