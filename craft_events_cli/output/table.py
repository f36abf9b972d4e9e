"""A table on stdout, row by row: where its columns do not fit, the least important are left out; no line is wrapped.

Widths are computed from the first rows that are written, so that a table of any length needs no memory. Every text goes
through `safe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from craft_events_cli import terminal
from craft_events_cli.output.cells import cut, width_of
from craft_events_cli.terminal import safe

MARGIN: Final = "  "
GAP: Final = "   "
OPTIONAL: Final = 3
BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
CYAN: Final = "36"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        name: its header, and the key of its cells.
        rank: with too little room the column of the highest rank is left out first; rank 0 never is. A column of rank
            `OPTIONAL` or more is left out before any other is cut below its `good` width.
        least: the width to which it may be cut; None: it is never cut.
        good: a width that is enough for most values; None: all of the value.
        is_right: its cells are aligned right.
        style: the ANSI sequence, or a function that returns it for a cell.
    """

    name: str
    rank: int = 0
    least: int | None = None
    good: int | None = None
    is_right: bool = False
    style: str | Callable[[str], str] = ""


class Table:
    """Writes rows under a header."""

    def __init__(self, columns: Sequence[Column]) -> None:
        stream = terminal.stdout()
        self._columns = list(columns)
        self._room = terminal.width(stream) - len(MARGIN)
        self._is_colored = terminal.is_colored(stream)
        self._widths: dict[str, int] = {}

    def write(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Write rows; the header comes before the first."""
        terminal.stdout().writelines(f"{line}\n" for line in self.lines(rows))

    def lines(self, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
        """Yield the lines that `write` writes."""
        shown = [{column.name: safe(row[column.name]) for column in self._columns} for row in rows]
        if shown and not self._widths:
            self._fit(shown)
            yield self._line({column.name: column.name for column in self._columns}, BOLD)
        for row in shown:
            yield self._line(row)

    def _fit(self, rows: Sequence[Mapping[str, str]]) -> None:
        natural = {
            column.name: max(width_of(text) for text in (column.name, *(row[column.name] for row in rows)))
            for column in self._columns
        }
        self._drop(natural, "good", from_rank=OPTIONAL)
        self._drop(natural, "least", from_rank=1)
        too_much = self._total(natural)
        for column in sorted(self._columns, key=lambda one: -natural[one.name]):
            if too_much > 0 and column.least is not None:
                given = min(too_much, max(natural[column.name] - column.least, 0))
                natural[column.name] -= given
                too_much -= given
        self._widths = natural

    def _drop(self, natural: Mapping[str, int], limit: Literal["good", "least"], *, from_rank: int) -> None:
        """Remove columns, the highest rank first, until the others fit when they are cut to a limit."""
        widths = {
            column.name: natural[column.name]
            if (most := getattr(column, limit)) is None
            else min(most, natural[column.name])
            for column in self._columns
        }
        while self._total(widths) > 0 and (going := [one for one in self._columns if one.rank >= from_rank]):
            self._columns.remove(max(going, key=lambda column: column.rank))

    def _total(self, widths: Mapping[str, int]) -> int:
        """Return the number of columns by which the table is too wide."""
        gaps = len(GAP) * (len(self._columns) - 1)
        return sum(widths[column.name] for column in self._columns) + gaps - self._room

    def _line(self, row: Mapping[str, str], style: str = "") -> str:
        cells = [self._cell(column, row[column.name], style) for column in self._columns]
        return MARGIN + GAP.join(cells).rstrip()

    def _cell(self, column: Column, text: str, style: str) -> str:
        width = self._widths[column.name]
        if column.least is not None:
            text = cut(text, width)
        padding = " " * (width - width_of(text))
        chosen = style or (column.style if isinstance(column.style, str) else column.style(text))
        painted = terminal.colored(text, chosen) if chosen and text and self._is_colored else text
        return padding + painted if column.is_right else painted + padding
