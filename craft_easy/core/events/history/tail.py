"""The tail of the log: the latest events, then those that are stored from now on, each once.

    open     the change stream, so that no event from now on is missed
    recall   the latest events, or those since a time, from the primary
    follow   the stream, without the events that were recalled

After a lost connection the tail continues after the last change that was read: no gap, no repeat. A server without
change streams is polled for the last minutes instead. With a checkpoint the next run continues where this one ended,
without a recall:

    async with EventStore() as store:
        selection = Selection(tenants=("acme",))
        checkpoint = tail.checkpoint("acme.checkpoint", store, selection)
        async for block in tail.follow(store, selection, outcomes=True, checkpoint=checkpoint):
            for record in block.records:
                event = DomainEvent.from_record(record)
            for ending in block.endings:
                print(ending.handler, ending.outcome)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.outage import Outage
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.bookmark import Bookmark, position_in
from craft_easy.core.events.history.changes import REACH, ChangeSource, PollingSource, StreamPosition, StreamSource
from craft_easy.core.events.history.endings import Ending, Endings
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.change_stream import ChangeStreamsMissing, LogChange
from craft_easy.core.events.store.documents import key_of

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]
Choice = Callable[[Record, Ending | None], bool]
"""Returns whether to show an event; called with an ending, whether to show that ending."""

LAST: Final = 10
"""The default number of events that are recalled."""
SEARCHED: Final = 10_000
"""The number of events among which the latest ones are searched for, where a choice leaves some out."""
LATE: Final = timedelta(minutes=1)
"""How late the end of a delivery may be stored; a resumed run reports no delivery that ended earlier."""
_REMEMBERED: Final = 100_000
"""Recalled events that are remembered regardless of time; beyond that, only those of the last minutes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Records to show, in order, and deliveries that ended; live ones come one by one, as they are stored."""

    records: Sequence[Record] = ()
    endings: Sequence[Ending] = ()
    is_live: bool = False


# ---------------------------------------------------------------- notices


@dataclass(frozen=True, slots=True)
class ContinuesFrom:
    """The tail continues from a checkpoint that was written at this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class SearchedEnough:
    """The search for the latest events stopped after `events`, of which `matching` match."""

    events: int
    matching: int


@dataclass(frozen=True, slots=True)
class WentLive:
    """The recall has ended; events are live from here on."""


@dataclass(frozen=True, slots=True)
class PollsInstead:
    """The server has no change streams: only events that are at most `reach` old are shown."""

    reach: timedelta


@dataclass(frozen=True, slots=True)
class NothingCame:
    """The tail ends because no event came for `seconds`."""

    seconds: float


TailNotice: TypeAlias = (
    ContinuesFrom | SearchedEnough | WentLive | PollsInstead | ConnectionLost | ConnectionResumed | NothingCame
)
TailObserver: TypeAlias = Callable[[TailNotice], object]
"""Called with each notice, on the tail's event loop."""


def _ignore(_: TailNotice) -> None:
    """Observe nothing."""


# ---------------------------------------------------------------- public functions


def checkpoint(path: str | Path, store: EventStore, selection: Selection, **others: Any) -> Checkpoint:
    """Return the checkpoint of a tail; it can only be used with the same selection of the same log.

    Args:
        path: the file; it need not exist.
        store: the event log.
        selection: the selection; its window, limit and order may differ.
        others: further filters, in the types of JSON.
    """
    filters: dict[str, Any] = {
        "tenant": list(selection.tenants),
        "no-tenant": selection.no_tenant,
        "type": list(selection.types),
        "exclude-type": list(selection.except_types),
        "actor": list(selection.actors),
    }
    return Checkpoint(path, kind="tail", log=f"{store.database_name}.{store.name}", filters=filters | others)


async def recall(
    store: EventStore,
    selection: Selection,
    *,
    last: int = LAST,
    only: Choice | None = None,
    observer: TailObserver = _ignore,
) -> AsyncGenerator[Block, None]:
    """Yield the stored events since the selection's time, or the latest ones where it has none, oldest first.

    Args:
        store: the event log.
        selection: the events; its limit counts those that `only` accepts.
        last: the number of events, where the selection has no time.
        only: a further choice; the latest events are then searched for among the latest `SEARCHED`.
        observer: receives a notice where that search ended early.
    """
    if selection.since is None:
        yield Block(await _last(store, selection, last, only, observer))
        return
    remaining = selection.limit
    wanted = selection if only is None else selection.without_limit()
    async with aclosing(store.batches(wanted, for_json=True)) as pages:
        async for page in pages:
            chosen = page if only is None else [record for record in page if only(record, None)]
            yield Block(chosen[:remaining])
            remaining = None if remaining is None else remaining - len(chosen)
            if remaining is not None and remaining <= 0:
                return


async def _last(
    store: EventStore, selection: Selection, last: int, only: Choice | None, observer: TailObserver
) -> list[Record]:
    number = min(last, selection.limit or last)
    if not number:
        return []
    newest = replace(selection, reverse=True, limit=number if only is None else SEARCHED)
    matching: list[Record] = []
    seen = 0
    async with aclosing(store.batches(newest, for_json=True)) as pages:
        async for page in pages:
            matching += [record for record in page if only is None or only(record, None)]
            seen += len(page)
            if len(matching) >= number:
                break
    if len(matching) < number and seen == SEARCHED:
        observer(SearchedEnough(seen, len(matching)))
    return matching[:number][::-1]


async def follow(
    store: EventStore,
    selection: Selection,
    *,
    last: int = LAST,
    only: Choice | None = None,
    outcomes: bool = False,
    wait_max: float | None = None,
    checkpoint: Checkpoint | None = None,
    observer: TailObserver = _ignore,
) -> AsyncGenerator[Block, None]:
    """Yield the blocks of `recall`, and then the events that are stored from now on, up to the selection's limit.

    Args:
        store: the event log.
        selection: the events; its limit counts those that are yielded.
        last: the number of events that are recalled, where the selection has no time.
        only: a further choice, of events and of endings.
        outcomes: also yield the deliveries of the selected events as they end; these do not count for the limit.
        wait_max: seconds without anything to yield, after which the tail ends, to within a second.
        checkpoint: stores the position of the tail, and continues from the stored one, without a recall. A block
            counts as done when the next one is asked for.
        observer: called with each notice.

    Raises:
        LogDropped: the collection was dropped or renamed.
        CheckpointError: the checkpoint cannot be used, or the oplog no longer reaches back to its position.
        StoreUnavailable: the server could not be reached at the start.
    """
    run = _Follow(store, selection, only, outcomes=outcomes, observer=observer)
    with nullcontext() if checkpoint is None else checkpoint.lock():
        async with aclosing(run.blocks(last, wait_max, checkpoint)) as blocks:
            async for block in blocks:
                yield block


# ---------------------------------------------------------------- one run


class _Follow:
    """One run of `follow`."""

    def __init__(
        self, store: EventStore, selection: Selection, only: Choice | None, *, outcomes: bool, observer: TailObserver
    ) -> None:
        self._store = store
        self._selection = selection
        self._only = only
        self._outcomes = outcomes
        self._observer = observer
        self._outage = Outage(self._on_connection, limit=None)
        self._remaining = selection.limit
        self._quiet_since = steady()

    async def blocks(
        self, last: int, wait_max: float | None, checkpoint: Checkpoint | None
    ) -> AsyncGenerator[Block, None]:
        after = None if checkpoint is None else await asyncio.to_thread(position_in, checkpoint)
        source = await self._open(after, has_checkpoint=checkpoint is not None)
        bookmark = Bookmark(checkpoint)
        try:
            now = await self._store.now()
            self._recalled = _Recalled(now)
            self._endings = Endings(now if after is None else after.at - LATE)
            if after is None:
                async with aclosing(self._recall(last)) as blocks:
                    async for block in blocks:
                        yield block
                await bookmark.begin(source.position)
            if not self._is_done:
                self._observer(WentLive())
            async with aclosing(self._live(source, bookmark, wait_max)) as blocks:
                async for block in blocks:
                    yield block
        finally:
            try:
                await bookmark.write()
            finally:
                await source.aclose()

    async def _recall(self, last: int) -> AsyncGenerator[Block, None]:
        wanted = recall(self._store, self._selection, last=last, only=self._only, observer=self._observer)
        async with aclosing(wanted) as blocks:
            async for block in blocks:
                self._recalled.add(block.records)
                yield block
                self._count(block)

    async def _live(
        self, source: ChangeSource, bookmark: Bookmark, wait_max: float | None
    ) -> AsyncGenerator[Block, None]:
        self._quiet_since = steady()
        while not self._is_done:
            change = await self._outage.ride_out(source.next)
            block = None if change is None else self._block_of(change)
            if block is not None:
                yield block
                self._count(block)
            await bookmark.reached(source.position, is_shown=block is not None)
            if wait_max is not None and steady() - self._quiet_since >= wait_max:
                self._observer(NothingCame(wait_max))
                return

    @property
    def _is_done(self) -> bool:
        return self._remaining is not None and self._remaining <= 0

    def _count(self, block: Block) -> None:
        self._quiet_since = steady()
        self._remaining = None if self._remaining is None else self._remaining - len(block.records)

    def _on_connection(self, notice: ConnectionLost | ConnectionResumed) -> None:
        self._quiet_since = steady()  # an outage does not count as quiet time
        self._observer(notice)

    def _block_of(self, change: LogChange) -> Block | None:
        record = change.record
        if change.is_new:
            is_shown = not self._recalled.holds(record) and (self._only is None or self._only(record, None))
            return Block([record], is_live=True) if is_shown else None
        ended = self._endings.of(key_of(record), record)
        chosen = [ending for ending in ended if self._only is None or self._only(record, ending)]
        return Block(endings=chosen, is_live=True) if chosen else None

    async def _open(self, after: StreamPosition | None, *, has_checkpoint: bool) -> ChangeSource:
        if after is not None:
            self._observer(ContinuesFrom(after.at))
            self._selection = replace(self._selection, since=None)
        try:
            return await StreamSource.open(self._store, self._selection, after=after, updates=self._outcomes)
        except ChangeStreamsMissing as error:
            if has_checkpoint:
                raise CheckpointError(
                    "this server has no change streams, and so no position to continue from",
                    hint="leave --checkpoint out, or make the server a replica set (--replSet)",
                ) from error
            self._observer(PollsInstead(REACH))
            return await PollingSource.open(self._store, self._selection, updates=self._outcomes)


class _Recalled:
    """The events that were recalled, so that the stream does not show them again."""

    def __init__(self, now: datetime) -> None:
        self._keys: set[object] = set()
        self._recent = (now - REACH).astimezone(UTC).replace(tzinfo=None)

    def add(self, records: Sequence[Record]) -> None:
        for record in records:
            if len(self._keys) < _REMEMBERED or self._is_recent(record.get("timestamp")):
                self._keys.add(key_of(record))

    def holds(self, record: Record) -> bool:
        """Return whether a record was recalled, and forget it: a record is inserted only once."""
        key = key_of(record)
        if key not in self._keys:
            return False
        self._keys.discard(key)
        return True

    def _is_recent(self, moment: object) -> bool:
        if not isinstance(moment, datetime):
            return True
        naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
        return naive >= self._recent
