"""The queries of a replay through handlers: which records, in what order, and how many.

Only well-formed records count: the others have no place in the order of history, and no handler gets them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from bson import json_util
from bson.errors import BSONError

from craft_easy.core.events.model.envelope import LATEST, Envelope, read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, filters, read
from craft_easy.core.events.store.filters import Condition

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

OUTLINE: Final = ("event_id", "event_type", "tenant_id", "timestamp")
"""The fields that are read where the payload is not needed."""
_IDS: Final = 100
"""Ids in one query at most: the embedded server is slow at long lists."""
_AS_JSON: Final = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class ReplayPosition:
    """The position of a well-formed record in history; positions are ordered as the log orders its records.

    MongoDB compares texts by their UTF-8 bytes, and Python by code points: the order is the same.
    """

    timestamp: datetime
    event_id: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self | None:
        """Return the position of a record; None where its id, type or timestamp is missing or of another type."""
        timestamp, event_id = record.get("timestamp"), record.get("event_id")
        if not (isinstance(timestamp, datetime) and isinstance(event_id, str)):
            return None
        return cls(timestamp, event_id) if isinstance(record.get("event_type"), str) else None

    def to_json(self) -> dict[str, Any]:
        """Return it as a checkpoint stores it."""
        fields = {"timestamp": self.timestamp, "event_id": self.event_id}
        described: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return described

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave.

        Raises:
            ValueError: it is not a position.
        """
        try:
            described = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            position = cls.of({"event_type": "", **described})
        except (TypeError, AttributeError, BSONError) as error:
            raise ValueError("not a position in history") from error
        if position is None:
            raise ValueError("not a position in history")
        return position


def within(selection: Selection, after: ReplayPosition | None, end: ReplayPosition | None) -> Condition:
    """Return the condition for the selected records that stand after one position, and not after another.

    The limit of the selection is not in it.
    """
    since, until = selection.since, selection.until
    conditions: list[Condition] = []
    if after is not None:
        since = after.timestamp if since is None else max(since, after.timestamp)
        conditions.append({"$or": [{"timestamp": {"$gt": after.timestamp}}, {"event_id": {"$gt": after.event_id}}]})
    if end is not None:
        if end.timestamp < LATEST:  # the last moment has no next one
            until = min(until or LATEST, end.timestamp + _MILLISECOND)
        conditions.append({"$or": [{"timestamp": {"$lt": end.timestamp}}, {"event_id": {"$lte": end.event_id}}]})
    return filters.joined(filters.selection_filter(replace(selection, since=since, until=until)), *conditions)


async def last_position(store: Log) -> ReplayPosition | None:
    """Return the last position in the log; None where it holds no well-formed record."""
    condition: Condition = {
        "timestamp": {"$lte": LATEST},
        "event_id": {"$type": "string"},
        "event_type": {"$type": "string"},
    }
    async with store.call(store.scan_timeout) as site:
        cursor = site.events.find(condition, OUTLINE).sort(read.HISTORY.sort(filters.DESCENDING)).limit(1)
        found = await cursor.to_list(1)
    return ReplayPosition.of(found[0]) if found else None


async def positions(store: Log, event_ids: Sequence[str]) -> dict[str, ReplayPosition]:
    """Return the positions of the events with these ids, of those that are in the log."""
    found: dict[str, ReplayPosition] = {}
    for some in in_batches(list(dict.fromkeys(event_ids))):
        condition = filters.selection_filter(Selection(event_ids=tuple(some)))
        async with store.call(store.scan_timeout) as site:
            records = await site.events.find(condition, OUTLINE).to_list(None)
        found |= {one.event_id: one for one in map(ReplayPosition.of, records) if one is not None}
    return found


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Cut a list of ids into what one query takes."""
    return [event_ids[first : first + _IDS] for first in range(0, len(event_ids), _IDS)]


async def outlines(store: Log, condition: Condition, limit: int | None = None) -> AsyncGenerator[Envelope, None]:
    """Yield the records that meet a condition, in order and without their payloads, at most `limit` of them."""
    left = limit
    async with aclosing(read.scan(store, condition, fields=OUTLINE)) as pages:
        async for page in pages:
            for record in page[:left]:
                yield read_envelope(record)
            left = None if left is None else left - len(page)
            if left is not None and left <= 0:
                return


async def tally(store: Log, condition: Condition, limit: int | None = None) -> Counter[tuple[str, str | None]]:
    """Count the records that meet a condition by type and tenant; the server counts, on a large log for a while.

    Args:
        store: where the log is.
        condition: what a record must meet.
        limit: count only the first records: they are read, since a server that groups them would sort them all.
    """
    counted: Counter[tuple[str, str | None]] = Counter()
    if limit is not None:
        async with aclosing(outlines(store, condition, limit)) as events:
            async for event in events:
                counted[event.event_type, event.tenant_id] += 1
        return counted
    kind = {"event_type": "$event_type", "tenant_id": "$tenant_id"}
    stages = [{"$match": condition}, {"$group": {"_id": kind, "events": {"$sum": 1}}}]
    async with store.call(store.scan_timeout) as site:
        rows = await (await drivers.aggregate(site.events, stages)).to_list(None)
    for row in rows:
        event = read_envelope(row["_id"])
        counted[event.event_type, event.tenant_id] += row["events"]
    return counted
