"""The indexes of the event log: their definitions, the comparison with a log's own, and their creation.

Each query of the product, with its index, hint and order, is in a table of `docs/explanation/architecture.md`.

A hint is needed because MongoDB considers a partial index only where a query names its filter and its first field or
sorts by that (https://jira.mongodb.org/browse/SERVER-26580). A hint of a partial index whose filter the query does not
contain is not an error but returns too few records: each hinted condition contains the filter.

No two indexes have the same keys: before MongoDB 5.0 they could not differ by their filter alone. None is ever dropped
here: workers of version 1 name theirs in hints.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.store import drivers, faults

if TYPE_CHECKING:
    from craft_easy.core.events.store.connection import LogConnection

log: Final = logging.getLogger("craft_easy.core.events")

BUILD_DEADLINE: Final = 3600.0
"""Seconds that the building of an index may take: it reads the whole log."""

_IN_ORDER: Final = (("timestamp", 1), ("event_id", 1))
_OPEN: Final = {"delivery.state": "open"}
_OWNED: Final = {"delivery.state": "open", "delivery.owner": {"$gt": ""}}
_DEAD: Final = {"delivery.handlers.state": "dead"}
_CANNOT_CREATE_INDEX: Final = 67
_REFUSALS: Final = frozenset({85, 86, 11000})
"""IndexOptionsConflict, IndexKeySpecsConflict, DuplicateKey: other indexes of the log can still be created."""


def _index(*keys: tuple[str, int], suffix: str = "", **options: Any) -> IndexModel:
    name = "_".join(f"{field}_{direction}" for field, direction in keys) + suffix
    return IndexModel(keys, name=name, **options)


_CLAIMS: Final = _index(
    *(("delivery.handlers.id", 1), ("delivery.handlers.state", 1), ("delivery.owner", 1)),
    *(("delivery.due_at", 1), ("_id", 1)),
    suffix="_open",
    partialFilterExpression=_OPEN,
)
INDEXES: Final[Sequence[IndexModel]] = (
    _index(("event_id", 1), unique=True, sparse=True),
    _index(("event_type", 1), *_IN_ORDER),
    _index(("tenant_id", 1), *_IN_ORDER),
    _index(*_IN_ORDER),
    _index(("correlation_id", 1), sparse=True),
    _CLAIMS,
    _index(*_IN_ORDER, ("tenant_id", 1), suffix="_open", partialFilterExpression=_OPEN),
    _index(("delivery.owner", 1), suffix="_owned", partialFilterExpression=_OWNED),
    _index(*_IN_ORDER, ("_id", 1), suffix="_dead", partialFilterExpression=_DEAD),
)
CLAIM_INDEX: Final = str(_CLAIMS.document["name"])
OPEN_INDEX: Final = "timestamp_1_event_id_1_tenant_id_1_open"
OWNER_INDEX: Final = "delivery.owner_1_owned"
DEAD_INDEX: Final = "timestamp_1_event_id_1__id_1_dead"

_OF_VERSION_1: Final[Sequence[IndexModel]] = (
    _index(("delivery.owner", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(("delivery.owner", 1), ("delivery.due_at", 1), suffix="_open", partialFilterExpression=_OPEN),
    _index(("tenant_id", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(*_IN_ORDER, suffix="_dead", partialFilterExpression=_DEAD),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The indexes of a log compared with those that it needs.

    Args:
        missing: names of those that the log lacks.
        in_the_way: names of other indexes with the name or the keys of a missing one, which cannot be created before
            they are dropped.
        foreign: names of indexes that no query here uses; each costs every event a write. Expiry indexes are left out:
            see `queries/doctor.py`.
        former: names of indexes of version 1, which may be dropped once no worker of that version runs.
    """

    missing: tuple[str, ...]
    in_the_way: tuple[str, ...]
    foreign: tuple[str, ...]
    former: tuple[str, ...] = ()


def compare(existing: Iterable[Mapping[str, Any]], *, sharded: bool = False) -> Comparison:
    """Compare indexes with those that the log needs.

    Args:
        existing: the specifications that the server lists.
        sharded: on a sharded collection no index but that of the shard key can be unique.
    """
    present = [index for index in existing if list(index["key"]) != ["_id"] and "expireAfterSeconds" not in index]
    lacking = missing(present, sharded=sharded)
    ours = [_shape(index.document, sharded=sharded) for index in INDEXES]
    others = [index for index in present if _shape(index, sharded=sharded) not in ours]
    in_the_way = [index for index in others if any(_is_in_the_way(index, model.document) for model in lacking)]
    version_1 = [_shape(index.document, sharded=sharded) for index in _OF_VERSION_1]
    former = [index for index in others if index not in in_the_way and _shape(index, sharded=sharded) in version_1]
    return Comparison(
        missing=tuple(index.document["name"] for index in lacking),
        in_the_way=tuple(str(index["name"]) for index in in_the_way),
        foreign=tuple(str(index["name"]) for index in others if index not in in_the_way and index not in former),
        former=tuple(str(index["name"]) for index in former),
    )


def _is_in_the_way(index: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return index["name"] == wanted["name"] or list(index["key"].items()) == list(wanted["key"].items())


def missing(existing: Iterable[Mapping[str, Any]], *, sharded: bool = False) -> list[IndexModel]:
    """Return the indexes that a collection lacks.

    Args:
        existing: the specifications that the server lists.
        sharded: on a sharded collection no index but that of the shard key can be unique.
    """
    shapes = [_shape(index, sharded=sharded) for index in existing]
    return [index for index in INDEXES if _shape(index.document, sharded=sharded) not in shapes]


def _shape(index: Mapping[str, Any], *, sharded: bool) -> tuple[Any, ...]:
    is_unique = bool(index.get("unique")) and not sharded
    return list(index["key"].items()), is_unique, bool(index.get("sparse")), index.get("partialFilterExpression")


# create


@dataclass(frozen=True, slots=True)
class BuiltIndexes:
    """The indexes that were created on a log, and by name the reasons why others could not be."""

    created: tuple[str, ...]
    refused: Mapping[str, str]


async def build(connection: LogConnection) -> BuiltIndexes:
    """Create the missing indexes, each on its own, so that one that cannot be created does not stop the others."""
    created, refused = list[str](), dict[str, str]()
    for index in await _missing(connection):
        name = str(index.document["name"])
        try:
            await create(connection.events, [index])
        except OperationFailure as error:
            if error.code not in _REFUSALS:
                raise
            refused[name] = faults.one_line(str((error.details or {}).get("errmsg") or error))
        else:
            created.append(name)
    connection.indexes = None
    return BuiltIndexes(tuple(created), refused)


async def ensure(connection: LogConnection) -> list[str]:
    """Create the missing indexes and return their names.

    Raises:
        StoreError: one of them cannot be created; the others were.
    """
    built = await build(connection)
    connection.is_prepared = True
    if built.refused:
        name, reason = next(iter(built.refused.items()))
        raise StoreError(f"the index {name} cannot be created: {reason}", hint="`craft-events doctor` names the cause")
    return list(built.created)


async def prepare(connection: LogConnection) -> None:
    """Create the indexes of a log that is new or empty; log one warning that names those that an old one lacks."""
    events = connection.events
    # in this order: a worker creates the indexes before it stores the first record, so a record implies the indexes
    is_empty = await events.find_one({}, {"_id": 1}) is None
    wanted = await _missing(connection)
    if is_empty:
        await create(events, wanted)
        connection.indexes = None
    else:
        _warn_once(connection, wanted)


async def create(collection: drivers.Collection, wanted: Sequence[IndexModel]) -> None:
    """Create indexes with one command; those that exist, or that another process is creating, stay as they are."""
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


async def compared(connection: LogConnection) -> Comparison:
    """Return how the indexes of the log compare with those that it needs; nothing is created."""
    existing = await drivers.list_indexes(connection.events)
    return compare(existing, sharded=drivers.is_sharded(connection.database))


async def _missing(connection: LogConnection) -> list[IndexModel]:
    existing = await drivers.list_indexes(connection.events)
    if len(existing) > 1 and not drivers.keeps_index_filters(connection.database):
        return []
    return missing(existing, sharded=drivers.is_sharded(connection.database))


# use


async def hint(connection: LogConnection, index: str | None) -> dict[str, Any]:
    """Return the options of a query that is to use an index; none if the log lacks it.

    An index of this name with another shape is not used: with a partial one with another filter MongoDB would return
    only the records in that index. If the index has been dropped, the query fails with `StoreUnavailable`, once.

    Args:
        connection: the connection of the running call.
        index: the name of the index; None for a query that needs none.
    """
    return {"hint": index} if index is not None and index in await _listed(connection) else {}


async def _listed(connection: LogConnection) -> frozenset[str]:
    if connection.indexes is not None:
        return connection.indexes
    # in this order, as in `prepare`: a record implies the indexes
    is_empty = await connection.events.find_one({}, {"_id": 1}) is None
    existing = await drivers.list_indexes(connection.events)
    if is_empty or not drivers.keeps_index_filters(connection.database):
        return frozenset()
    wanted = missing(existing, sharded=drivers.is_sharded(connection.database))
    _warn_once(connection, wanted)
    names = {str(index["name"]) for index in existing} - {index.document["name"] for index in wanted}
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
