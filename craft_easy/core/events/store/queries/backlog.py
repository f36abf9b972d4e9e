"""The figures of the backlog alone, as often as a monitoring system asks for them.

Two questions, each one pass over a partial index and one answer: what is open, and what is dead. Each stops at
`MAX_COUNTED` records, the oldest first, so that a look costs the server no more than that however large the backlog is.
The indexes are named (`hint`), as in `stats`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, hint
from craft_easy.core.events.store.queries.stats import DEAD, LARGEST_GROUPS, OPEN, name_of

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

MAX_COUNTED: Final = 100_000
"""The number of records at which a count stops."""
_IS_OWNED: Final = {"$gt": ["$owner", ""]}


@dataclass(frozen=True, slots=True)
class OpenOfHandler:
    """The pending deliveries of a handler: all, and those that a worker owns or that wait for their next attempt."""

    name: str
    number: int
    owned: int
    waiting: int


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """The counts of the open records.

    Args:
        number: of records, up to `MAX_COUNTED`.
        owned: the number of these that a worker owns.
        waiting: the number of these that are unowned and not due yet.
        oldest: the time of the oldest event.
        due_since: the due time of the unowned record that has been due for the longest.
        handlers: the largest, largest first.
    """

    number: int = 0
    owned: int = 0
    waiting: int = 0
    oldest: datetime | None = None
    due_since: datetime | None = None
    handlers: Sequence[OpenOfHandler] = ()


@dataclass(frozen=True, slots=True)
class DeadCounts:
    """The number of records with a dead delivery, up to `MAX_COUNTED`, and their dead deliveries by handler."""

    records: int = 0
    deliveries: int = 0
    handlers: Mapping[str, int] = field(default_factory=dict)


async def count_open(log: Log, now: datetime) -> OpenCounts:
    """Count what is open, from the partial index alone."""
    answer = await _first(log, _open_stages(now), OPEN_INDEX)
    total: Mapping[str, Any] = next(iter(answer.get("all", ())), {})
    return OpenCounts(
        number=total.get("n", 0),
        owned=total.get("owned", 0),
        waiting=total.get("waiting", 0),
        oldest=total.get("oldest"),
        due_since=total.get("due_since"),
        handlers=[
            OpenOfHandler(name_of(row) or "", row["n"], row["owned"], row["waiting"])
            for row in answer.get("groups", ())
        ],
    )


async def count_dead(log: Log) -> DeadCounts:
    """Count what is dead, from the partial index alone."""
    answer = await _first(log, _dead_stages(), DEAD_INDEX)
    records: Mapping[str, Any] = next(iter(answer.get("records", ())), {})
    deliveries: Mapping[str, Any] = next(iter(answer.get("deliveries", ())), {})
    by_handler = {name_of(row) or "": row["n"] for row in answer.get("groups", ())}
    return DeadCounts(records.get("n", 0), deliveries.get("n", 0), by_handler)


def _open_stages(now: datetime) -> list[dict[str, Any]]:
    is_due = {"$and": [{"$not": [_IS_OWNED]}, {"$lte": ["$due_at", now]}]}
    fields = {"_id": 0, "timestamp": 1, "owner": "$delivery.owner", "due_at": "$delivery.due_at"}
    return [
        {"$match": OPEN},
        {"$limit": MAX_COUNTED},
        {"$project": {**fields, "handler": "$delivery.handlers"}},
        {
            "$facet": {
                "all": [
                    _summed(
                        None,
                        owned=_one_if(_IS_OWNED),
                        waiting=_waiting("$due_at", now),
                        oldest={"$min": _if(_is_date("$timestamp"), "$timestamp")},
                        due_since={"$min": _if({"$and": [_is_date("$due_at"), is_due]}, "$due_at")},
                    )
                ],
                "groups": [
                    {"$unwind": "$handler"},
                    {"$match": {"handler.state": "pending"}},
                    _summed("$handler.id", owned=_one_if(_IS_OWNED), waiting=_waiting("$handler.due_at", now)),
                    *LARGEST_GROUPS,
                ],
            }
        },
    ]


def _dead_stages() -> list[dict[str, Any]]:
    apart: list[dict[str, Any]] = [{"$unwind": "$handler"}, {"$match": {"handler.state": "dead"}}]
    return [
        {"$match": DEAD},
        {"$limit": MAX_COUNTED},
        {"$project": {"_id": 0, "handler": "$delivery.handlers"}},
        {
            "$facet": {
                "records": [{"$count": "n"}],
                "deliveries": [*apart, {"$count": "n"}],
                "groups": [*apart, _summed("$handler.id"), *LARGEST_GROUPS],
            }
        },
    ]


def _summed(key: str | None, **sums: Any) -> dict[str, Any]:
    return {"$group": {"_id": key, "n": {"$sum": 1}, **sums}}


def _waiting(due_at: str, now: datetime) -> dict[str, Any]:
    return _one_if({"$and": [{"$not": [_IS_OWNED]}, {"$gt": [due_at, now]}]})


def _one_if(condition: dict[str, Any]) -> dict[str, Any]:
    return {"$sum": {"$cond": [condition, 1, 0]}}


def _if(condition: dict[str, Any], value: str) -> dict[str, Any]:
    return {"$cond": [condition, value, None]}


def _is_date(path: str) -> dict[str, Any]:
    return {"$eq": [{"$type": path}, "date"]}


async def _first(log: Log, stages: Sequence[dict[str, Any]], index: str) -> Mapping[str, Any]:
    async with log.call() as connection:
        named = await hint(connection, index)
        cursor = await drivers.aggregate(connection.events, stages, allowDiskUse=True, **named)
        documents: list[Mapping[str, Any]] = await cursor.to_list(None)
    return documents[0] if documents else {}
