"""What the views ask of the library: each question once, here; an in-memory source takes its place in tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events.history import pages, tail
from craft_easy.core.events.history.trace import Trace
from craft_easy.core.events.history.trace import trace as find_trace
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead, pending
from craft_easy.core.events.operations.stats import Meter, Stats
from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_easy.core.events.operations.workers import WorkerStatus
from craft_easy.core.events.operations.workers import workers as all_workers
from craft_easy.core.events.store.formats import event_json
from craft_events_cli.top.filtering import EventFilter

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore
    from craft_events_cli import params

HOUR: Final = timedelta(hours=1)
BAR: Final = timedelta(minutes=1)
RECALLED: Final = 200
"""The number of events that the live view begins with."""


class Source(Protocol):
    """The questions of the views."""

    async def figures(self, chosen: EventFilter) -> Stats:
        """Return the backlog and the last hour of what a filter selects, by handler."""

    async def workers(self) -> Sequence[WorkerStatus]:
        """Return the workers, those that need a look first."""

    async def event(self, event_id: str) -> dict[str, Any] | None:
        """Return an event as Event JSON has it; None if it is not in the log."""

    async def trace(self, event_id: str) -> Trace | None:
        """Return the chain that an event belongs to; None if it is not in the log."""

    def live(self, chosen: EventFilter, observer: tail.TailObserver) -> AsyncGenerator[tail.Block, None]:
        """Yield the latest events that a filter lets through, then those that are stored from now on."""

    async def now(self) -> datetime:
        """Return the database's time."""

    async def selection(self, chosen: EventFilter) -> Selection:
        """Return what a filter selects of the events that the console shows."""

    def deliveries(self, state: dead.State, choice: dead.Choice) -> AsyncGenerator[UnfinishedDelivery, None]:
        """Yield the chosen deliveries in a state, page by page."""

    async def page(self, chosen: EventFilter, *, is_older: bool, after: pages.Key | None = None) -> pages.HistoryPage:
        """Return a page of the events that a filter lets through: older ones newest first, newer ones oldest first.

        Args:
            after: the key of the event that it follows; None for the newest or the oldest.
        """


class LogSource:
    """The questions, put to a log.

    Args:
        store: the event log.
        where: the options that select events; a filter of a view narrows them further.
    """

    def __init__(self, store: EventStore, where: params.Limiting) -> None:
        self.store = store
        self._where = where
        self._meter = Meter(store, by="handler", bar=BAR)
        self._metered = self._where.filters()

    async def figures(self, chosen: EventFilter) -> Stats:
        metered = replace(chosen.within(self._where.filters()), states=())
        if metered != self._metered:
            self._meter, self._metered = Meter(self.store, by="handler", bar=BAR), metered
        now = await self.store.now()
        return await self._meter.read(replace(metered, since=now - HOUR, until=now))

    async def workers(self) -> Sequence[WorkerStatus]:
        return await all_workers(self.store)

    async def event(self, event_id: str) -> dict[str, Any] | None:
        record = await self.store.find_record(event_id)
        return None if record is None else event_json.event_json(record)

    async def trace(self, event_id: str) -> Trace | None:
        return await find_trace(self.store, event_id)

    async def live(self, chosen: EventFilter, observer: tail.TailObserver) -> AsyncGenerator[tail.Block, None]:
        selection = await self.selection(chosen)
        latest = await pages.page(self.store, replace(selection, reverse=True), only=_of_records(chosen), size=RECALLED)
        if latest.records:
            selection = replace(selection, since=_time_of(latest.records[-1]))
        blocks = tail.follow(self.store, selection, last=0, only=chosen.only, outcomes=True, observer=observer)
        async with aclosing(blocks):
            async for block in blocks:
                yield block

    async def page(self, chosen: EventFilter, *, is_older: bool, after: pages.Key | None = None) -> pages.HistoryPage:
        selection = replace(await self.selection(chosen), reverse=is_older)
        return await pages.page(self.store, selection, after=after, only=_of_records(chosen))

    async def now(self) -> datetime:
        return await self.store.now()

    async def selection(self, chosen: EventFilter) -> Selection:
        return chosen.within(await self._selection())

    def deliveries(self, state: dead.State, choice: dead.Choice) -> AsyncGenerator[UnfinishedDelivery, None]:
        return pending.deliveries(self.store, choice) if state == "pending" else dead.deliveries(self.store, choice)

    async def _selection(self) -> Selection:
        window = self._where.window_at(await self.store.now())
        return replace(self._where.filters(), since=window.since)


def _of_records(chosen: EventFilter) -> Callable[[Mapping[str, Any]], bool] | None:
    matches = chosen.only
    return None if matches is None else lambda record: matches(record, None)


def _time_of(record: Mapping[str, Any]) -> datetime:
    return read_envelope(record).timestamp
