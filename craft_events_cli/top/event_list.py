"""The list of events: a widget that draws the visible lines, and asks for pages before it runs out of rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from craft_events_cli.output.cells import NOTHING, cut, width_of
from craft_events_cli.output.event_line import WITHOUT_ACTOR_BELOW
from craft_events_cli.output.spans import plain, shown, today
from craft_events_cli.top.colors import tenant_style
from craft_events_cli.top.event_rows import EventRow, RowWindow

MARKS: Final = {"open": "·", "done": "✓", "dead": "✗"}
GAP: Final = "  "
NEAR: Final = 3
"""A page is asked for when fewer screens than this are left in its direction."""


class EventList(ScrollView, can_focus=True):
    """A window of events, a line each; the cursor at the last row follows what comes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "event-list--cursor",
        "event-list--type",
        "event-list--dim",
        "event-list--dead",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_pages(-1)", "Page up", show=False),
        Binding("pagedown", "move_pages(1)", "Page down", show=False),
        Binding("home,g", "first", "Oldest", show=False),
        Binding("end,G,f", "follow", "Follow"),
    ]

    class EventOpened(Message):
        """An event was opened."""

        def __init__(self, event_id: str) -> None:
            super().__init__()
            self.event_id = event_id

    class RunsOut(Message):
        """The rows in a direction run out."""

        def __init__(self, *, is_older: bool) -> None:
            super().__init__()
            self.is_older = is_older

    class WantsFirst(Message):
        """The oldest event of the log is asked for."""

    class WantsLast(Message):
        """The newest event of the log is asked for."""

    class CursorMoved(Message):
        """The cursor moved, or following began or ended."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.window = RowWindow()
        self.is_following = True
        self._cursor = 0

    # ------------------------------------------------------------------ the rows

    @property
    def chosen(self) -> EventRow | None:
        """The row under the cursor; None where there are no rows."""
        return self.window.rows[self._cursor] if self.window.rows else None

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor."""
        return self._cursor

    def rows_changed(self, *, moved_by: int = 0) -> None:
        """Draw the window after it changed; rows that were visible stay where they are, `moved_by` rows further on."""
        last = max(len(self.window.rows) - 1, 0)
        self.virtual_size = Size(self.size.width, len(self.window.rows))
        if self.is_following and self.window.is_attached:
            self._cursor = last
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True, immediate=True)
        else:
            self._cursor = min(max(self._cursor + moved_by, 0), last)
            self.scroll_to(y=max(self.scroll_offset.y + moved_by, 0), animate=False, force=True, immediate=True)
        self.refresh()

    def place(self, *, at_end: bool) -> None:
        """Put the cursor on the first or on the last row."""
        self._cursor = max(len(self.window.rows) - 1, 0) if at_end else 0
        self.is_following = at_end and self.window.is_attached
        self.virtual_size = Size(self.size.width, len(self.window.rows))
        self.scroll_to(y=self.max_scroll_y if at_end else 0, animate=False, force=True, immediate=True)
        self.post_message(self.CursorMoved())
        self.refresh()

    # ------------------------------------------------------------------ keys and the mouse

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.EventOpened(self.chosen.event_id))

    def action_move(self, by: int) -> None:
        self._move_to(self._cursor + by)

    def action_move_pages(self, by: int) -> None:
        self._move_to(self._cursor + by * max(self.size.height - 1, 1))

    def action_first(self) -> None:
        self.post_message(self.WantsFirst())

    def action_follow(self) -> None:
        if self.window.is_attached:
            self.place(at_end=True)
        else:
            self.post_message(self.WantsLast())

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.y
        if row < len(self.window.rows):
            self._move_to(row)
            if event.chain > 1:
                self.action_open()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y and self.is_following and self.window.rows:
            self._keep_cursor_visible()
        self._look_ahead()

    def on_resize(self) -> None:
        self.rows_changed()

    def _keep_cursor_visible(self) -> None:
        """Take the cursor along when the wheel scrolls away from the end, so that following stops."""
        bottom = int(self.scroll_offset.y) + self.size.height - 1
        if bottom < self._cursor:
            self._cursor = max(bottom, 0)
            self.is_following = False
            self.post_message(self.CursorMoved())

    def _move_to(self, row: int) -> None:
        last = len(self.window.rows) - 1
        if last < 0:
            self.post_message(self.RunsOut(is_older=True))
            return
        self._cursor = min(max(row, 0), last)
        self.is_following = self._cursor == last and self.window.is_attached
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True, immediate=True)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, force=True, immediate=True)
        self._look_ahead()
        self.post_message(self.CursorMoved())
        self.refresh()

    def _look_ahead(self) -> None:
        reach = NEAR * max(self.size.height, 1)
        if self.window.has_older and self.scroll_offset.y < reach and not self.is_following:
            self.post_message(self.RunsOut(is_older=True))
        elif not self.window.is_attached and self.scroll_offset.y > self.max_scroll_y - reach:
            self.post_message(self.RunsOut(is_older=False))

    # ------------------------------------------------------------------ lines

    def render_line(self, y: int) -> Strip:
        number = int(self.scroll_offset.y) + y
        width = self.size.width
        if number >= len(self.window.rows):
            return Strip.blank(width, self.rich_style)
        is_chosen = number == self._cursor
        segments = list(self._segments(self.window.rows[number], width))
        strip = Strip(segments).adjust_cell_length(width)
        if not is_chosen:
            return strip.apply_style(self.rich_style)
        return strip.apply_style(self.get_component_rich_style("event-list--cursor"))

    def _segments(self, row: EventRow, width: int) -> Iterator[Segment]:
        dim = self.get_component_rich_style("event-list--dim", partial=True)
        kind = self.get_component_rich_style("event-list--type", partial=True)
        dead = self.get_component_rich_style("event-list--dead", partial=True)
        mark = MARKS.get(row.state or "", NOTHING)
        cells = [
            (f"{'▌' if row is self.chosen else ' '}{mark}", 2, dead if row.state == "dead" else Style()),
            (_time(row.at, today()), 12, dim),
            (row.event_type, max(width * 22 // 100, 8), kind),
            (row.tenant_id or NOTHING, max(width // 10, 6), tenant_style(row.tenant_id)),
        ]
        if width >= WITHOUT_ACTOR_BELOW:
            cells.append((row.actor_id or NOTHING, max(width * 9 // 100, 6), Style() if row.actor_id else dim))
        room = width
        for text, size, style in cells:
            shown_text = cut(text, size)
            padding = size - width_of(shown_text) + len(GAP)
            room -= size + len(GAP)
            yield Segment(shown_text, style)
            yield Segment(" " * padding)
        yield Segment(cut(row.payload, max(room, 0)), Style())


def _time(moment: datetime, now: datetime) -> str:
    """Return the time of day, or the date and the minute where it is not today's."""
    there = shown(moment)
    text = plain(there, "milliseconds")
    return text[11:] if there.date() == now.date() else text[5:16] if there.year == now.year else text[:10]
