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
_IS_UNOWNED: Final = {"$not": [_IS_OWNED]}


@dataclass(frozen=True, slots=True)
class OpenOfHandler:
    """The pending deliveries of a handler, and of them those that a worker owns, and those that wait."""

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
        waiting: the number of these that are unowned, and of which no delivery is due that is not paused.
        oldest: the time of the oldest event.
        due_since: the due time of the unowned delivery that has been due for the longest, unless it is paused.
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


async def count_open(log: Log, now: datetime, paused: Sequence[str] = ()) -> OpenCounts:
    """Count what is open, from the partial index alone; the deliveries of paused handlers wait."""
    answer = await _first(log, _open_stages(now, paused), OPEN_INDEX)
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


def _open_stages(now: datetime, paused: Sequence[str]) -> list[dict[str, Any]]:
    fields = {"_id": 0, "timestamp": 1, "owner": "$delivery.owner", "handler": "$delivery.handlers"}
    is_waiting = {"$or": [{"$gt": ["$handler.due_at", now]}, {"$in": ["$handler.id", list(paused)]}]}
    return [
        {"$match": OPEN},
        {"$limit": MAX_COUNTED},
        {"$project": {**fields, "due": _due(now, paused)}},
        {
            "$facet": {
                "all": [
                    _summed(
                        None,
                        owned=_one_if(_IS_OWNED),
                        waiting=_one_if({"$and": [_IS_UNOWNED, {"$eq": [{"$size": "$due"}, 0]}]}),
                        oldest={"$min": _if(_is_date("$timestamp"), "$timestamp")},
                        due_since={"$min": _if(_IS_UNOWNED, {"$min": "$due"})},
                    )
                ],
                "groups": [
                    {"$unwind": "$handler"},
                    {"$match": {"handler.state": "pending"}},
                    _summed(
                        "$handler.id", owned=_one_if(_IS_OWNED), waiting=_one_if({"$and": [_IS_UNOWNED, is_waiting]})
                    ),
                    *LARGEST_GROUPS,
                ],
            }
        },
    ]


def _due(now: datetime, paused: Sequence[str]) -> dict[str, Any]:
    """Return the due times of a record's deliveries that are due; another program may have written no array."""
    handlers = {"$cond": [{"$isArray": "$delivery.handlers"}, "$delivery.handlers", []]}
    is_due = [
        {"$eq": ["$$one.state", "pending"]},
        _is_date("$$one.due_at"),
        {"$lte": ["$$one.due_at", now]},
        {"$not": [{"$in": ["$$one.id", list(paused)]}]},
    ]
    due = {"$filter": {"input": handlers, "as": "one", "cond": {"$and": is_due}}}
    return {"$map": {"input": due, "as": "one", "in": "$$one.due_at"}}


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


def _one_if(condition: dict[str, Any]) -> dict[str, Any]:
    return {"$sum": {"$cond": [condition, 1, 0]}}


def _if(condition: dict[str, Any], value: Any) -> dict[str, Any]:
    return {"$cond": [condition, value, None]}


def _is_date(path: str) -> dict[str, Any]:
    return {"$eq": [{"$type": path}, "date"]}


async def _first(log: Log, stages: Sequence[dict[str, Any]], index: str) -> Mapping[str, Any]:
    async with log.call() as connection:
        named = await hint(connection, index)
        cursor = await drivers.aggregate(connection.events, stages, allowDiskUse=True, **named)
        documents: list[Mapping[str, Any]] = await cursor.to_list(None)
    return documents[0] if documents else {}
