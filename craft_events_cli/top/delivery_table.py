"""The list of deliveries: a widget that draws the visible lines alone, so that a long list costs no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_events_cli.output.cells import cut, width_of
from craft_events_cli.output.unfinished import Listing
from craft_events_cli.top.unfinished_rows import delivery_cells, delivery_columns, delivery_widths

GAP = "  "


class DeliveryTable(ScrollView, can_focus=True):
    """Deliveries, a line each.

    Args:
        listing: how deliveries of their state are listed.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"delivery-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Event"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_pages(-1)", "Page up", show=False),
        Binding("pagedown", "move_pages(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
    ]

    class Opened(Message):
        """The delivery under the cursor was opened."""

    class Moved(Message):
        """The cursor, or what is seen, has moved."""

    def __init__(self, listing: Listing, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.rows: list[UnfinishedDelivery] = []
        self.cursor = 0
        self._listing = listing
        self._now: datetime | None = None

    @property
    def chosen(self) -> UnfinishedDelivery | None:
        """The delivery under the cursor; None where there are none."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    @property
    def last_seen(self) -> int:
        """The number of the last row that is seen, or that has the cursor."""
        return max(self.cursor, round(self.scroll_y) + self.size.height)

    @property
    def has_moved(self) -> bool:
        """True if it does not show its beginning."""
        return self.cursor > 0 or self.scroll_y > 0

    def show(self, rows: Sequence[UnfinishedDelivery], now: datetime) -> None:
        """Replace the rows."""
        self.rows, self._now = [*rows], now
        self.cursor = min(self.cursor, max(len(self.rows) - 1, 0))
        self._resized()

    def extend(self, rows: Sequence[UnfinishedDelivery]) -> None:
        """Add rows at the end."""
        self.rows += rows
        self._resized()

    def head(self) -> str:
        """Return the line of the columns' names."""
        widths = delivery_widths(self._listing, self.size.width)
        return " " + GAP.join(name.ljust(widths[name]) for name in delivery_columns(self._listing, self.size.width))

    # ------------------------------------------------------------------ keys and the mouse

    def action_open(self) -> None:
        if self.rows:
            self.post_message(self.Opened())

    def action_move(self, by: int) -> None:
        self._move_to(self.cursor + by)

    def action_move_pages(self, by: int) -> None:
        self._move_to(self.cursor + by * max(self.size.height - 1, 1))

    def action_first(self) -> None:
        self._move_to(0)

    def action_last(self) -> None:
        self._move_to(len(self.rows) - 1)

    def on_click(self, event: events.Click) -> None:
        row = int(self.scroll_offset.y) + event.y
        if row < len(self.rows):
            self._move_to(row)
            if event.chain > 1:
                self.action_open()

    def on_resize(self) -> None:
        self._resized()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def _resized(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows))
        self.refresh()

    def _move_to(self, row: int) -> None:
        self.cursor = min(max(row, 0), max(len(self.rows) - 1, 0))
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True, immediate=True)
        self.post_message(self.Moved())
        self.refresh()

    # ------------------------------------------------------------------ lines

    def render_line(self, y: int) -> Strip:
        number, width = int(self.scroll_offset.y) + y, self.size.width
        if number >= len(self.rows) or self._now is None:
            return Strip.blank(width, self.rich_style)
        strip = Strip(self._segments(self.rows[number], self._now, width)).adjust_cell_length(width)
        if number != self.cursor:
            return strip.apply_style(self.rich_style)
        return strip.apply_style(self.get_component_rich_style("delivery-table--cursor"))

    def _segments(self, row: UnfinishedDelivery, now: datetime, width: int) -> Iterator[Segment]:
        widths = delivery_widths(self._listing, width)
        yield Segment("▌" if row is self.chosen else " ")
        [cells] = delivery_cells([row], self._listing, now)
        for name in delivery_columns(self._listing, width):
            text, style = cells[name]
            shown = cut(text, widths[name])
            yield Segment(shown, Style.parse(style) if style else None)
            yield Segment(" " * (widths[name] - width_of(shown)) + GAP)
