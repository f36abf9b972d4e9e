"""The range of history that a replay reads: fixed at the start, continued where an earlier run ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from craft_easy.core.events.engine.outage import OUTAGE_LIMIT_S, Outage
from craft_easy.core.events.engine.report import Observer
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.progress import Position
from craft_easy.core.events.model.envelope import Envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import read
from craft_easy.core.events.store.filters import Condition
from craft_easy.core.events.store.position import RecordPosition, in_batches, positions
from craft_easy.core.events.store.queries import replay as queries

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]


async def fixed(store: EventStore, selection: Selection, *, is_named: bool) -> Position:
    """Return the position at the start of a replay; its range ends with the last event in the log now.

    Args:
        store: the event log.
        selection: the events to replay.
        is_named: the events are named one by one, so the range needs no end.
    """
    end = None if is_named else await queries.last_position(store)
    return Position(
        str(uuid4()),
        began_at=await store.now(),
        since=selection.since,
        until=selection.until,
        end=end,
        is_complete=end is None and not is_named,
    )


class ReplayRange:
    """The events of a selection after a position, in order.

    Args:
        store: the event log.
        selection: the events; their window is that of the position.
        position: the position to continue from, with the end of the range.
        event_ids: only these events; None for all.
    """

    def __init__(
        self, store: EventStore, selection: Selection, position: Position, event_ids: Sequence[str] | None
    ) -> None:
        self._store = store
        self._selection = replace(selection, since=position.since, until=position.until, limit=None)
        self._end = position.end
        self._began_at = position.began_at
        self._mark = position.mark
        self._remaining = None if selection.limit is None else selection.limit - position.passed
        self._event_ids = event_ids
        self._pages: AsyncGenerator[Sequence[Record], None] | None = None
        self.missing: tuple[str, ...] = ()
        """The ids that are not in the log, once `locate` has looked."""
        self.malformed = 0
        """Records that were passed over because their id, type or timestamp cannot be used."""

    async def locate(self) -> None:
        """Look up the named events and sort them; those up to the mark are left out."""
        if self._event_ids is None:
            return
        located = await positions(self._store, self._event_ids)
        self.missing = tuple(event_id for event_id in dict.fromkeys(self._event_ids) if event_id not in located)
        self._event_ids = [
            position.event_id for position in sorted(located.values()) if self._mark is None or position > self._mark
        ]

    async def tally(self) -> Counter[tuple[str, str | None]]:
        """Count the events by type and tenant; for a range without named events."""
        counted: Counter[tuple[str, str | None]] = Counter()
        for condition in self._conditions():
            counted += await queries.tally(self._store, condition, self._remaining)
        return counted

    async def named(self) -> AsyncGenerator[Envelope, None]:
        """Yield the named events, without their payloads, in order."""
        remaining = self._remaining
        for condition in self._conditions():
            async with aclosing(queries.outlines(self._store, condition, remaining)) as events:
                async for event in events:
                    yield event
                    remaining = None if remaining is None else remaining - 1
            if remaining == 0:
                return

    async def pages(self, observer: Observer) -> AsyncGenerator[Sequence[Record], None]:
        """Yield the records page by page, with flat memory; an outage is waited out.

        Raises:
            StoreUnavailable: the log did not answer for a minute.
        """
        outage = Outage(observer, limit=OUTAGE_LIMIT_S)
        try:
            while self._remaining != 0 and (page := await outage.ride_out(self._next_page)) is not None:
                yield page
        finally:
            if self._pages is not None:
                await self._pages.aclose()

    async def _next_page(self) -> Sequence[Record] | None:
        """Return the next page, continued after the last record if the connection was lost; None at the end."""
        if self._pages is None:
            self._pages = self._from_here_on()
        try:
            page = await anext(self._pages, None)
        except StoreUnavailable:
            self._pages = None
            raise
        return None if page is None else self._of_page(page)

    async def _from_here_on(self) -> AsyncGenerator[Sequence[Record], None]:
        for condition in self._conditions():
            async with aclosing(read.scan(self._store, condition)) as pages:
                async for page in pages:
                    yield page

    def _conditions(self) -> Sequence[Condition]:
        """Return the conditions for the remaining events, one for each query, in order."""
        if self._selection.is_empty or self._remaining == 0:
            return []
        if self._event_ids is None:
            return [queries.within(self._selection, self._mark, self._end)]
        return [
            queries.within(replace(self._selection, event_ids=tuple(batch)), self._mark, self._end)
            for batch in in_batches(self._event_ids)
        ]

    def _of_page(self, page: Sequence[Record]) -> Sequence[Record]:
        """Return the well-formed records of a page that belong to the range, and move the mark behind them."""
        records: list[Record] = []
        for record in page:
            position = RecordPosition.of(record)
            if position is None:
                self.malformed += 1
                continue
            self._mark = position
            if not self._came_later(record):
                records.append(record)
        records = records[: self._remaining]
        self._remaining = None if self._remaining is None else self._remaining - len(records)
        return records

    def _came_later(self, record: Record) -> bool:
        """Return whether a record before the end of the range was surely stored after the start.

        If the log holds an event of the future, every event that is published meanwhile comes before it: a cascade
        would replay its own events forever.
        """
        delivery = record.get("delivery")
        claimed_at = delivery.get("claimed_at") if isinstance(delivery, dict) else None
        made_at = record.get("timestamp")
        return (
            self._began_at is not None
            and isinstance(claimed_at, datetime)
            and isinstance(made_at, datetime)
            and min(claimed_at, made_at) > self._began_at
        )
