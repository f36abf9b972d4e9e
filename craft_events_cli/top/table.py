"""A table that is sorted by a key or a click on its header; a refresh leaves the cursor on its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from craft_events_cli.top.safe import cell

MARK_FALLING: Final = "▼"
MARK_RISING: Final = "▲"
MIN_TEXT: Final = 10
"""Columns of text are not cut below this width."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its name, and whether its cells are numbers, which are largest first."""

    name: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its key, its cells, and by what it is sorted in each column."""

    key: str
    cells: Sequence[Text]
    values: Sequence[Any]


class SortedTable(DataTable[Text]):
    """A table of rows, in the order of one of its columns; in the given order until one is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort_next", "Sort"),
        Binding("S", "sort_reverse", "Reverse order", show=False),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]

    def __init__(self, columns: Sequence[TableColumn], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self._columns = columns
        self._rows: Sequence[TableRow] = ()
        self._sorted_by: int | None = None
        self._is_reversed = False

    def on_mount(self) -> None:
        for number in range(len(self._columns)):
            self.add_column(self._label(number), key=str(number))

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor; None where there are no rows."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def show(self, rows: Sequence[TableRow]) -> None:
        """Replace the rows; the cursor stays with its row."""
        self._rows = rows
        self._draw()

    def action_sort_next(self) -> None:
        """Sort by the next column; after the last one in the given order."""
        following = 0 if self._sorted_by is None else self._sorted_by + 1
        self._sort_by(following if following < len(self._columns) else None)

    def action_sort_reverse(self) -> None:
        """Turn the order around."""
        self._is_reversed = not self._is_reversed
        self._draw()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by a column whose header was clicked; a second click turns the order around."""
        event.stop()
        if event.column_index == self._sorted_by:
            self.action_sort_reverse()
        else:
            self._sort_by(event.column_index)

    def _sort_by(self, column: int | None) -> None:
        self._sorted_by, self._is_reversed = column, False
        self._draw()

    def _label(self, number: int) -> Text:
        column = self._columns[number]
        is_falling = column.is_number != self._is_reversed
        mark = "" if number != self._sorted_by else f" {MARK_FALLING if is_falling else MARK_RISING}"
        return cell(column.name + mark, is_right=column.is_number)

    def _in_order(self) -> Sequence[TableRow]:
        number = self._sorted_by
        if number is None:
            return self._rows[::-1] if self._is_reversed else self._rows
        is_falling = self._columns[number].is_number != self._is_reversed
        known = [row for row in self._rows if row.values[number] is not None]
        unknown = [row for row in self._rows if row.values[number] is None]
        return [*sorted(known, key=lambda row: row.values[number], reverse=is_falling), *unknown]

    def _draw(self) -> None:
        chosen, scrolled = self.chosen, self.scroll_offset
        self.clear()
        for number, column in enumerate(self.ordered_columns):
            column.label = self._label(number)
        self._fit()
        rows = self._in_order()
        for row in rows:
            self.add_row(*row.cells, key=row.key)
        found = next((number for number, row in enumerate(rows) if row.key == chosen), None)
        if found is not None:
            self.move_cursor(row=found, scroll=False)
        self.scroll_to(scrolled.x, scrolled.y, animate=False)

    def on_resize(self) -> None:
        """Fit the columns to another width."""
        if self.ordered_columns:
            self._draw()

    def _fit(self) -> None:
        """Give each column what it needs; where that is too much, texts are cut, the longest first."""
        needed = [
            max([self._label(number).cell_len, *(row.cells[number].cell_len for row in self._rows)])
            for number, column in enumerate(self._columns)
        ]
        excess = sum(needed) + 2 * self.cell_padding * len(needed) - self.size.width
        texts = [number for number, column in enumerate(self._columns) if not column.is_number]
        while excess > 0 and texts and needed[longest := max(texts, key=needed.__getitem__)] > MIN_TEXT:
            needed[longest] -= 1
            excess -= 1
        for column, width in zip(self.ordered_columns, needed, strict=True):
            column.auto_width, column.width = False, width
        self._require_update_dimensions = True
