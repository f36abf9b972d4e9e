"""The events of one chain: what ties them together, and the one indexed query that finds them.

An event that a handler publishes names the first event of its chain as its `correlation_id`. The log has a sparse index
on that field, so a chain of any age is found by one query.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from bson.errors import BSONError

from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.encoding import canonical
from craft_easy.core.events.store.filters import Condition, can_be_stored, stored_forms

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

FIELDS: Final = ("event_id", "event_type", "tenant_id", "timestamp", "causation_id", "correlation_id")
READ_AT_ONCE: Final = 100
"""Records that are read whole at a time, payloads included."""


@dataclass(frozen=True, slots=True)
class Link:
    """An event of a chain: what it is, and what caused it. `record_id` is the `_id` of its record."""

    record_id: Any
    event_id: str
    event_type: str
    tenant_id: str | None
    timestamp: datetime
    causation_id: str | None
    correlation_id: str | None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return what ties a record to others, whichever program wrote it."""
        envelope = read_envelope(record)
        return cls(
            record_id=record.get("_id"),
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            tenant_id=envelope.tenant_id,
            timestamp=envelope.timestamp,
            causation_id=envelope.causation_id or None,
            correlation_id=envelope.correlation_id or None,
        )


@dataclass(frozen=True, slots=True)
class ChainMembers:
    """The events that name one event as the first of their chain; `total` counts those beyond the limit too."""

    links: Sequence[Link]
    total: int


async def members(store: Log, root_id: str, *, limit: int) -> ChainMembers:
    """Return the events whose `correlation_id` is this event's id, in the order in which they were stored.

    Args:
        store: where the log is.
        root_id: the first event of the chain.
        limit: at most this many links.

    Raises:
        StoreError: the log has no index on `correlation_id`, and the query would read all of it.
    """
    if not can_be_stored(root_id):
        return ChainMembers((), 0)
    condition: Condition = {"correlation_id": {"$in": stored_forms(root_id)}}
    async with store.call() as connection:
        _check_index(await drivers.list_indexes(connection.events))
        records = await connection.events.find(condition, FIELDS).limit(limit + 1).to_list(None)
        total = len(records) if len(records) <= limit else await connection.events.count_documents(condition)
    return ChainMembers([Link.of(record) for record in records[:limit]], total)


def _check_index(existing: Sequence[Mapping[str, Any]]) -> None:
    if not any(next(iter(index["key"])) == "correlation_id" for index in existing):
        raise StoreError(
            "the log has no index on correlation_id, by which the events of a chain are found",
            hint="create it: craft-events doctor --fix",
        )


async def whole_records(store: Log, ids: Sequence[Any]) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
    """Yield the records with these `_id`s, payloads included, up to `READ_AT_ONCE` at a time."""
    for start in range(0, len(ids), READ_AT_ONCE):
        condition = {"_id": {"$in": list(ids[start : start + READ_AT_ONCE])}}
        async with store.call() as connection:
            records: Sequence[Mapping[str, Any]] = await connection.events.find(condition).to_list(None)
        yield records


def derivation_content(record: Mapping[str, Any]) -> bytes | None:
    """Return the bytes that a child's id was derived from, the same as `documents.event_content` returns of its event.

    None where another program stored a value that has no such form: then the id was not derived.
    """
    envelope = read_envelope(record)
    try:
        return canonical([envelope.event_type, envelope.tenant_id, envelope.actor_id, envelope.payload])
    except (BSONError, ArithmeticError, RecursionError, TypeError, ValueError):
        return None
