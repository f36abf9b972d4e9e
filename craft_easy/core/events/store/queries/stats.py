"""Figures that the server counts: no payload leaves it, and what comes back does not grow with the log.

Three kinds of question, each one pass and one answer:

    open     of open records, through the partial index over them and nothing else
    dead     of records with a dead delivery, the same
    slice    of all records of a slice of time, through the index over `timestamp`

Each also counts the errors that the records keep (the last five of a delivery) by when they happened: an open or a
dead record's whenever it was published, a done one's with its slice. The three have no such record in common.

The partial indexes are named (`hint`): MongoDB considers an index only if a query uses its first field or asks
for its order (SERVER-26580); otherwise it reads the whole log. And it would choose a tenant's history over the few dead
records of all. Times stand as literals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.figures import Bars
from craft_easy.core.events.model.selection import Selection, up_to_millisecond
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.filters import Condition, joined, selection_filter
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

By = Literal["handler", "type", "tenant", "error"]
Measure = Literal["median", "mean"]
Stage = dict[str, Any]

OPEN: Final[Condition] = {"delivery.state": "open"}
DEAD: Final[Condition] = {"delivery.handlers.state": "dead"}

MAX_GROUPS: Final = 1_000
"""The number of groups, the largest, that one question returns."""
MAX_NAME: Final = 200
"""The length at which a name is cut: another writer may have left a type of a megabyte."""
NEWEST: Final = 10_000
"""Durations are those of the newest events of the window, so that a look at a large one stays cheap."""
_PERCENTILE_SINCE: Final = 7
"""The major version of MongoDB that brought `$percentile`."""

_APART: Final[Stage] = {"$unwind": "$handler"}
_OF_RECORD: Final[Mapping[By, str]] = {"type": "event_type", "tenant": "tenant_id"}
_LAST_ERROR: Final = {
    "$let": {
        "vars": {"last": {"$cond": [{"$isArray": "$handler.errors"}, {"$arrayElemAt": ["$handler.errors", -1]}, None]}},
        "in": "$$last.type",
    }
}
_OF_DELIVERY: Final[Mapping[By, Any]] = {
    "handler": "$handler.id",
    "error": {"$ifNull": ["$handler.reason", _LAST_ERROR]},
}
_OF_ERROR: Final[Mapping[By, str]] = {"handler": "$id", "error": "$error.type"}
_NAMES: Final = ("event_id", "event_type", "tenant_id")
_IS_OWNED: Final = {"$gt": ["$owner", ""]}


@dataclass(frozen=True, slots=True)
class Question:
    """Of which records figures are wanted, what the members of a group share, and in which bars errors are counted.

    Args:
        selection: its window, limit and states are not looked at.
        by: what a group shares.
        bars: the window of time.
        now: the database's time.
    """

    selection: Selection
    by: By
    bars: Bars
    now: datetime

    @property
    def selected(self) -> Condition:
        return selection_filter(replace(self.selection, since=None, until=None, states=()))

    @property
    def of_record(self) -> str | None:
        """The field of a record that a group shares; None where it is of a delivery."""
        return _OF_RECORD.get(self.by)


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """A group of records or deliveries and its size; `waiting` of them are not due yet."""

    name: str | None
    number: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of one pass.

    Args:
        number: of records; of dead deliveries in a pass over the dead.
        owned: of them, those that a worker owns.
        waiting: of them, those that are unowned and not due yet.
        oldest: the fields of the oldest of them.
        groups: the largest, largest first; of records by type and tenant, otherwise of deliveries.
        failed_at: errors by the number of the bar in which they happened.
        failed_by: errors by what the members of a group share.
    """

    number: int = 0
    owned: int = 0
    waiting: int = 0
    oldest: Mapping[str, Any] | None = None
    groups: Sequence[GroupCounts] = ()
    failed_at: Mapping[int, int] = field(default_factory=dict)
    failed_by: Mapping[str | None, int] = field(default_factory=dict)


async def count_open(store: Log, question: Question) -> Counted:
    """Count what is open, from the partial index alone."""
    return await _counted(store, open_stages(question), OPEN_INDEX)


async def count_dead(store: Log, question: Question) -> Counted:
    """Count the deliveries that are dead, from the partial index alone."""
    return await _counted(store, dead_stages(question), DEAD_INDEX)


@dataclass(frozen=True, slots=True)
class Durations:
    """The duration of the last run of each delivery, in milliseconds, by handler.

    `measure` is the median; the mean where the server is older than MongoDB 7, which has no median.
    """

    measure: Measure = "median"
    by_handler: Mapping[str | None, float] = field(default_factory=dict)


async def durations(log: Log, question: Question) -> Durations:
    """Return how long deliveries took, of the newest events of the window."""
    async with log.call(log.scan_timeout) as connection:
        version = (await drivers.resolved(connection.database.command("buildInfo")))["version"]
        measure: Measure = "median" if int(version.partition(".")[0]) >= _PERCENTILE_SINCE else "mean"
        cursor = await drivers.aggregate(connection.events, duration_stages(question, measure), allowDiskUse=True)
        rows: list[Mapping[str, Any]] = await cursor.to_list(None)
    return Durations(measure, {name_of(row): _milliseconds(row["took"]) for row in rows})


def _milliseconds(took: Any) -> float:
    value = took[0] if isinstance(took, list) else took
    return float(f"{value:.3g}")


async def count_slice(store: Log, question: Question, since: datetime, until: datetime) -> Counted:
    """Count the events of a slice of time."""
    return await _counted(store, slice_stages(question, since, until))


def open_stages(question: Question) -> list[Stage]:
    """Return the question about what is open."""
    waiting = {"$and": [{"$not": [_IS_OWNED]}, {"$gt": ["$due_at", question.now]}]}
    facets = {
        "all": [_summed(None, owned=_one_if(_IS_OWNED), waiting=_one_if(waiting))],
        "oldest": [
            {"$match": {"$expr": _is_date("$timestamp")}},
            {"$sort": {"timestamp": 1, "event_id": 1}},
            {"$limit": 1},
            {"$project": {"timestamp": 1, **{name: _short(f"${name}") for name in _NAMES}}},
        ],
        "groups": _groups(question, "pending"),
        **_failures(question, {}),
    }
    lifted = _lifted("timestamp", *_NAMES, owner="$delivery.owner", due_at="$delivery.due_at")
    return [{"$match": joined(OPEN, question.selected)}, lifted, {"$facet": facets}]


def dead_stages(question: Question) -> list[Stage]:
    """Return the question about what is dead; a record may be open while one of its deliveries is dead."""
    facets = {
        "all": [_APART, {"$match": {"handler.state": "dead"}}, _summed(None)],
        "groups": [_APART, {"$match": {"handler.state": "dead"}}, _summed(_key(question)), *_LARGEST],
        **_failures(question, {"handler.state": {"$ne": "pending"}}),
    }
    return [{"$match": joined(DEAD, question.selected)}, _lifted(question.of_record), {"$facet": facets}]


def slice_stages(question: Question, since: datetime, until: datetime) -> list[Stage]:
    """Return the question about a slice of time."""
    within = selection_filter(replace(question.selection, since=since, until=until, states=()))
    is_done = {"handler.state": {"$nin": ["pending", "dead"]}}
    facets = {"all": [{"$count": "n"}], "groups": _groups_over_time(question), **_failures(question, is_done)}
    wanted = {name: stages for name, stages in facets.items() if stages}
    return [{"$match": within}, _lifted(question.of_record), {"$facet": wanted}]


def duration_stages(question: Question, measure: Measure) -> list[Stage]:
    """Return the question about how long deliveries took."""
    bars = question.bars
    within = selection_filter(replace(question.selection, since=bars.since, until=bars.until, states=()))
    took = "$handler.took_ms"
    median = {"$percentile": {"input": took, "p": [0.5], "method": "approximate"}}
    return [
        {"$match": within},
        {"$sort": {"timestamp": -1, "event_id": -1}},
        {"$limit": NEWEST},
        _lifted(),
        _APART,
        {"$match": {"handler.took_ms": {"$type": "number"}}},
        {"$group": {"_id": "$handler.id", "n": {"$sum": 1}, "took": median if measure == "median" else {"$avg": took}}},
        *_LARGEST,
    ]


def _lifted(*fields: str | None, **others: str) -> Stage:
    """Move the array of handlers to the top level, so that unwinding it copies little."""
    kept = {name: 1 for name in fields if name is not None}
    return {"$project": {"_id": 0, **kept, "handler": "$delivery.handlers", **others}}


def _key(question: Question) -> Any:
    """Return what the members of a group share: of a record, or of a delivery that was taken apart."""
    return _OF_DELIVERY[question.by] if question.of_record is None else f"${question.of_record}"


def _summed(key: Any, **sums: Any) -> Stage:
    return {"$group": {"_id": key, "n": {"$sum": 1}, **{name: {"$sum": value} for name, value in sums.items()}}}


def _is_date(path: str) -> Stage:
    """Return the condition for a date, which a query cannot tell from an array of dates."""
    return {"$eq": [{"$type": path}, "date"]}


def _one_if(condition: Any) -> Stage:
    return {"$cond": [condition, 1, 0]}


def _short(path: str) -> Stage:
    """Return a name cut to a fixed length; a value that is not a text has none."""
    kind = {"$type": path}
    is_text = {"case": {"$eq": [kind, "string"]}, "then": {"$substrCP": [path, 0, MAX_NAME]}}
    is_large = {"case": {"$in": [kind, ["object", "array", "binData"]]}, "then": {"$concat": ["(", kind, ")"]}}
    return {"$switch": {"branches": [is_text, is_large], "default": path}}


_LARGEST: Final[Sequence[Stage]] = (
    {"$sort": {"n": -1}},
    {"$limit": MAX_GROUPS},
    {"$set": {"_id": _short("$_id")}},
)


def _groups(question: Question, state: str) -> list[Stage]:
    """Group open records, or what is pending of them."""
    due_at = "$handler.due_at" if question.of_record is None else "$due_at"
    waiting = _one_if({"$and": [{"$not": [_IS_OWNED]}, {"$gt": [due_at, question.now]}]})
    apart = [_APART, {"$match": {"handler.state": state}}] if question.of_record is None else []
    return [*apart, _summed(_key(question), waiting=waiting), *_LARGEST]


def _groups_over_time(question: Question) -> list[Stage]:
    if question.of_record is not None:
        return [_summed(_key(question)), *_LARGEST]
    if question.by == "error":
        return []
    return [_APART, _summed("$handler.id"), *_LARGEST]


def _failures(question: Question, condition: Condition) -> dict[str, list[Stage]]:
    """Count the errors that records in a certain condition keep."""
    bars = question.bars
    within = {"$gte": up_to_millisecond(bars.since), "$lt": up_to_millisecond(bars.until)}
    kept = {} if question.of_record is None else {question.of_record: 1}
    each: list[Stage] = [
        {"$match": {"handler.errors.at": within, **condition}},
        _APART,
        {"$project": {**kept, "id": "$handler.id", "error": "$handler.errors"}},
        {"$unwind": "$error"},
        {"$match": {"error.at": within}},
    ]
    passed = {"$subtract": ["$error.at", bars.origin]}
    number = {"$toInt": {"$floor": {"$divide": [passed, bars.width / timedelta(milliseconds=1)]}}}
    key = _OF_ERROR.get(question.by, f"${question.of_record}")
    return {
        "failed_at": [*each, _summed({"$cond": [_is_date("$error.at"), number, None]})],
        "failed_by": [*each, _summed(key), *_LARGEST],
    }


async def _counted(store: Log, stages: Sequence[Stage], index: str | None = None) -> Counted:
    async with store.call(store.scan_timeout) as connection:
        return _read(await _first(connection.events, stages, **await hint(connection, index)))


async def _first(events: drivers.Collection, stages: Sequence[Stage], **options: Any) -> Mapping[str, Any]:
    cursor = await drivers.aggregate(events, stages, allowDiskUse=True, **options)
    documents: list[Mapping[str, Any]] = await cursor.to_list(None)
    return documents[0] if documents else {}


def _read(answer: Mapping[str, Any]) -> Counted:
    """Read the one document that a question is answered with."""
    total: Mapping[str, Any] = next(iter(answer.get("all", ())), {})
    return Counted(
        number=total.get("n", 0),
        owned=total.get("owned", 0),
        waiting=total.get("waiting", 0),
        oldest=next(iter(answer.get("oldest", ())), None),
        groups=[_group(row) for row in answer.get("groups", ())],
        failed_at={row["_id"]: row["n"] for row in answer.get("failed_at", ()) if row["_id"] is not None},
        failed_by=_by_name(answer.get("failed_by", ())),
    )


def _group(row: Mapping[str, Any]) -> GroupCounts:
    return GroupCounts(name_of(row), row["n"], row.get("waiting", 0))


def _by_name(rows: Sequence[Mapping[str, Any]]) -> Mapping[str | None, int]:
    counts: Counter[str | None] = Counter()
    for row in rows:
        counts[name_of(row)] += row["n"]
    return counts


def name_of(row: Mapping[str, Any]) -> str | None:
    """Return a group's name as text, as every command shows a value that is not a text."""
    return read_envelope({"tenant_id": row.get("_id")}).tenant_id
