"""Follow the log live: what was stored last, then what is stored from now on, each event once.

    open     the change stream, so that nothing stored from here on is missed
    recall   the last events, or those since a time, from the primary
    follow   the stream, without those that were recalled

A connection that is lost is opened again after the last change that was read: no gap, no repeat. A server without
change streams is asked again and again for the last minutes instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events.cancellation import Cancellation
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.selection import Selection
from craft_easy.core.events.store.change_stream import ChangeStream, ChangeStreamsMissing

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]

LAST: Final = 10
"""So many events are recalled where nothing else is asked for."""
REACH: Final = timedelta(minutes=5)
"""How far back a server without change streams is asked, each time."""
POLL_EVERY: Final = 1.0
"""Seconds between two questions to such a server."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
_REMEMBERED: Final = 100_000
"""So many recalled events are remembered whatever their time is; beyond that, those of the last minutes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Records to show, in order; live ones come one by one, as they are stored."""

    records: Sequence[Record]
    is_live: bool = False


class Observer:
    """Hears of what happens beside the events; does nothing by itself."""

    def following(self) -> None:
        """What was to be recalled has been; from here on it is live."""

    def polling(self, reach: timedelta) -> None:
        """The server has no change streams: only events whose time lies within `reach` are shown."""

    def lost(self, error: StoreUnavailable) -> None:
        """The connection is lost, and is being opened again."""

    def resumed(self, seconds: float) -> None:
        """It is open again, after so many seconds, and nothing was missed."""


async def recall(store: EventStore, selection: Selection, *, last: int = LAST) -> AsyncGenerator[Block, None]:
    """Yield what was stored before: everything since the selection's time, or else the last events, oldest first."""
    if selection.since is None:
        if last:
            newest = replace(selection, reverse=True, limit=min(last, selection.limit or last))
            found = [record async for page in store.batches(newest, for_json=True) for record in page]
            yield Block(found[::-1])
        return
    async with aclosing(store.batches(selection, for_json=True)) as pages:
        async for page in pages:
            yield Block(page)


async def follow(
    store: EventStore, selection: Selection, *, last: int = LAST, observer: Observer | None = None
) -> AsyncGenerator[Block, None]:
    """Yield what `recall` does and then what is stored from now on, until the selection's limit is reached.

    Raises:
        LogDropped: the collection was dropped or renamed.
        CheckpointError: the server was away for so long that it no longer knows what was stored meanwhile.
        StoreUnavailable: the server could not be reached to begin with.
    """
    observer = observer or Observer()
    cancellation = Cancellation()
    source = await _open(store, selection, observer)
    left = selection.limit
    try:
        recalled = _Recalled(await store.now())
        async with aclosing(recall(store, selection, last=last)) as blocks:
            async for block in blocks:
                recalled.add(block.records)
                yield block
                left = None if left is None else left - len(block.records)
        if left is None or left > 0:
            observer.following()
        while left is None or left > 0:
            record = await _next(source, observer)
            cancellation.check()
            if record is not None and not recalled.holds(record):
                yield Block([record], is_live=True)
                left = None if left is None else left - 1
    finally:
        await source.aclose()


class _Source(Protocol):
    """Where new records come from."""

    async def next(self) -> Record | None: ...

    async def reopen(self) -> None: ...

    async def aclose(self) -> None: ...


async def _open(store: EventStore, selection: Selection, observer: Observer) -> _Source:
    try:
        return _Streaming(store, selection, await store.watch(selection))
    except ChangeStreamsMissing:
        observer.polling(REACH)
        polling = _Polling(store, selection)
        await polling.begin()
        return polling


async def _next(source: _Source, observer: Observer) -> Record | None:
    try:
        return await source.next()
    except StoreUnavailable as error:
        observer.lost(error)
        await _reopen(source, observer)
        return None


async def _reopen(source: _Source, observer: Observer) -> None:
    began, wait = steady(), _FIRST_WAIT
    while True:
        try:
            await source.reopen()
        except StoreUnavailable:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            observer.resumed(steady() - began)
            return


class _Streaming:
    """A change stream, and the place that it has come to."""

    def __init__(self, store: EventStore, selection: Selection, stream: ChangeStream) -> None:
        self._store = store
        self._selection = selection
        self._stream = stream
        self._token = stream.token

    async def next(self) -> Record | None:
        record = await self._stream.next()
        self._token = self._stream.token or self._token
        return record

    async def reopen(self) -> None:
        await self._stream.aclose()
        self._stream = await self._store.watch(self._selection, after=self._token)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Polling:
    """Asks for the last minutes again and again, and passes on what was not there before."""

    def __init__(self, store: EventStore, selection: Selection) -> None:
        self._store = store
        self._selection = replace(selection, limit=None)
        self._known: set[object] = set()
        self._new: deque[Record] = deque()
        self._asked_at = datetime.min.replace(tzinfo=UTC)

    async def begin(self) -> None:
        """Note what is there already."""
        self._asked_at = await self._store.now()
        await self.reopen()
        self._new.clear()

    async def next(self) -> Record | None:
        if not self._new:
            await asyncio.sleep(POLL_EVERY)
            await self.reopen()
        return self._new.popleft() if self._new else None

    async def reopen(self) -> None:
        """Ask once; after an outage for the whole of it."""
        now = await self._store.now()
        since = self._asked_at - REACH
        wanted = replace(self._selection, since=max(since, self._selection.since or since))
        known: set[object] = set()
        found: list[Record] = []
        async for page in self._store.batches(wanted, for_json=True):
            found += [record for record in page if _key(record) not in self._known]
            known.update(map(_key, page))
        self._known, self._asked_at = known, max(now, self._asked_at)
        self._new.extend(found)

    async def aclose(self) -> None:
        self._new.clear()


class _Recalled:
    """The events that were recalled, so that the stream does not show them again."""

    def __init__(self, now: datetime) -> None:
        self._keys: set[object] = set()
        self._recent = (now - REACH).astimezone(UTC).replace(tzinfo=None)

    def add(self, records: Sequence[Record]) -> None:
        for record in records:
            if len(self._keys) < _REMEMBERED or self._is_recent(record.get("timestamp")):
                self._keys.add(_key(record))

    def holds(self, record: Record) -> bool:
        """Tell whether a record was recalled; it is inserted only once, so it is asked for once."""
        key = _key(record)
        if key not in self._keys:
            return False
        self._keys.discard(key)
        return True

    def _is_recent(self, moment: object) -> bool:
        if not isinstance(moment, datetime):
            return True
        naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
        return naive >= self._recent


def _key(record: Record) -> object:
    """Return what tells a record from all others; an `_id` of another writer may be an object, which has no hash."""
    key = record["_id"]
    return repr(key) if isinstance(key, (dict, list)) else key
