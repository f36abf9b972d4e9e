"""The events: the log live, and back through its history."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from textual.app import ComposeResult
from textual.widgets import Static

from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.history.tail import Block, PollsInstead, TailNotice
from craft_events_cli.output.counts import counted
from craft_events_cli.output.spans import stamp
from craft_events_cli.top.event_list import EventList
from craft_events_cli.top.event_rows import rows_of
from craft_events_cli.top.filtering import EventFilter
from craft_events_cli.top.polling import ROUND, Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View

if TYPE_CHECKING:
    from craft_easy.core.events.history.pages import HistoryPage

RETRY: Final = 1.0
"""Seconds between two tries to open the stream."""
DRAWN_EVERY: Final = 0.1
"""Seconds between two drawings of what came, however much it is."""


class EventsView(View):
    """The log, live. A filter by state is a listing that is read again and again: events change their state."""

    MODE = "events"

    def __init__(self) -> None:
        super().__init__()
        self._fault: str | None = None
        self._lost_at: float | None = None
        self._how = "opening"
        self._is_paging = False
        self._has_news = False
        self._moved = 0

    def contents(self) -> ComposeResult:
        yield EventList(id="events")
        yield Static(id="events-status")

    @property
    def list(self) -> EventList:
        """The list of events."""
        return self.query_one("#events", EventList)

    def on_mount(self) -> None:
        self.list.focus()
        self.set_interval(DRAWN_EVERY, self._draw)
        self.filter_changed()

    def filter_changed(self) -> None:
        """Begin again with the latest events."""
        self.list.window.replace([], has_older=True, is_attached=True)
        self.list.place(at_end=True)
        self.run_in_background(self._feed, group="feed")

    # ------------------------------------------------------------------ what comes

    async def _feed(self) -> None:
        if self.filter.chosen.states:
            await self._list_newest(self.filter)
            return
        while True:
            try:
                async with aclosing(self.source.live(self.filter, self._notice)) as blocks:
                    async for block in blocks:
                        self._take(block)
            except EventsError as error:
                self._lose(str(error))
            await asyncio.sleep(RETRY)

    async def _list_newest(self, chosen: EventFilter) -> None:
        question = PolledQuestion(lambda: self.source.page(chosen, is_older=True), self._show_newest)
        while True:
            if question.is_due and self.list.is_following:
                await question.put()
            await asyncio.sleep(ROUND)

    def _take(self, block: Block) -> None:
        self._fault, self._lost_at, self._has_news = None, None, True
        self._moved -= self.list.window.add_live(rows_of(block.records))
        for ending in block.endings:
            if ending.event_state is not None:
                self.list.window.update(ending.event_id, ending.event_state)

    def _draw(self) -> None:
        if self._has_news:
            moved, self._has_news, self._moved = self._moved, False, 0
            self.list.rows_changed(moved_by=moved)
            self._show_status()

    def _show_newest(self, answer: Answer[HistoryPage]) -> None:
        if answer.fault is not None:
            self._lose(answer.fault)
        elif answer.value is not None:
            self._fault, self._lost_at, self._how = None, None, f"read every {answer.every:.0f} s"
            self._show_last(answer.value)

    def _notice(self, notice: TailNotice) -> None:
        match notice:
            case ConnectionLost():
                self._lose(notice.reason)
            case ConnectionResumed():
                self._fault, self._lost_at = None, None
            case PollsInstead():
                self._how = "polled every second, as the server has no change streams"
            case _:
                self._how = "live" if self._how == "opening" else self._how
        self._show_status()

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = self.top.steady()
        self._fault = reason

    def outage(self) -> tuple[str, float | None] | None:
        if self._fault is None or self._lost_at is None:
            return None
        has_read = bool(self.list.window.rows)
        return self._fault, max(0.0, self.top.steady() - self._lost_at) if has_read else None

    # ------------------------------------------------------------------ back and forth

    def on_event_list_runs_out(self, event: EventList.RunsOut) -> None:
        if not self._is_paging:
            self._is_paging = True
            self.run_in_background(lambda: self._read_more(is_older=event.is_older), group="pages")

    def on_event_list_wants_first(self) -> None:
        self.run_in_background(self._read_first, group="pages")

    def on_event_list_wants_last(self) -> None:
        self.run_in_background(self._read_last, group="pages")

    async def _read_more(self, *, is_older: bool) -> None:
        try:
            page = await self._page(is_older=is_older, after=self.list.window.edge(is_older=is_older))
        finally:
            self._is_paging = False
        if page is None:
            return
        self._draw()
        moved = self._add(page, is_older=is_older)
        self.list.rows_changed(moved_by=moved)
        self._show_status()

    def _add(self, page: HistoryPage, *, is_older: bool) -> int:
        window, rows = self.list.window, rows_of(page.records)
        if is_older:
            searched_to = None if page.is_last or rows else page.key
            return window.add_older(rows[::-1], has_older=not page.is_last, searched_to=searched_to)
        moved = -window.add_newer(rows)
        window.is_attached = window.is_attached or page.is_last
        return moved

    async def _read_first(self) -> None:
        if (page := await self._page(is_older=False)) is not None:
            self.list.window.replace(rows_of(page.records), has_older=False, is_attached=page.is_last)
            self.list.place(at_end=False)

    async def _read_last(self) -> None:
        if (page := await self._page(is_older=True)) is not None:
            self._show_last(page)

    def _show_last(self, page: HistoryPage) -> None:
        self.list.window.replace(rows_of(page.records)[::-1], has_older=not page.is_last, is_attached=True)
        self.list.place(at_end=True)

    async def _page(self, *, is_older: bool, after: tuple[object, object] | None = None) -> HistoryPage | None:
        found: list[HistoryPage] = []

        def take(answer: Answer[HistoryPage]) -> None:
            if answer.fault is not None:
                self.notify(f"this page was not read: {answer.fault}", severity="error", markup=False)
            elif answer.value is not None:
                found.append(answer.value)

        await PolledQuestion(lambda: self.source.page(self.filter, is_older=is_older, after=after), take).put()
        return next(iter(found), None)

    # ------------------------------------------------------------------ the rest

    def on_event_list_cursor_moved(self) -> None:
        self._show_status()

    def on_event_list_event_opened(self, event: EventList.EventOpened) -> None:
        self.top.open_event(event.event_id)

    def _show_status(self) -> None:
        window, listing = self.list.window, self.list
        parts = [self._how if listing.is_following else "paused, End goes on"]
        below = 0 if listing.is_following else len(window.rows) - 1 - listing.cursor + window.missed
        parts += [f"{below:,} newer"] if below else []
        parts.append(counted(len(window.rows), "event"))
        if window.searched_to is not None:
            parts.append(f"searched back to {stamp(window.searched_to[0])}, PageUp searches on")
        if self.filter.typed:
            parts.append(f"filter {self.filter.typed}")
        self.query_one("#events-status", Static).update(plain(" · ".join(parts)))
