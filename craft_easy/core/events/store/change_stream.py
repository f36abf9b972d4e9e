"""The change stream of the log, which yields its changes as they happen.

https://www.mongodb.com/docs/manual/changeStreams/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from bson import json_util
from bson.errors import BSONError
from pymongo.errors import OperationFailure

from craft_easy.core.events.errors import CheckpointError, EventsError, StoreError
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, filters
from craft_easy.core.events.store.formats.event_json import CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

ANSWER_WITHIN: Final = 3.0
"""Seconds within which a server must answer; it waits one second for the next change."""
_AWAIT_MS: Final = 1_000
_OVER: Final = ("drop", "dropDatabase", "rename", "invalidate")
_UPDATES: Final = ("update", "replace")
_MISSING: Final = frozenset({59, 115, 40324, 40573})
"""CommandNotFound, CommandNotSupported, no such stage, only on a replica set."""
_LOST: Final = frozenset({9, 136, 260, 280, 286})
"""FailedToParse, CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""


class ChangeStreamsMissing(StoreError):
    """The server has no change streams: it is neither a member of a replica set nor the router of a sharded cluster."""


class LogDropped(StoreError):
    """The collection of the log was dropped or renamed, which ends the stream."""


@dataclass(frozen=True, slots=True)
class LogChange:
    """A record that was inserted, or whose deliveries changed.

    Args:
        record: the record after the change.
        is_new: it was inserted.
        at: the server's time of the change, naive and in UTC; None before MongoDB 6.0.
    """

    record: Mapping[str, Any]
    is_new: bool = True
    at: datetime | None = None


class ChangeStream:
    """Yields changes of the log; `EventStore.watch` opens one."""

    def __init__(self, store: Log, stream: Any, within: float) -> None:
        self._store = store
        self._stream = stream
        self._within = within

    @classmethod
    async def open(
        cls,
        store: Log,
        selection: Selection,
        *,
        after: Mapping[str, Any] | None = None,
        updates: bool = False,
        within: float = ANSWER_WITHIN,
    ) -> Self:
        """Open a stream; when this returns, the server has answered.

        Args:
            store: the log.
            selection: of records; its limit is ignored.
            after: the resume token of another stream.
            updates: include changes of deliveries.
            within: seconds that the server has for each answer; a resume on a busy oplog needs a longer one.
        """
        lookup = {"full_document": "updateLookup"} if updates else {}
        try:
            async with store.call(within + 2) as connection:
                events = drivers.decoding(connection.events, CODEC)
                stream = await drivers.watch(
                    events,
                    stages(selection, updates=updates),
                    resume_after=after,
                    max_await_time_ms=_AWAIT_MS,
                    **lookup,
                )
        except StoreError as error:
            raise _meaning(error, is_resumed=after is not None) from error
        except NotImplementedError as error:
            raise ChangeStreamsMissing("a database in memory has no change streams") from error
        return cls(store, stream, within)

    @property
    def token(self) -> Mapping[str, Any] | None:
        """The resume token of the change that `next` returned last."""
        token: Mapping[str, Any] | None = self._stream.resume_token
        return token

    async def next(self) -> LogChange | None:
        """Return the next change, or None where none came within a second.

        Raises:
            LogDropped: the collection was dropped or renamed.
            StoreUnavailable: the connection is lost; open another stream `after` the token.
            CheckpointError: the server's oplog no longer reaches back to the token.
        """
        document = await self._next()
        if document is None:
            return None
        if document["operationType"] in _OVER:
            raise LogDropped(_ending(document["operationType"], self._store))
        return _change(document)

    async def _next(self) -> Mapping[str, Any] | None:
        try:
            async with self._store.call(self._within):
                document: Mapping[str, Any] | None = await self._stream.try_next()
        except StoreError as error:
            raise _meaning(error, is_resumed=True) from error
        return document

    async def aclose(self) -> None:
        """Close the stream on the server."""
        with suppress(StoreError):
            async with self._store.call(ANSWER_WITHIN):
                await drivers.close(self._stream)


def _change(document: Mapping[str, Any]) -> LogChange | None:
    """Return a change of the log; None if it changed no delivery, or the record has been removed."""
    record, at = document.get("fullDocument"), document.get("wallTime")
    if document["operationType"] == "insert":
        return LogChange(document["fullDocument"], at=at)
    updated = document.get("updateDescription", {}).get("updatedFields", {})
    is_whole = document["operationType"] == "replace" or "delivery" in updated
    if record is None or not (is_whole or any(name.startswith("delivery.handlers") for name in updated)):
        return None
    # the server looked the record up after this change, and it may have changed again
    return LogChange({**record, "delivery": updated.get("delivery", record.get("delivery"))}, is_new=False, at=at)


def stages(selection: Selection, *, updates: bool = False) -> list[dict[str, Any]]:
    """Return the pipeline for inserts of the selection, for updates if wanted, and for the end of the log."""
    condition = filters.selection_filter(replace(selection, limit=None, reverse=False))
    kind: Any = {"$in": ["insert", *_UPDATES]} if updates else "insert"
    changes = {"operationType": kind, **_of_the_document(condition)}
    return [{"$match": {"$or": [{"operationType": {"$in": list(_OVER)}}, changes]}}]


def _of_the_document(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition on a record as a condition on its change."""
    return {
        name if name.startswith("$") else f"fullDocument.{name}": (
            [_of_the_document(part) for part in value] if name.startswith("$") else value
        )
        for name, value in condition.items()
    }


def token_to_json(token: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resume token as JSON, binary values as Extended JSON."""
    described: dict[str, Any] = json.loads(json_util.dumps(token, json_options=json_util.CANONICAL_JSON_OPTIONS))
    return described


def token_from_json(described: object) -> dict[str, Any]:
    """Return the resume token of a value that `token_to_json` returned.

    Raises:
        ValueError: the value is not a resume token.
    """
    try:
        token = json_util.loads(json.dumps(described))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, BSONError) as error:
        raise ValueError("not a resume token") from error
    if not isinstance(token, dict) or not isinstance(token.get("_data"), (str, bytes)):
        raise ValueError("not a resume token")  # noqa: TRY004 - it comes from a file and may have any type
    return token


def _meaning(error: StoreError, *, is_resumed: bool) -> EventsError:
    """Return our error for the server's refusal to open or to continue a stream."""
    cause = error.__cause__
    code = cause.code if isinstance(cause, OperationFailure) else None
    if code in _MISSING:
        return ChangeStreamsMissing(error.message, hint="a single server becomes a replica set with --replSet")
    if code in _LOST and is_resumed:
        return CheckpointError(
            "the server's oplog no longer reaches back to the last event that was read",
            hint="continue from a time: --since, a little before that event",
        )
    return error


def _ending(operation: str, store: Log) -> str:
    what = "renamed" if operation == "rename" else "dropped"
    return f"the collection {store.database_name}.{store.name} was {what}: there is nothing more to follow"
