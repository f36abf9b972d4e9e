"""Letting MongoDB remove records by itself: which indexes do so, and the one that may.

https://www.mongodb.com/docs/manual/core/index-ttl/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pymongo import IndexModel

from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.indexes import BUILD_DEADLINE

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

NAME: Final = "delivery.finished_at_1_expires"
_KEYS: Final = {"delivery.finished_at": 1}
_DONE: Final = {"delivery.state": "done"}


@dataclass(frozen=True, slots=True)
class Expiry:
    """An index by which records are removed, so long after the time that it is over.

    `is_safe` where it touches nothing that is open or dead.
    """

    name: str
    field: str
    after: timedelta
    is_safe: bool


def among(existing: Iterable[Mapping[str, Any]]) -> list[Expiry]:
    """Return the indexes with these specifications by which records are removed."""
    return [_expiry(one) for one in existing if "expireAfterSeconds" in one]


def _expiry(index: Mapping[str, Any]) -> Expiry:
    keys = dict(index["key"])
    is_safe = keys == _KEYS and dict(index.get("partialFilterExpression") or {}) == _DONE
    after = timedelta(seconds=min(float(index["expireAfterSeconds"]), 2**31 - 1))
    return Expiry(str(index["name"]), next(iter(keys)), after, is_safe)


async def expiries(store: EventStore) -> list[Expiry]:
    """Return the indexes by which records of the log are removed."""
    async with store.call() as site:
        return among(await drivers.list_indexes(site.events))


def expiring_index(after: timedelta) -> IndexModel:
    """Return the index by which done records are removed so long after their last delivery ended."""
    return IndexModel(
        list(_KEYS.items()),
        name=NAME,
        expireAfterSeconds=int(after.total_seconds()),
        partialFilterExpression=_DONE,
    )


async def create(store: EventStore, after: timedelta) -> None:
    """Create that index; from then on MongoDB removes records, without a look at what they caused."""
    async with store.call(BUILD_DEADLINE) as site:
        await site.events.create_indexes([expiring_index(after)])


def shell_command(collection: str, after: timedelta) -> str:
    """Return what creates that index in MongoDB's shell."""
    return (
        f'db.getCollection("{collection}").createIndex({{"delivery.finished_at": 1}}, '
        f'{{name: "{NAME}", expireAfterSeconds: {int(after.total_seconds())}, '
        f'partialFilterExpression: {{"delivery.state": "done"}}}})'
    )
