"""Where a feed has its records from: a change stream, or a server without one that is asked again and again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.change_stream import ChangeStream, LogChange, token_from_json, token_to_json

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

REACH: Final = timedelta(minutes=5)
"""How far back a server without change streams is asked: what is stored with an older time is not seen."""
NEAR: Final = timedelta(seconds=15)
"""How far back it is asked most times."""
WHOLE_EVERY: Final = 15
"""One question in so many reaches all the way back."""
POLL_EVERY: Final = 1.0
"""Seconds between two questions."""
_SAFELY_BEFORE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A point in the stream to go on from, and the database's time there."""

    token: Mapping[str, Any]
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the place as a checkpoint keeps it."""
        return {"token": token_to_json(self.token), "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, position: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            ValueError: it is no place.
        """
        at = datetime.fromisoformat(str(position.get("at")))
        if at.tzinfo is None or not 1970 < at.year < 9999:
            raise ValueError("no time of a database")
        return cls(token_from_json(position.get("token")), at)


class Source(Protocol):
    """Where changes come from."""

    @property
    def place(self) -> StreamPosition | None:
        """Where it has come to; None where there is nothing to go on from."""

    async def next(self) -> LogChange | None:
        """Return the next change, or None where there was none for a second."""

    async def reopen(self) -> None:
        """Go on after a lost connection, where it ended."""

    async def aclose(self) -> None:
        """Let go of it."""


class Streaming:
    """A change stream, and the place that it has come to."""

    def __init__(self, store: EventStore, selection: Selection, *, updates: bool) -> None:
        self._store = store
        self._selection = selection
        self._updates = updates
        self._stream: ChangeStream | None = None
        self._token: Mapping[str, Any] | None = None
        self._at = _EPOCH

    @classmethod
    async def open(
        cls, store: EventStore, selection: Selection, *, after: StreamPosition | None = None, updates: bool = False
    ) -> Self:
        """Open a stream; when this returns, nothing is missed from here on, or from `after` on.

        Raises:
            ChangeStreamsMissing: the server has none.
            CheckpointError: the server no longer knows what came next.
        """
        source = cls(store, selection, updates=updates)
        if after is not None:
            source._token, source._at = after.token, after.at
        await source._open()
        if after is None:
            source._at = await store.now()
        return source

    @property
    def place(self) -> StreamPosition | None:
        return None if self._token is None else StreamPosition(self._token, self._at)

    async def next(self) -> LogChange | None:
        assert self._stream is not None
        try:
            change = await self._stream.next()
        except CheckpointError as error:
            raise self._lost() from error
        self._token = self._stream.token or self._token
        if change is not None and change.at is not None:
            self._at = change.at.replace(tzinfo=UTC)
        return change

    async def reopen(self) -> None:
        if self._token is None:
            raise self._lost()
        await self._open()

    async def _open(self) -> None:
        await self.aclose()
        try:
            stream = await self._store.watch(self._selection, after=self._token, updates=self._updates)
        except CheckpointError as error:
            raise self._lost() from error
        self._stream, self._token = stream, self._token or stream.token

    def _lost(self) -> CheckpointError:
        since = (self._at - _SAFELY_BEFORE).strftime("%Y-%m-%dT%H:%M:%SZ")
        return CheckpointError(
            f"the server no longer knows what was stored after {self._at:%Y-%m-%d %H:%M:%S} UTC, where this ended: its "
            "oplog reaches back less far, or it is another server",
            hint=f"what came since is in the log: craft-events replay --since {since}\n"
            f"follow from there, with a new checkpoint: craft-events tail --since {since}",
        )

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()


class Polling:
    """Asks for the last minutes again and again, and passes on what was not there before."""

    place: StreamPosition | None = None

    def __init__(self, store: EventStore, selection: Selection, *, updates: bool) -> None:
        self._store = store
        self._selection = replace(selection, limit=None)
        self._updates = updates
        self._known: dict[object, object] = {}
        self._new: deque[LogChange] = deque()
        self._asked_at = datetime.min.replace(tzinfo=UTC)
        self._questions = 0

    @classmethod
    async def open(cls, store: EventStore, selection: Selection, *, updates: bool = False) -> Self:
        """Note what is there already."""
        source = cls(store, selection, updates=updates)
        source._asked_at = await store.now()
        await source.reopen()
        source._new.clear()
        return source

    async def next(self) -> LogChange | None:
        if not self._new:
            await asyncio.sleep(POLL_EVERY)
            self._questions += 1
            await self._ask(NEAR if self._questions % WHOLE_EVERY else REACH)
        return self._new.popleft() if self._new else None

    async def reopen(self) -> None:
        """Ask all the way back; after an outage for the whole of it."""
        await self._ask(REACH)

    async def _ask(self, reach: timedelta) -> None:
        now = await self._store.now()
        since = self._asked_at - reach
        wanted = replace(self._selection, since=max(since, self._selection.since or since))
        found: dict[object, object] = {}
        new: list[LogChange] = []
        async for page in self._store.batches(wanted, for_json=True):
            for record in page:
                found[key_of(record)] = _standing(record)
                new += self._changes(record)
        self._known = found if reach == REACH else {**self._known, **found}
        self._asked_at = max(now, self._asked_at)
        self._new.extend(new)

    def _changes(self, record: Mapping[str, Any]) -> Iterator[LogChange]:
        """Yield what is new about a record: itself, and deliveries that may have ended."""
        key, standing = key_of(record), _standing(record)
        if key not in self._known:
            yield LogChange(record)
        if self._updates and self._known.get(key) != standing:
            yield LogChange(record, is_new=False)

    async def aclose(self) -> None:
        self._new.clear()


def _standing(record: Mapping[str, Any]) -> object:
    """Return what differs after every change of a record's deliveries; None where it has none."""
    delivery = record.get("delivery")
    return delivery.get("rev") if isinstance(delivery, Mapping) else None


def key_of(record: Mapping[str, Any]) -> object:
    """Return what tells a record from all others; an `_id` of another writer may be an object, which has no hash."""
    key = record["_id"]
    return repr(key) if isinstance(key, (dict, list)) else key
