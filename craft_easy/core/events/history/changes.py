"""The sources of a tail's changes: a change stream, or polling on a server that has none.

Either source continues after a lost connection: the call of `next` that lost it raises `StoreUnavailable`, and the next
call continues after the last change that was read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from craft_easy.core.events.errors import CheckpointError, StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.change_stream import (
    ANSWER_WITHIN,
    ChangeStream,
    LogChange,
    token_from_json,
    token_to_json,
)
from craft_easy.core.events.store.documents import key_of

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

REACH: Final = timedelta(minutes=5)
"""The age up to which a server without change streams is polled: a record stored with an older time is missed."""
NEAR: Final = timedelta(seconds=15)
"""The age up to which most polls go."""
WHOLE_EVERY: Final = 15
"""One of this many polls goes back to `REACH`."""
POLL_EVERY: Final = 1.0
"""Seconds between two polls."""
LONGEST_ANSWER: Final = 60.0
"""The longest time in seconds that a server gets to answer; each failure doubles the time up to it."""
_SAFELY_BEFORE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A point in the stream to continue from, and the database's time there."""

    token: Mapping[str, Any]
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the position as a checkpoint stores it."""
        return {"token": token_to_json(self.token), "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, position: Mapping[str, Any]) -> Self:
        """Return the position that `to_json` described.

        Raises:
            ValueError: the mapping does not describe a position.
        """
        at = datetime.fromisoformat(str(position.get("at")))
        if at.tzinfo is None or not 1970 < at.year < 9999:
            raise ValueError("not a time of a database")
        return cls(token_from_json(position.get("token")), at)


class ChangeSource(Protocol):
    """A source of changes."""

    @property
    def position(self) -> StreamPosition | None:
        """The position after the last change; None where a source cannot be continued."""

    async def next(self) -> LogChange | None:
        """Return the next change, or None where there was none for a second.

        Raises:
            StoreUnavailable: the connection is lost; the next call continues where this one ended.
        """

    async def aclose(self) -> None:
        """Close the source."""


class StreamSource:
    """Reads changes from a change stream, and opens it again where it was lost."""

    def __init__(self, store: EventStore, selection: Selection, *, updates: bool) -> None:
        self._store = store
        self._selection = selection
        self._updates = updates
        self._stream: ChangeStream | None = None
        self._token: Mapping[str, Any] | None = None
        self._at = _EPOCH
        self._within = ANSWER_WITHIN

    @classmethod
    async def open(
        cls, store: EventStore, selection: Selection, *, after: StreamPosition | None = None, updates: bool = False
    ) -> Self:
        """Open a stream; no change from now on, or from `after` on, is missed.

        Raises:
            ChangeStreamsMissing: the server has no change streams.
            CheckpointError: the oplog no longer reaches back to `after`.
        """
        source = cls(store, selection, updates=updates)
        if after is not None:
            source._token, source._at = after.token, after.at
        await source._open()
        if after is None:
            source._at = await store.now()
        return source

    @property
    def position(self) -> StreamPosition | None:
        return None if self._token is None else StreamPosition(self._token, self._at)

    async def next(self) -> LogChange | None:
        if self._stream is None:
            await self._reopen()
            return None
        try:
            change = await self._stream.next()
        except CheckpointError as error:
            raise self._lost() from error
        except StoreUnavailable:
            await self.aclose()
            raise
        self._within = ANSWER_WITHIN
        self._token = self._stream.token or self._token
        if change is not None and change.at is not None:
            self._at = change.at.replace(tzinfo=UTC)
        return change

    async def _reopen(self) -> None:
        """Open the stream behind the last change; each failure doubles the time that the next try gets.

        The server searches the oplog for the position, which takes long on a busy one: with the same short limit for
        every try a tail would never come back.
        """
        if self._token is None:
            raise self._lost()
        self._within = min(2 * self._within, LONGEST_ANSWER)
        await self._open()

    async def _open(self) -> None:
        try:
            self._stream = await self._store.watch(
                self._selection, after=self._token, updates=self._updates, within=self._within
            )
        except CheckpointError as error:
            raise self._lost() from error
        self._token = self._token or self._stream.token

    def _lost(self) -> CheckpointError:
        since = (self._at - _SAFELY_BEFORE).strftime("%Y-%m-%dT%H:%M:%SZ")
        return CheckpointError(
            f"the server's oplog no longer reaches back to {self._at:%Y-%m-%d %H:%M:%S} UTC, where this tail ended, or "
            "it is another server",
            hint=f"print the events since then: craft-events replay --since {since}\n"
            f"follow from there, with a new checkpoint: craft-events tail --since {since}",
        )

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()


class PollingSource:
    """Polls the last minutes, and returns the records and changes that are new."""

    position: StreamPosition | None = None

    def __init__(self, store: EventStore, selection: Selection, *, updates: bool) -> None:
        self._store = store
        self._selection = replace(selection, limit=None)
        self._updates = updates
        self._known: dict[object, object] = {}
        self._new: deque[LogChange] = deque()
        self._polled_at = datetime.min.replace(tzinfo=UTC)
        self._polls = 0
        self._has_failed = False

    @classmethod
    async def open(cls, store: EventStore, selection: Selection, *, updates: bool = False) -> Self:
        """Note the records that are stored already."""
        source = cls(store, selection, updates=updates)
        source._polled_at = await store.now()
        await source._poll(REACH)
        source._new.clear()
        return source

    async def next(self) -> LogChange | None:
        if not self._new:
            await self._poll_again()
        return self._new.popleft() if self._new else None

    async def _poll_again(self) -> None:
        """Poll back to `NEAR` or `REACH`; after a failure at once, and back to `REACH`."""
        if not self._has_failed:
            await asyncio.sleep(POLL_EVERY)
            self._polls += 1
        is_near = self._polls % WHOLE_EVERY and not self._has_failed
        self._has_failed = True
        await self._poll(NEAR if is_near else REACH)
        self._has_failed = False

    async def _poll(self, reach: timedelta) -> None:
        now = await self._store.now()
        since = self._polled_at - reach
        wanted = replace(self._selection, since=max(since, self._selection.since or since))
        revisions: dict[object, object] = {}
        new: list[LogChange] = []
        async for page in self._store.batches(wanted, for_json=True):
            for record in page:
                revisions[key_of(record)] = _revision(record)
                new += self._changes(record)
        self._known = revisions if reach == REACH else {**self._known, **revisions}
        self._polled_at = max(now, self._polled_at)
        self._new.extend(new)

    def _changes(self, record: Mapping[str, Any]) -> Iterator[LogChange]:
        """Yield the changes of a record: the record itself if it is new, and one for deliveries that may have ended."""
        key = key_of(record)
        if key not in self._known:
            yield LogChange(record)
        if self._updates and self._known.get(key) != _revision(record):
            yield LogChange(record, is_new=False)

    async def aclose(self) -> None:
        self._new.clear()


def _revision(record: Mapping[str, Any]) -> object:
    """Return a value that differs after every change of a record's deliveries; None for an untracked record."""
    delivery = record.get("delivery")
    return delivery.get("rev") if isinstance(delivery, Mapping) else None
