"""The queries of the doctor: counts by indexes, a sample of the events, and the indexes that remove records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pymongo import IndexModel

from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.filters import MALFORMED
from craft_easy.core.events.store.indexes import BUILD_DEADLINE, DEAD_INDEX, OPEN_INDEX, hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

SAMPLE: Final = 1_000
MAX_NAMED: Final = 5
EXPIRY_INDEX: Final = "delivery.finished_at_1_expires"
_EXPIRY_KEYS: Final = {"delivery.finished_at": 1}
_EXPIRY_FILTER: Final = {"delivery.state": "done"}
"""https://www.mongodb.com/docs/manual/core/index-ttl/"""
_HANDLERS: Final = {"$cond": [{"$isArray": "$delivery.handlers"}, {"$size": "$delivery.handlers"}, None]}


async def is_empty(store: Log) -> bool:
    """Return whether the log is empty."""
    async with store.call() as connection:
        return await connection.events.find_one({}, {"_id": 1}) is None


@dataclass(frozen=True, slots=True)
class Sample:
    """A random sample of the events.

    Args:
        events: the number of all events, as the server estimates it.
        looked_at: the size of the sample.
        untracked: the number in the sample without a delivery.
        unhandled: the number in the sample that had no handler when they were published.
    """

    events: int
    looked_at: int
    untracked: int
    unhandled: int


async def sample(store: Log, *, size: int = SAMPLE) -> Sample:
    """Sample events at random and describe them, without reading their payloads."""
    fields = {"delivery": {"$type": "$delivery"}, "state": "$delivery.state", "handlers": _HANDLERS}
    async with store.call(store.scan_timeout) as connection:
        events = await connection.events.estimated_document_count()
        cursor = await drivers.aggregate(connection.events, [{"$sample": {"size": size}}, {"$project": fields}])
        drawn: list[dict[str, Any]] = await cursor.to_list(None)
    return Sample(
        events=events,
        looked_at=len(drawn),
        untracked=sum(record.get("delivery") in ("missing", "null") for record in drawn),
        unhandled=sum(record.get("handlers") == 0 and record.get("state") == "done" for record in drawn),
    )


@dataclass(frozen=True, slots=True)
class MalformedRecords:
    """The number of malformed records, and the `_id`s of some; see `model.envelope.is_malformed`."""

    number: int
    ids: tuple[str, ...]


async def malformed(log: Log) -> MalformedRecords:
    """Count the malformed records; the server reads the whole log for it."""
    async with log.call(log.scan_timeout) as connection:
        number = await connection.events.count_documents(MALFORMED)
        named = await connection.events.find(MALFORMED, {"_id": 1}).limit(MAX_NAMED).to_list(None) if number else []
    return MalformedRecords(number, tuple(str(record["_id"]) for record in named))


@dataclass(frozen=True, slots=True)
class OwnedCount:
    """The number of open records with one owner, or with none (None), and the oldest of their times."""

    owner: Any
    records: int
    oldest: Any
    event_id: str | None

    @property
    def is_lost(self) -> bool:
        """True if no worker can find these records: their owner is neither missing nor a name."""
        return self.owner is not None and (not isinstance(self.owner, str) or not self.owner)


async def held(store: Log) -> list[OwnedCount]:
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
    async with store.call(store.scan_timeout) as connection:
        cursor = await drivers.aggregate(connection.events, stages, **await hint(connection, OPEN_INDEX))
        rows: list[dict[str, Any]] = await cursor.to_list(None)
    return [_held(row) for row in rows]


def _held(row: Mapping[str, Any]) -> OwnedCount:
    event_id = row.get("event_id")
    return OwnedCount(row["_id"], row["records"], row.get("oldest"), None if event_id is None else str(event_id))


async def dead(store: Log) -> int:
    """Return the number of records with a dead delivery, from the partial index over them."""
    async with store.call(store.scan_timeout) as connection:
        condition = {"delivery.handlers.state": "dead"}
        return int(await connection.events.count_documents(condition, **await hint(connection, DEAD_INDEX)))


@dataclass(frozen=True, slots=True)
class Expiry:
    """An index by which MongoDB removes records once the time in a field has a certain age.

    `is_safe` if it removes no open or dead records.
    """

    name: str
    field: str
    after: timedelta
    is_safe: bool


def expiries_among(existing: Iterable[Mapping[str, Any]]) -> list[Expiry]:
    """Return those of the listed indexes by which records are removed."""
    return [_expiry(index) for index in existing if "expireAfterSeconds" in index]


def _expiry(index: Mapping[str, Any]) -> Expiry:
    keys = dict(index["key"])
    is_safe = keys == _EXPIRY_KEYS and dict(index.get("partialFilterExpression") or {}) == _EXPIRY_FILTER
    after = timedelta(seconds=min(float(index["expireAfterSeconds"]), 2**31 - 1))
    return Expiry(str(index["name"]), next(iter(keys)), after, is_safe)


async def expiries(store: Log) -> list[Expiry]:
    """Return the indexes by which records of the log are removed."""
    async with store.call() as connection:
        return expiries_among(await drivers.list_indexes(connection.events))


def expiring_index(after: timedelta) -> IndexModel:
    """Return the index that removes done records at this age, counted from the end of their last delivery."""
    return IndexModel(
        list(_EXPIRY_KEYS.items()),
        name=EXPIRY_INDEX,
        expireAfterSeconds=int(after.total_seconds()),
        partialFilterExpression=_EXPIRY_FILTER,
    )


async def create_expiring_index(store: Log, after: timedelta) -> None:
    """Create that index; from then on MongoDB removes records, without regard to the events that caused them."""
    async with store.call(BUILD_DEADLINE) as connection:
        await connection.events.create_indexes([expiring_index(after)])


def shell_command(collection: str, after: timedelta) -> str:
    """Return the command that creates that index in MongoDB's shell."""
    return (
        f'db.getCollection("{collection}").createIndex({{"delivery.finished_at": 1}}, '
        f'{{name: "{EXPIRY_INDEX}", expireAfterSeconds: {int(after.total_seconds())}, '
        f'partialFilterExpression: {{"delivery.state": "done"}}}})'
    )


async def under_construction(store: Log) -> list[str]:
    """Return the names of indexes that the server is building now; none where it does not report them.

    https://www.mongodb.com/docs/manual/reference/operator/aggregation/indexStats/
    """
    with suppress(StoreError):
        async with store.call() as connection:
            cursor = await drivers.aggregate(connection.events, [{"$indexStats": {}}])
            indexes: list[dict[str, Any]] = await cursor.to_list(None)
        return sorted({str(index.get("name")) for index in indexes if index.get("building")})
    return []
