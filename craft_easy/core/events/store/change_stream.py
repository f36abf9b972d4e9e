"""Inserts as they happen: a change stream over the log, and what its end means.

https://www.mongodb.com/docs/manual/changeStreams/
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from pymongo.errors import OperationFailure

from craft_easy.core.events.errors import CheckpointError, EventsError, StoreError
from craft_easy.core.events.selection import Selection
from craft_easy.core.events.store import drivers, filters
from craft_easy.core.events.store.event_json import CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

ANSWER_WITHIN: Final = 3.0
"""Seconds within which a server answers that lives; it is asked to wait one second for the next change."""
_AWAIT_MS: Final = 1_000
_ENDINGS: Final = ("drop", "dropDatabase", "rename", "invalidate")
_MISSING: Final = frozenset({59, 115, 40324, 40573})
"""CommandNotFound, CommandNotSupported, no such stage, only on a replica set."""
_LOST: Final = frozenset({9, 136, 260, 280, 286})
"""FailedToParse, CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""


class ChangeStreamsMissing(StoreError):
    """The server has no change streams: it is neither of a replica set nor a router of a sharded cluster."""


class LogDropped(StoreError):
    """The collection that holds the log was dropped or renamed, and with it ends the stream."""


class ChangeStream:
    """Yields records as they are inserted; made by `EventStore.watch`."""

    def __init__(self, store: EventStore, stream: Any) -> None:
        self._store = store
        self._stream = stream

    @classmethod
    async def open(cls, store: EventStore, selection: Selection, *, after: Mapping[str, Any] | None) -> Self:
        """Open a stream; when this returns, the server has answered."""
        try:
            async with store.call(ANSWER_WITHIN + 2) as site:
                events = drivers.decoding(site.events, CODEC)
                stream = await drivers.watch(events, stages(selection), resume_after=after, max_await_time_ms=_AWAIT_MS)
        except StoreError as error:
            raise _meaning(error, is_resumed=after is not None) from error
        except NotImplementedError as error:
            raise ChangeStreamsMissing("a database in memory has no change streams") from error
        return cls(store, stream)

    @property
    def token(self) -> Mapping[str, Any] | None:
        """Where to go on after the record that `next` returned last."""
        token: Mapping[str, Any] | None = self._stream.resume_token
        return token

    async def next(self) -> dict[str, Any] | None:
        """Return the next record, or None where none came within a second.

        Raises:
            LogDropped: there is no more log.
            StoreUnavailable: the connection is lost; watch again `after` the token.
            CheckpointError: the server no longer knows what came next.
        """
        change = await self._change()
        if change is None:
            return None
        if change["operationType"] in _ENDINGS:
            raise LogDropped(_ending(change["operationType"], self._store))
        record: dict[str, Any] = change["fullDocument"]
        return record

    async def _change(self) -> Mapping[str, Any] | None:
        try:
            async with self._store.call(ANSWER_WITHIN):
                change: Mapping[str, Any] | None = await self._stream.try_next()
        except StoreError as error:
            raise _meaning(error, is_resumed=True) from error
        return change

    async def aclose(self) -> None:
        """Let the server forget the stream."""
        with suppress(StoreError):
            async with self._store.call(ANSWER_WITHIN):
                await drivers.close(self._stream)


def stages(selection: Selection) -> list[dict[str, Any]]:
    """Return the pipeline that passes inserts of the selection, and whatever ends the log."""
    condition = filters.selection_filter(replace(selection, limit=None, reverse=False))
    inserts = {"operationType": "insert", **_of_the_document(condition)}
    return [{"$match": {"$or": [{"operationType": {"$in": list(_ENDINGS)}}, inserts]}}]


def _of_the_document(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition on a record as one on the change that carries it."""
    return {
        name if name.startswith("$") else f"fullDocument.{name}": (
            [_of_the_document(one) for one in value] if name.startswith("$") else value
        )
        for name, value in condition.items()
    }


def _meaning(error: StoreError, *, is_resumed: bool) -> EventsError:
    """Return what the server's refusal means for who follows the log."""
    cause = error.__cause__
    code = cause.code if isinstance(cause, OperationFailure) else None
    if code in _MISSING:
        return ChangeStreamsMissing(error.message, hint="a single server becomes a replica set with --replSet")
    if code in _LOST and is_resumed:
        return CheckpointError(
            "the server no longer knows what came after the last event that was read",
            hint="go on from a time: --since, a little before that event",
        )
    return error


def _ending(operation: str, store: EventStore) -> str:
    what = "renamed" if operation == "rename" else "dropped"
    return f"the collection {store.database_name}.{store.name} was {what}: there is nothing more to follow"
