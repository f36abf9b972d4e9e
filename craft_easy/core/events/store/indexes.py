"""The indexes of the event log: what they are, which are missing, and how they come to be."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from craft_easy.core.events.store import drivers

if TYPE_CHECKING:
    from craft_easy.core.events.store.connection import LogConnection

Answer = TypeVar("Answer")

log: Final = logging.getLogger("craft_easy.core.events")

BUILD_DEADLINE: Final = 3600.0
"""Seconds that the building of an index may take: it reads the whole log."""

_IN_ORDER: Final = (("timestamp", 1), ("event_id", 1))
_OPEN: Final = {"delivery.state": "open"}
_DEAD: Final = {"delivery.handlers.state": "dead"}
_BAD_VALUE: Final = 2
_CANNOT_CREATE_INDEX: Final = 67


def _index(*keys: tuple[str, int], suffix: str = "", **options: Any) -> IndexModel:
    name = "_".join(f"{field}_{direction}" for field, direction in keys) + suffix
    return IndexModel(keys, name=name, **options)


INDEXES: Final[Sequence[IndexModel]] = (
    _index(("event_id", 1), unique=True, sparse=True),
    _index(("event_type", 1), *_IN_ORDER),
    _index(("tenant_id", 1), *_IN_ORDER),
    _index(*_IN_ORDER),
    _index(("correlation_id", 1), sparse=True),
    _index(("delivery.owner", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(("delivery.owner", 1), ("delivery.due_at", 1), suffix="_open", partialFilterExpression=_OPEN),
    _index(("tenant_id", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(*_IN_ORDER, suffix="_dead", partialFilterExpression=_DEAD),
)
"""Two of the partial ones repeat the keys of a full one: MongoDB tells them apart by their filter (since 5.0)."""
OPEN_INDEX: Final = "delivery.owner_1_timestamp_1_event_id_1_open"
OPEN_INDEX_OF_TENANTS: Final = "tenant_id_1_timestamp_1_event_id_1_open"
DEAD_INDEX: Final = "timestamp_1_event_id_1_dead"
"""Named in a hint where a query does not speak of an index's first field, and MongoDB would not consider it.

https://jira.mongodb.org/browse/SERVER-26580
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the indexes of a log compare with those that it needs.

    Args:
        missing: names of those that it lacks.
        in_the_way: names of indexes that have the name, or the keys, of a missing one and are another: they must be
            dropped before it can be created.
        foreign: names of indexes that nothing here asks for; each costs a write to every event. One that lets records
            expire is none: see `expiry`.
    """

    missing: tuple[str, ...]
    in_the_way: tuple[str, ...]
    foreign: tuple[str, ...]


def compare(existing: Iterable[Mapping[str, Any]], *, sharded: bool = False) -> Comparison:
    """Return how indexes with these specifications compare with those that the log needs.

    Args:
        existing: what the server lists.
        sharded: on a sharded collection no index but that of the shard key can be unique.
    """
    there = [one for one in existing if list(one["key"]) != ["_id"] and "expireAfterSeconds" not in one]
    lacking = missing(there, sharded=sharded)
    ours = [_shape(index.document, sharded=sharded) for index in INDEXES]
    others = [one for one in there if _shape(one, sharded=sharded) not in ours]
    in_the_way = [one for one in others if any(_is_in_the_way(one, index.document) for index in lacking)]
    return Comparison(
        missing=tuple(index.document["name"] for index in lacking),
        in_the_way=tuple(str(one["name"]) for one in in_the_way),
        foreign=tuple(str(one["name"]) for one in others if one not in in_the_way),
    )


def _is_in_the_way(index: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return index["name"] == wanted["name"] or list(index["key"].items()) == list(wanted["key"].items())


def missing(existing: Iterable[Mapping[str, Any]], *, sharded: bool = False) -> list[IndexModel]:
    """Return the indexes that a collection with these specifications lacks.

    Args:
        existing: what the server lists.
        sharded: on a sharded collection no index but that of the shard key can be unique.
    """
    there = [_shape(one, sharded=sharded) for one in existing]
    return [index for index in INDEXES if _shape(index.document, sharded=sharded) not in there]


def _shape(index: Mapping[str, Any], *, sharded: bool) -> tuple[Any, ...]:
    is_unique = bool(index.get("unique")) and not sharded
    return list(index["key"].items()), is_unique, bool(index.get("sparse")), index.get("partialFilterExpression")


async def create(collection: drivers.Collection, wanted: Sequence[IndexModel]) -> None:
    """Create indexes in one pass; those that exist, or that another process is creating, are left to be."""
    if not wanted:
        return
    try:
        await collection.create_indexes(list(wanted))
    except OperationFailure as error:
        if error.code != _CANNOT_CREATE_INDEX:
            raise
        # a sharded collection: the derived `_id` guards uniqueness there
        await collection.create_indexes([_not_unique(index) for index in wanted])


def _not_unique(index: IndexModel) -> IndexModel:
    document = {name: value for name, value in index.document.items() if name not in ("key", "unique")}
    return IndexModel(list(index.document["key"].items()), **document)


async def ensure(connection: LogConnection) -> list[str]:
    """Create the indexes that are missing and return their names."""
    wanted = await _missing(connection)
    await create(connection.events, wanted)
    connection.is_prepared, connection.indexes = True, None
    return [index.document["name"] for index in wanted]


async def prepare(connection: LogConnection) -> None:
    """Create the indexes of a log that is new or empty; name those that an old one lacks."""
    events = connection.events
    # in this order: who creates indexes does so before the first record, so a record means that they are there
    is_empty = await events.find_one({}, {"_id": 1}) is None
    wanted = await _missing(connection)
    if is_empty:
        await create(events, wanted)
        connection.indexes = None
    else:
        _warn_once(connection, wanted)


async def with_hint(connection: LogConnection, index: str | None, ask: Callable[..., Awaitable[Answer]]) -> Answer:
    """Return the answer to a question that is to go through an index, or goes without where the log lacks it.

    An index of this name that is another is not used: through a partial one with another filter MongoDB would return
    only what that index holds.

    Args:
        connection: of the running call.
        index: its name; None for a question that needs none.
        ask: takes `hint`, or nothing.
    """
    if index is None or index not in await _listed(connection):
        return await ask()
    try:
        return await ask(hint=index)
    except OperationFailure as error:
        if error.code != _BAD_VALUE:
            raise
        connection.indexes = None  # it was dropped meanwhile
        return await ask()


async def _listed(connection: LogConnection) -> frozenset[str]:
    if connection.indexes is not None:
        return connection.indexes
    # in this order, as in `prepare`: a record means that they are there
    is_empty = await connection.events.find_one({}, {"_id": 1}) is None
    existing = await drivers.list_indexes(connection.events)
    if is_empty or not drivers.keeps_index_filters(connection.database):
        return frozenset()
    wanted = missing(existing, sharded=drivers.is_sharded(connection.database))
    _warn_once(connection, wanted)
    names = {str(one["name"]) for one in existing} - {index.document["name"] for index in wanted}
    connection.indexes = frozenset(names)
    return connection.indexes


def _warn_once(connection: LogConnection, wanted: Sequence[IndexModel]) -> None:
    if not wanted or connection.has_warned:
        return
    connection.has_warned = True
    log.warning(
        "%s.%s lacks %d of its indexes (%s): run `craft-events doctor --fix`",
        connection.database.name,
        connection.events.name,
        len(wanted),
        ", ".join(index.document["name"] for index in wanted),
    )


async def compared(connection: LogConnection) -> Comparison:
    """Return how the indexes of the log compare with those that it needs; nothing is created."""
    existing = await drivers.list_indexes(connection.events)
    return compare(existing, sharded=drivers.is_sharded(connection.database))


async def _missing(connection: LogConnection) -> list[IndexModel]:
    existing = await drivers.list_indexes(connection.events)
    if len(existing) > 1 and not drivers.keeps_index_filters(connection.database):
        return []
    return missing(existing, sharded=drivers.is_sharded(connection.database))
