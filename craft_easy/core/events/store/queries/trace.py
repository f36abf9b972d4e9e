"""The queries of a trace: the events of one chain, found by one indexed query.

The `correlation_id` of an event that a handler publishes is the id of the chain's first event. The log has a sparse
index on that field, so one query finds a chain of any age.
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
"""The number of records that are read at a time with their payloads."""


@dataclass(frozen=True, slots=True)
class Link:
    """An event of a chain and its cause. `record_id` is the `_id` of its record."""

    record_id: Any
    event_id: str
    event_type: str
    tenant_id: str | None
    timestamp: datetime
    causation_id: str | None
    correlation_id: str | None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the link of a record, also for records of other programs."""
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
    """The events of a chain that refer to its first event; `total` counts those beyond the limit too."""

    links: Sequence[Link]
    total: int


async def members(store: Log, root_id: str, *, limit: int) -> ChainMembers:
    """Return the events whose `correlation_id` is the id of an event.

    Args:
        store: the event log.
        root_id: the id of the first event of the chain.
        limit: the maximum number of links.

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
            "the log has no index on correlation_id, which finds the events of a chain",
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
    """Return the bytes from which a child's id was derived, as `documents.event_content` returns them for its event.

    None if another program stored a value without such a form, whose id was therefore not derived.
    """
    envelope = read_envelope(record)
    try:
        return canonical([envelope.event_type, envelope.tenant_id, envelope.actor_id, envelope.payload])
    except (BSONError, ArithmeticError, RecursionError, TypeError, ValueError):
        return None
