"""The queries of a replay through handlers: the records of its range, their order and their number.

Malformed records do not count: they have no place in the order of history, and no handler gets them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.model.envelope import LATEST, Envelope, read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, filters, read
from craft_easy.core.events.store.filters import Condition
from craft_easy.core.events.store.position import RecordPosition

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

OUTLINE: Final = ("event_id", "event_type", "tenant_id", "timestamp")
"""The fields that are read where the payload is not needed."""
_MILLISECOND: Final = timedelta(milliseconds=1)


def within(selection: Selection, after: RecordPosition | None, end: RecordPosition | None) -> Condition:
    """Return the condition for the selected records after one position, up to and including another.

    The limit of the selection is ignored.
    """
    since, until = selection.since, selection.until
    conditions: list[Condition] = []
    if after is not None:
        since = after.timestamp if since is None else max(since, after.timestamp)
        conditions.append({"$or": [{"timestamp": {"$gt": after.timestamp}}, {"event_id": {"$gt": after.event_id}}]})
    if end is not None:
        if end.timestamp < LATEST:  # the latest time has no next one
            until = min(until or LATEST, end.timestamp + _MILLISECOND)
        conditions.append({"$or": [{"timestamp": {"$lt": end.timestamp}}, {"event_id": {"$lte": end.event_id}}]})
    return filters.joined(filters.selection_filter(replace(selection, since=since, until=until)), *conditions)


async def last_position(store: Log) -> RecordPosition | None:
    """Return the last position in the log; None where it holds no well-formed record."""
    async with store.call(store.scan_timeout) as connection:
        cursor = (
            connection.events.find(filters.WELL_FORMED, OUTLINE).sort(read.HISTORY.sort(filters.DESCENDING)).limit(1)
        )
        last = await cursor.to_list(1)
    return RecordPosition.of(last[0]) if last else None


async def outlines(store: Log, condition: Condition, limit: int | None = None) -> AsyncGenerator[Envelope, None]:
    """Yield the records of a condition, in order and without their payloads, at most `limit` of them."""
    remaining = limit
    async with aclosing(read.scan(store, condition, fields=OUTLINE)) as pages:
        async for page in pages:
            for record in page[:remaining]:
                yield read_envelope(record)
            remaining = None if remaining is None else remaining - len(page)
            if remaining is not None and remaining <= 0:
                return


async def tally(store: Log, condition: Condition, limit: int | None = None) -> Counter[tuple[str, str | None]]:
    """Count the records of a condition by type and tenant, on the server, which takes a while on a large log.

    Args:
        store: the event log.
        condition: the condition.
        limit: count only the first records; they are read, because a server that groups them would sort all records.
    """
    counted: Counter[tuple[str, str | None]] = Counter()
    if limit is not None:
        async with aclosing(outlines(store, condition, limit)) as events:
            async for event in events:
                counted[event.event_type, event.tenant_id] += 1
        return counted
    kind = {"event_type": "$event_type", "tenant_id": "$tenant_id"}
    stages = [{"$match": condition}, {"$group": {"_id": kind, "events": {"$sum": 1}}}]
    async with store.call(store.scan_timeout) as connection:
        rows = await (await drivers.aggregate(connection.events, stages)).to_list(None)
    for row in rows:
        event = read_envelope(row["_id"])
        counted[event.event_type, event.tenant_id] += row["events"]
    return counted
