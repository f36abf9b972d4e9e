"""Bringing a log's indexes about, and telling how those that it has compare with those that it needs."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.store import drivers, indexes

if TYPE_CHECKING:
    from pymongo import IndexModel

    from craft_easy.core.events.store.event_store import EventStore, LogConnection

log: Final = logging.getLogger("craft_easy.core.events")

BUILD_DEADLINE: Final = 3600.0
"""Seconds that the building of an index may take: it reads the whole log."""


async def ensure(store: EventStore) -> list[str]:
    """Create the indexes that are missing and return their names."""
    async with store.call(BUILD_DEADLINE) as site:
        wanted = await _missing(site)
        await indexes.create(site.events, wanted)
        site.is_prepared = True
    return [index.document["name"] for index in wanted]


async def prepare(store: EventStore) -> None:
    """Create the indexes of a log that is new or empty; name those that an old one lacks."""
    async with store.call(store.scan_timeout) as site:
        # in this order: who creates indexes does so before the first record, so a record means that they are there
        is_empty = await site.events.find_one({}, {"_id": 1}) is None
        wanted = await _missing(site)
        if is_empty:
            await indexes.create(site.events, wanted)
        elif wanted:
            log.warning(
                "%s.%s lacks %d of its indexes (%s): run `craft-events doctor --fix`",
                store.database_name,
                store.name,
                len(wanted),
                ", ".join(index.document["name"] for index in wanted),
            )


async def compared(store: EventStore) -> indexes.Comparison:
    """Return how the indexes of the log compare with those that it needs; nothing is created."""
    async with store.call() as site:
        existing = await drivers.list_indexes(site.events)
        sharded = drivers.is_sharded(site.database)
    return indexes.compare(existing, sharded=sharded)


async def under_construction(store: EventStore) -> list[str]:
    """Return the names of indexes that the server is building now; none where it does not tell.

    https://www.mongodb.com/docs/manual/reference/operator/aggregation/indexStats/
    """
    with suppress(StoreError):
        async with store.call() as site:
            cursor = await drivers.aggregate(site.events, [{"$indexStats": {}}])
            found: list[dict[str, Any]] = await cursor.to_list(None)
        return sorted({str(one.get("name")) for one in found if one.get("building")})
    return []


async def _missing(site: LogConnection) -> list[IndexModel]:
    existing = await drivers.list_indexes(site.events)
    if drivers.is_mock(site.database) and len(existing) > 1:
        return []  # it does not keep which of them are partial
    return indexes.missing(existing, sharded=drivers.is_sharded(site.database))
