"""Counting what a log holds, without reading all of it: by its indexes, and by drawing a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.filters import Condition, DeliveryFilter
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

SAMPLE: Final = 1_000
_HANDLERS: Final = {"$cond": [{"$isArray": "$delivery.handlers"}, {"$size": "$delivery.handlers"}, None]}


async def is_empty(store: EventStore) -> bool:
    """Tell whether there is no record at all."""
    async with store.call() as site:
        return await site.events.find_one({}, {"_id": 1}) is None


@dataclass(frozen=True, slots=True)
class Sample:
    """What some events that were drawn at random are like.

    Args:
        events: how many there are in all, as the server estimates.
        looked_at: how many were drawn.
        untracked: of them, those without a delivery.
        unhandled: those that had no handler when they were published.
        unfit: those with a field that is missing or of another type, as other writers leave them.
        unfit_event_id: one of these.
    """

    events: int
    looked_at: int
    untracked: int
    unhandled: int
    unfit: int
    unfit_event_id: str | None = None


async def sample(store: EventStore, *, size: int = SAMPLE) -> Sample:
    """Draw events at random and say what they are like; their payloads are not read."""
    fields: dict[str, Any] = dict.fromkeys(("event_id", "event_type", "timestamp", "tenant_id", "actor_id"), 1)
    fields |= {"payload": {"$type": "$payload"}, "delivery": {"$type": "$delivery"}}
    fields |= {"state": "$delivery.state", "handlers": _HANDLERS}
    async with store.call(store.scan_timeout) as site:
        events = await site.events.estimated_document_count()
        cursor = await drivers.aggregate(site.events, [{"$sample": {"size": size}}, {"$project": fields}])
        drawn: list[dict[str, Any]] = await cursor.to_list(None)
    unfit = [record for record in drawn if _is_unfit(record)]
    return Sample(
        events=events,
        looked_at=len(drawn),
        untracked=sum(record.get("delivery") in ("missing", "null") for record in drawn),
        unhandled=sum(record.get("handlers") == 0 and record.get("state") == "done" for record in drawn),
        unfit=len(unfit),
        unfit_event_id=read_envelope(unfit[0]).event_id if unfit else None,
    )


def _is_unfit(record: Mapping[str, Any]) -> bool:
    kinds = {"event_id": str, "event_type": str, "timestamp": datetime}
    is_fit = all(isinstance(record.get(name), kind) for name, kind in kinds.items())
    texts = all(isinstance(record.get(name), (str, type(None))) for name in ("tenant_id", "actor_id"))
    return not (is_fit and texts and record.get("payload") == "object")


@dataclass(frozen=True, slots=True)
class OwnedCount:
    """Open records that have the same owner, None where they have none, and the oldest of their times."""

    owner: Any
    records: int
    oldest: Any
    event_id: str | None

    @property
    def is_lost(self) -> bool:
        """Whether nobody finds these records: their owner is neither missing nor a name."""
        return self.owner is not None and (not isinstance(self.owner, str) or not self.owner)


async def held(store: EventStore) -> list[OwnedCount]:
    """Return the open records by owner; the server reads the backlog's index and records."""
    stages: list[dict[str, Any]] = [
        {"$match": {"delivery.state": "open"}},
        {
            "$group": {
                "_id": "$delivery.owner",
                "records": {"$sum": 1},
                "oldest": {"$min": "$timestamp"},
                "event_id": {"$first": "$event_id"},
            }
        },
    ]
    async with store.call(store.scan_timeout) as site:
        cursor = await drivers.aggregate(site.events, stages)
        rows: list[dict[str, Any]] = await cursor.to_list(None)
    return [_held(row) for row in rows]


def _held(row: Mapping[str, Any]) -> OwnedCount:
    event_id = row.get("event_id")
    return OwnedCount(row["_id"], row["records"], row.get("oldest"), None if event_id is None else str(event_id))


async def dead(store: EventStore) -> int:
    """Return how many records have a dead delivery, by the partial index over them."""
    async with store.call(store.scan_timeout) as site:
        return await _counted(site.events, {"delivery.handlers.state": "dead"}, DEAD_INDEX)


@dataclass(frozen=True, slots=True)
class OfHandler:
    """How many events a handler has still to be delivered, and how many of its deliveries are dead."""

    pending: int
    dead: int


async def of_handler(store: EventStore, names: tuple[str, ...]) -> OfHandler:
    """Count what a handler has open and dead, by the partial indexes.

    Args:
        names: its id, and those that it had before.
    """
    chosen = DeliveryFilter(Selection(), names)
    async with store.call(store.scan_timeout) as site:
        pending = await _counted(site.events, chosen.having("pending"), OPEN_INDEX)
        dead = await _counted(site.events, chosen.having("dead"), DEAD_INDEX)
    return OfHandler(pending, dead)


async def _counted(events: drivers.Collection, condition: Condition, index: str) -> int:
    return int(await drivers.with_hint(index, partial(events.count_documents, condition)))


async def event_types(store: EventStore) -> list[str]:
    """Return every event type of the log, by the index that begins with it."""
    async with store.call(store.scan_timeout) as site:
        found = await site.events.distinct("event_type")
    return sorted({str(one) for one in found if one is not None})
