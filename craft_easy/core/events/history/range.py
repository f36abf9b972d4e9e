"""The span of history that a rerun goes through: fixed at its start, read from where an earlier run ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed, Observer
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.progress import Position
from craft_easy.core.events.model.envelope import Envelope, read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import read
from craft_easy.core.events.store.read import RecordPosition, in_batches, positions

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]

OUTAGE_S: Final = 60.0
"""Seconds for which a run goes on without its log."""
_TRY_EVERY: Final = 1.0


async def fixed(store: EventStore, selection: Selection, *, is_named: bool) -> Position:
    """Return the start of a rerun: with the end that it will come to, the last event there is now.

    Args:
        store: the event log.
        selection: what is meant.
        is_named: events are named one by one, and that is the end of it.
    """
    end = None if is_named else await read.last_position(store)
    return Position(
        str(uuid4()),
        began_at=await store.now(),
        since=selection.since,
        until=selection.until,
        end=end,
        is_complete=end is None and not is_named,
    )


class ReplayRange:
    """The events of a selection from a position on, in order.

    Args:
        store: the event log.
        selection: what is meant; of its window that of the position holds.
        position: where to begin and to end.
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
        self._left = None if selection.limit is None else selection.limit - position.passed
        self._event_ids = event_ids
        self.missing: tuple[str, ...] = ()
        """The ids that are not in the log, once `locate` has looked."""

    async def locate(self) -> None:
        """Look the named events up and put them in order; what lies before the position is done."""
        if self._event_ids is None:
            return
        found = await positions(self._store, self._event_ids)
        self.missing = tuple(one for one in dict.fromkeys(self._event_ids) if one not in found)
        in_order = sorted(found, key=lambda event_id: found[event_id].sort_key)
        self._event_ids = [one for one in in_order if self._is_left(found[one])]

    async def tally(self) -> Counter[tuple[str, str | None]]:
        """Count the events by type and tenant, of a span that names none."""
        done, is_dated = await self._done_at_the_mark(), self._mark is not None and self._mark.moment is not None
        limit = _sum(self._left, done.total())
        counted = await read.tally(self._store, self._behind_the_mark(), limit, is_dated=is_dated)
        return counted - done - await self._stored_since()

    async def named(self) -> AsyncGenerator[Envelope, None]:
        """Yield what the named events are, without their payloads, in order."""
        left = self._left
        for selection in self._named():
            found = await read.positions_of(self._store, selection, ("event_type", "tenant_id"))
            for _, record in sorted(found, key=lambda one: one[0].sort_key)[:left]:
                yield read_envelope(record)
            left = None if left is None else max(left - len(found), 0)

    async def pages(self, observer: Observer) -> AsyncGenerator[Sequence[Record], None]:
        """Yield the records page by page, with flat memory; an outage is waited for, for a while.

        Raises:
            StoreUnavailable: the log was silent for too long.
        """
        lost_at: float | None = None
        while True:
            try:
                async with aclosing(self._once()) as pages:
                    async for page in pages:
                        if lost_at is not None:
                            observer(ConnectionResumed(steady() - lost_at))
                            lost_at = None
                        yield page
            except StoreUnavailable as error:
                if lost_at is None:
                    lost_at = steady()
                    observer(ConnectionLost(error.message))
                elif steady() - lost_at > OUTAGE_S:
                    raise
                await asyncio.sleep(_TRY_EVERY)
            else:
                return

    async def _once(self) -> AsyncGenerator[Sequence[Record], None]:
        selections = [self._behind_the_mark()] if self._event_ids is None else list(self._named())
        for selection in selections:
            async with aclosing(self._store.batches(selection)) as pages:
                async for page in pages:
                    some, is_last = self._of_page(page)
                    yield some
                    self._mark = RecordPosition.of(page[-1])
                    self._left = _sum(self._left, -len(some))
                    if is_last or self._left == 0:
                        return

    def _of_page(self, page: Sequence[Record]) -> tuple[Sequence[Record], bool]:
        """Return what of a page belongs to the span, and whether that is its end."""
        some: list[Record] = []
        for record in page:
            where = RecordPosition.of(record)
            if self._end is not None and where.is_behind(self._end):
                return some[: self._left], True
            if self._is_left(where) and not self._came_later(record):
                some.append(record)
        return some[: self._left], False

    def _came_later(self, record: Record) -> bool:
        """Tell whether a record that lies before the end was surely stored after the start.

        Where the log holds an event of the future, all that is published meanwhile lies before it: what a cascade
        publishes would be replayed for ever.
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

    def _is_left(self, where: RecordPosition) -> bool:
        return self._mark is None or not where.is_surely_within(self._mark)

    def _behind_the_mark(self) -> Selection:
        """Return the selection from the time of the mark on, at which there may be more."""
        moment = None if self._mark is None else self._mark.moment
        since = moment if self._selection.since is None or (moment and moment > self._selection.since) else None
        return replace(self._selection, since=since or self._selection.since)

    async def _done_at_the_mark(self) -> Counter[tuple[str, str | None]]:
        moment = None if self._mark is None else self._mark.moment
        if moment is None:
            return Counter()
        at_that_time = replace(
            self._selection, since=moment, until=None if self._mark is None else self._mark.next_moment
        )
        found = await read.positions_of(self._store, at_that_time, ("event_type", "tenant_id"))
        said = [read_envelope(record) for where, record in found if not self._is_left(where)]
        return Counter((one.event_type, one.tenant_id) for one in said)

    async def _stored_since(self) -> Counter[tuple[str, str | None]]:
        """Count what lies behind the end by now; a limit is reached before that, most likely."""
        behind = None if self._end is None else self._end.next_moment
        if behind is None or self._left is not None:
            return Counter()
        return await read.tally(
            self._store, replace(self._selection, since=_later(self._selection.since, behind)), is_dated=True
        )

    def _named(self) -> Sequence[Selection]:
        return [replace(self._selection, event_ids=tuple(some)) for some in in_batches(self._event_ids or ())]


def _sum(number: int | None, more: int) -> int | None:
    return None if number is None else number + more


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
