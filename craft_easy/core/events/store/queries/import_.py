"""The queries of an import: which of its events are already stored, and the insert of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from craft_easy.core.events.errors import StoreError, StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.append import MAX_NAMED, InsertResult
from craft_easy.core.events.store.documents import by_value

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

Record = Mapping[str, Any]


async def is_unique(store: EventStore) -> bool:
    """Return whether an index keeps event ids unique: not on a sharded cluster, nor on an old log that lacks it."""
    connection = await store.prepare()
    async with store.call():
        existing = await drivers.list_indexes(connection.events)
    return any(list(index["key"].items()) == [("event_id", 1)] and index.get("unique") for index in existing)


async def stored_otherwise(store: EventStore, records: Sequence[Record], *, by_event_id: bool) -> dict[Any, Record]:
    """Return the records of these events that other programs stored under an `_id` of their own, by event id.

    An insert would store such an event twice where no index keeps event ids unique.

    Args:
        records: of the events.
        by_event_id: search by `event_id` too; otherwise only for records whose `_id` is their only id.
    """
    twins: dict[Any, Record] = {}
    if by_event_id:
        others = await _matching(
            store, lambda ids: {"event_id": {"$in": ids}}, [record["event_id"] for record in records]
        )
        twins = by_value(others, "event_id")
    names: dict[Any, str] = {}
    for record in records:
        event_id = record["event_id"]
        if isinstance(event_id, str):
            names[event_id] = event_id
            if len(event_id) == 24 and ObjectId.is_valid(event_id):
                names[ObjectId(event_id)] = event_id
    without_id = await _matching(store, lambda values: {"_id": {"$in": values}, "event_id": None}, list(names))
    return twins | {names[record["_id"]]: record for record in without_id}


async def stored_twins(store: EventStore, records: Sequence[Record]) -> list[Record | None]:
    """Return the stored record of each event, or None, for a dry run."""
    by_id = await _matching(store, lambda values: {"_id": {"$in": values}}, [record["_id"] for record in records])
    twins: dict[Any, Record] = {record["_id"]: record for record in by_id}
    rest = [record["event_id"] for record in records if record["_id"] not in twins]
    by_event_id = await _matching(store, lambda values: {"event_id": {"$in": values}}, rest)
    others = by_value(by_event_id, "event_id")
    return [twins.get(record["_id"]) or others.get(record["event_id"]) for record in records]


async def _matching(
    store: EventStore, condition: Callable[[Sequence[Any]], dict[str, Any]], values: Sequence[Any]
) -> Iterable[Record]:
    records: list[Record] = []
    for start in range(0, len(values), MAX_NAMED):
        async with store.call() as connection:
            events = drivers.by_majority(connection.events)
            records += await events.find(condition(list(values[start : start + MAX_NAMED]))).to_list(None)
    return records


async def insert_each(store: EventStore, records: Sequence[Record]) -> list[InsertResult]:
    """Store records and return the result of each, in the same order; one that is refused does not stop the others.

    A server may refuse a whole write because of one record without naming it: the write is halved until it is found.

    Raises:
        StoreUnavailable: some are not known to be stored; the same call can be made again.
        StoreLoginRefused: the server refuses the right.
    """
    try:
        return await store.insert(records)
    except (StoreUnavailable, StoreLoginRefused):
        raise
    except StoreError as error:
        if len(records) == 1:
            return [InsertResult(records[0], error=error)]
    half = len(records) // 2
    return [*await insert_each(store, records[:half]), *await insert_each(store, records[half:])]
