"""The indexes of the event log: what they are, which are missing, and how they come to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from craft_easy.core.events.store import drivers

_IN_ORDER: Final = (("timestamp", 1), ("event_id", 1))
_OPEN: Final = {"delivery.state": "open"}
_DEAD: Final = {"delivery.handlers.state": "dead"}
_CANNOT_CREATE_INDEX: Final = 67


def _index(*keys: tuple[str, int], suffix: str = "", **options: Any) -> IndexModel:
    name = "_".join(f"{field}_{direction}" for field, direction in keys) + suffix
    return IndexModel(keys, name=name, **options)


INDEXES: Final[Sequence[IndexModel]] = (
    _index(("event_id", 1), unique=True, sparse=True),
    _index(("event_type", 1), *_IN_ORDER),
    _index(("tenant_id", 1), *_IN_ORDER),
    _index(*_IN_ORDER),
    _index(("delivery.owner", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(("delivery.owner", 1), ("delivery.due_at", 1), suffix="_open", partialFilterExpression=_OPEN),
    _index(("tenant_id", 1), *_IN_ORDER, suffix="_open", partialFilterExpression=_OPEN),
    _index(*_IN_ORDER, suffix="_dead", partialFilterExpression=_DEAD),
)
"""Two of the partial ones repeat the keys of a full one: MongoDB tells them apart by their filter (since 5.0)."""


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
