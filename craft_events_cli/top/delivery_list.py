"""The pending or dead deliveries of a group, one by one; they come by pages while one scrolls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.operations.dead import Choice, State
from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_events_cli.top.delivery_table import DeliveryTable
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.unfinished import LISTINGS, UnfinishedView

PAGE: Final = 200
AHEAD: Final = 60
"""The next page is read when the cursor is this near to the last row."""
DEADLINE: Final = 120.0

Deliveries = AsyncGenerator[UnfinishedDelivery, None]


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
        self._following: Deliveries | None = None
        self._is_beyond = False
        self._is_whole = False
        self._is_reading = False

    @property
    def state(self) -> State:
        return self._state

    def contents(self) -> ComposeResult:
        yield Static(plain(f"{self._title} · reading …"), id="list-title")
        yield Static(id="list-head")
        yield DeliveryTable(LISTINGS[self.state], id="deliveries")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(self._first_page, self._show_first, deadline=DEADLINE),)

    def on_mount(self) -> None:
        self._table.focus()

    async def on_unmount(self) -> None:
        await self._follow(None)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_head)

    @property
    def _table(self) -> DeliveryTable:
        return self.query_one("#deliveries", DeliveryTable)

    # ------------------------------------------------------------------ reading

    async def _first_page(self) -> Sequence[UnfinishedDelivery] | None:
        if self._is_beyond:
            return None
        deliveries = self.source.deliveries(self.state, self._choice)
        found = await _page(deliveries)
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
        self._table.show(found, self._now)
        self._show_head()
        self._show_title()

    async def _read_on(self) -> None:
        if self._following is None:
            self._is_reading = False
            return
        try:
            found = await _page(self._following)
        except EventsError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        finally:
            self._is_reading = False
        self._is_whole = len(found) < PAGE
        self._table.extend(found)
        self._show_title()

    async def _follow(self, deliveries: Deliveries | None) -> None:
        before, self._following = self._following, deliveries
        if before is not None:
            await before.aclose()

    # ------------------------------------------------------------------ showing

    def _show_head(self) -> None:
        self.query_one("#list-head", Static).update(plain(self._table.head(), "bold"))

    def _show_title(self) -> None:
        listing, number = LISTINGS[self.state], len(self._table.rows)
        what = f"{number:,} {listing.one if number == 1 else listing.many}" if number else f"no {listing.many}"
        more = "" if self._is_whole else " so far, more below"
        self.query_one("#list-title", Static).update(plain(f"{self._title} · {what}{more}"))

    def on_delivery_table_moved(self) -> None:
        """Read the next page when the cursor, or what is seen, comes near the end."""
        table = self._table
        is_near = table.has_moved and table.last_seen >= len(table.rows) - AHEAD
        if is_near and table.rows and not self._is_whole and not self._is_reading:
            self._is_beyond = self._is_reading = True
            self.run_worker(self._read_on(), group="pages")

    # ------------------------------------------------------------------ the keys

    def chosen(self) -> Choice | None:
        one = self._table.chosen
        return None if one is None else replace(self._choice, event_ids=(one.event_id,), handlers=(one.handler,))

    def acted(self) -> None:
        """Read the list from its beginning again."""
        self._is_beyond = False
        super().acted()

    def action_back(self) -> None:
        """Return to the groups."""
        self.dismiss()

    def on_delivery_table_opened(self) -> None:
        """Open the event of the delivery under the cursor."""
        if (one := self._table.chosen) is not None:
            self.top.open_event(one.event_id)


async def _page(deliveries: Deliveries) -> list[UnfinishedDelivery]:
    found: list[UnfinishedDelivery] = []
    async for one in deliveries:
        found.append(one)
        if len(found) == PAGE:
            break
    return found
