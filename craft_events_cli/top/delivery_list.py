"""The pending or dead deliveries of a group, one by one; they come by pages while one scrolls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Static

from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.operations.dead import Choice, State
from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.unfinished import LISTINGS, UnfinishedView
from craft_events_cli.top.unfinished_rows import delivery_cells, delivery_columns

PAGE: Final = 200
LARGEST_PAGE: Final = 2_000
"""Pages grow with the list, as a table costs more to extend the longer it is."""
AHEAD: Final = 60
"""The next page is read when the cursor is this near to the last row."""
DEADLINE: Final = 120.0

Deliveries = AsyncGenerator[UnfinishedDelivery, None]


class DeliveryTable(DataTable[Text]):
    """A table of deliveries."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Event"),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("home,g", "scroll_top", "First", show=False),
        Binding("end,G", "scroll_bottom", "Last", show=False),
    ]

    class Scrolled(Message):
        """The rows that are seen have changed."""

    @property
    def last_seen(self) -> int:
        """The number of the last row that is seen, or that has the cursor."""
        return max(self.cursor_row, round(self.scroll_y) + self.size.height)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Scrolled())


class DeliveryListView(UnfinishedView):
    """A list of deliveries, on top of their groups.

    The first page is kept fresh; once more pages are read, the list stays as it was read.

    Args:
        state: their state.
        choice: which ones.
        title: what they have in common.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, state: State, choice: Choice, title: str) -> None:
        self._state = state
        super().__init__()
        self._choice = choice
        self._title = title
        self._rows: list[UnfinishedDelivery] = []
        self._following: Deliveries | None = None
        self._is_beyond = False
        self._is_whole = False
        self._is_reading = False

    @property
    def state(self) -> State:
        return self._state

    def contents(self) -> ComposeResult:
        yield Static(plain(f"{self._title} · reading …"), id="list-title")
        yield DeliveryTable(id="deliveries", cursor_type="row")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(self._first_page, self._show_first, deadline=DEADLINE),)

    def on_mount(self) -> None:
        self._table.focus()

    async def on_unmount(self) -> None:
        await self._follow(None)

    def on_resize(self) -> None:
        self._draw()

    @property
    def _table(self) -> DeliveryTable:
        return self.query_one("#deliveries", DeliveryTable)

    # ------------------------------------------------------------------ reading

    async def _first_page(self) -> Sequence[UnfinishedDelivery] | None:
        if self._is_beyond:
            return None
        deliveries = self.source.deliveries(self.state, self._choice)
        found = await _page(deliveries, PAGE)
        if self._is_beyond:  # it was scrolled meanwhile
            await deliveries.aclose()
            return None
        await self._follow(deliveries)
        self._now = await self.source.now()
        return found

    def _show_first(self, answer: Answer[Sequence[UnfinishedDelivery] | None]) -> None:
        found = answer.value
        if found is None or self._is_beyond:
            return
        self._is_whole = len(found) < PAGE
        if self._rows != found or not self._table.columns:
            self._rows = [*found]
            self._draw()
        self._show_title()

    async def _read_on(self) -> None:
        if self._following is None:
            self._is_reading = False
            return
        size = min(max(PAGE, len(self._rows) // 4), LARGEST_PAGE)
        try:
            found = await _page(self._following, size)
        except EventsError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        finally:
            self._is_reading = False
        self._is_whole = len(found) < size
        self._rows += found
        self._add(found)
        self._show_title()

    async def _follow(self, deliveries: Deliveries | None) -> None:
        before, self._following = self._following, deliveries
        if before is not None:
            await before.aclose()

    # ------------------------------------------------------------------ showing

    def _draw(self) -> None:
        table, cursor = self._table, self._table.cursor_row
        table.clear(columns=True)
        for name in delivery_columns(LISTINGS[self.state], self.size.width):
            table.add_column(plain_label(name))
        self._add(self._rows)
        if self._rows:
            table.move_cursor(row=min(cursor, len(self._rows) - 1))

    def _add(self, some: Sequence[UnfinishedDelivery]) -> None:
        if some:
            self._table.add_rows(delivery_cells(some, LISTINGS[self.state], self._now, self.size.width))

    def _show_title(self) -> None:
        listing, number = LISTINGS[self.state], len(self._rows)
        what = f"{number:,} {listing.one if number == 1 else listing.many}" if number else f"no {listing.many}"
        more = "" if self._is_whole else " so far, more below"
        self.query_one("#list-title", Static).update(plain(f"{self._title} · {what}{more}"))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Read the next page when the cursor comes near the end."""
        event.stop()
        self._read_on_near_the_end()

    def on_delivery_table_scrolled(self) -> None:
        """Read the next page when what is seen comes near the end."""
        self._read_on_near_the_end()

    def _read_on_near_the_end(self) -> None:
        has_moved = self._table.cursor_row > 0 or self._table.scroll_y > 0
        is_near = self._table.last_seen >= len(self._rows) - AHEAD
        if has_moved and is_near and self._rows and not self._is_whole and not self._is_reading:
            self._is_beyond = self._is_reading = True
            self.run_worker(self._read_on(), group="pages")

    # ------------------------------------------------------------------ the keys

    def _delivery(self) -> UnfinishedDelivery | None:
        row = self._table.cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def chosen(self) -> Choice | None:
        one = self._delivery()
        return None if one is None else replace(self._choice, event_ids=(one.event_id,), handlers=(one.handler,))

    def acted(self) -> None:
        """Read the list from its beginning again."""
        self._is_beyond = False
        super().acted()

    def action_back(self) -> None:
        """Return to the groups."""
        self.dismiss()

    def action_open(self) -> None:
        """Open the event of the delivery under the cursor."""
        if (one := self._delivery()) is not None:
            self.top.open_event(one.event_id)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a delivery that was clicked."""
        event.stop()
        self.action_open()


def plain_label(name: str) -> Text:
    """Return the label of a column."""
    return Text(name)


async def _page(deliveries: Deliveries, size: int) -> list[UnfinishedDelivery]:
    found: list[UnfinishedDelivery] = []
    async for one in deliveries:
        found.append(one)
        if len(found) == size:
            break
    return found
