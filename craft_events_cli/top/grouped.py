"""Pending or dead deliveries in groups: by error, handler, event type or tenant."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from craft_easy.core.events import clock
from craft_easy.core.events.operations.dead import Choice
from craft_easy.core.events.operations.unfinished_delivery import By, DeliveryGroup, GroupedDeliveries
from craft_events_cli.output.counts import counted
from craft_events_cli.output.spans import duration_text
from craft_events_cli.top.delivery_list import DeliveryListView
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.table import SortedTable
from craft_events_cli.top.unfinished import LISTINGS, UnfinishedView, narrowed
from craft_events_cli.top.unfinished_rows import NAMES, group_columns, group_rows, width_class

DEADLINE: Final = 600.0
"""Seconds that one pass over a backlog may take; each of its pages has a deadline of its own."""
SHOWN_EVERY: Final = 0.5
"""Seconds after which the groups of an unfinished pass are shown."""
SLOW: Final = 2.0
"""Seconds between two counts from which on the title says so."""
ORDER: Final[tuple[By, ...]] = ("error", "handler", "type", "tenant")


class GroupTable(SortedTable):
    """The table of groups."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "List"),
        Binding("home,g", "scroll_top", "First", show=False),
        Binding("end,G", "scroll_bottom", "Last", show=False),
    ]


class GroupedView(UnfinishedView):
    """A view of deliveries in groups, the largest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "regroup", "Group by"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._by: By = ORDER[0]
        self._groups: Sequence[DeliveryGroup] = ()
        self._choice = Choice()
        self._now: datetime | None = None
        self._table: GroupTable | None = None
        self._width = 0
        """The width that the table was made for."""

    def contents(self) -> ComposeResult:
        yield Static(plain("counting …"), id="groups-title")
        yield Vertical(id="groups-box")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(self._count, self._answered, deadline=DEADLINE),)

    def on_mount(self) -> None:
        self.call_later(self._renew_table)

    async def on_resize(self) -> None:
        if self._table is not None and width_class(self._width) != width_class(self.size.width):
            await self._renew_table()

    def filter_changed(self) -> None:
        if self.filter.texts or self.filter.chosen.states:
            self.notify("deliveries are filtered by tenant:, type: and actor:", severity="warning", markup=False)
        self.poller.hurry()

    # ------------------------------------------------------------------ reading

    async def _count(self) -> Sequence[DeliveryGroup]:
        """Pass over the deliveries once, page by page, and show the groups as they grow."""
        by, grouped, number, shown_at = self._by, GroupedDeliveries(self._by), 0, clock.steady()
        self._choice = Choice(await self.source.selection(self.filter))
        self._now = await self.source.now()
        async with aclosing(self.source.deliveries(self.state, self._choice)) as each:
            async for one in each:
                grouped.add(one)
                number += 1
                if clock.steady() - shown_at > SHOWN_EVERY and by == self._by:
                    shown_at = clock.steady()
                    self._show(grouped.largest_first(), f"counting … {number:,} so far")
        return grouped.largest_first() if by == self._by else []

    def _answered(self, answer: Answer[Sequence[DeliveryGroup]]) -> None:
        if answer.value is None:
            return
        listing, number = LISTINGS[self.state], sum(one.deliveries for one in answer.value)
        pace = "" if answer.every < SLOW else f" · counted every {duration_text(answer.every)}, as it takes long"
        what = counted(number, listing.one, listing.many) if number else f"no {listing.many}"
        filtered = f" · filter {self.filter.typed}" if self.filter.typed else ""
        self._show(answer.value, f"{what}, by {self._by}{filtered}{pace}")

    def _show(self, groups: Sequence[DeliveryGroup], title: str) -> None:
        self._groups = groups
        self.query_one("#groups-title", Static).update(plain(title))
        self._draw()

    def _draw(self) -> None:
        if self._table is not None and self._now is not None:
            self._table.show(group_rows(self._groups, LISTINGS[self.state], self._by, self._now, self._width))

    # ------------------------------------------------------------------ the table

    async def _renew_table(self) -> None:
        """Replace the table by one with the columns that the groups, and the width, ask for."""
        self._table, self._width = None, self.size.width
        box = self.query_one("#groups-box")
        await box.remove_children()
        table = GroupTable(group_columns(LISTINGS[self.state], self._by, self._width), id="groups")
        await box.mount(table)
        table.focus()
        self._table = table
        self._draw()

    def _group(self) -> DeliveryGroup | None:
        key = None if self._table is None else self._table.chosen
        return None if key is None or int(key) >= len(self._groups) else self._groups[int(key)]

    def chosen(self) -> Choice | None:
        group = self._group()
        return None if group is None else narrowed(self._choice, group, self._by)

    # ------------------------------------------------------------------ the keys

    async def action_regroup(self) -> None:
        """Group by the next of error, handler, type and tenant."""
        self._by = ORDER[(ORDER.index(self._by) + 1) % len(ORDER)]
        self._groups = ()
        self.query_one("#groups-title", Static).update(plain(f"counting by {self._by} …"))
        await self._renew_table()
        self.poller.hurry()

    def action_open(self) -> None:
        """Open the list of the group under the cursor."""
        group = self._group()
        if group is not None:
            name = f"{group.handler} · {group.group}" if self._by == "error" else group.group or "no tenant"
            title = f"{NAMES[self._by]}: {name}"
            self.app.push_screen(DeliveryListView(self.state, narrowed(self._choice, group, self._by), title))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a group that was clicked."""
        event.stop()
        self.action_open()
