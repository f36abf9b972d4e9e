"""The queries about handlers: the event types of a log, and the backlog of one handler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.connection import LogConnection
from craft_easy.core.events.store.filters import Condition, DeliveryFilter
from craft_easy.core.events.store.indexes import CLAIM_INDEX, DEAD_INDEX, OPEN_INDEX, hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

NEWEST: Final = 1_000
"""The number of newest, and of dead, records whose handlers count as known."""
_HANDLER_IDS: Final = {"_id": 0, "delivery.handlers.id": 1}


async def event_types(store: Log) -> list[str]:
    """Return every event type of the log, by the index that begins with it."""
    async with store.call(store.scan_timeout) as connection:
        types = await connection.events.distinct("event_type")
    return sorted({str(event_type) for event_type in types if event_type is not None})


@dataclass(frozen=True, slots=True)
class HandlerBacklog:
    """The numbers of pending and dead deliveries of a handler."""

    pending: int
    dead: int


async def of_handler(store: Log, names: tuple[str, ...]) -> HandlerBacklog:
    """Count the pending and dead deliveries of a handler, from the partial indexes.

    Args:
        store: the event log.
        names: its id and its aliases.
    """
    chosen = DeliveryFilter(Selection(), names)
    async with store.call(store.scan_timeout) as connection:
        pending = await _counted(connection, chosen.having("pending"), OPEN_INDEX)
        dead = await _counted(connection, chosen.having("dead"), DEAD_INDEX)
    return HandlerBacklog(pending, dead)


async def _counted(connection: LogConnection, condition: Condition, index: str) -> int:
    return int(await connection.events.count_documents(condition, **await hint(connection, index)))


async def is_unfinished(store: Log, handler_id: str) -> bool:
    """Return whether an open or dead record names a handler, by the partial indexes."""
    named = {"delivery.handlers.id": handler_id}
    conditions = (
        ({"delivery.state": "open", **named}, CLAIM_INDEX),
        ({"delivery.handlers.state": "dead", **named}, DEAD_INDEX),
    )
    async with store.call(store.scan_timeout) as connection:
        for condition, index in conditions:
            options = await hint(connection, index)
            if await connection.events.find_one(condition, {"_id": 1}, **options) is not None:
                return True
    return False


async def known_handlers(store: Log) -> set[str]:
    """Return the ids of the handlers that the newest and the first dead records name."""
    async with store.call(store.scan_timeout) as connection:
        events = connection.events
        dead = {"delivery.handlers.state": "dead"}
        newest = await events.find({}, _HANDLER_IDS).sort("timestamp", -1).limit(NEWEST).to_list(None)
        options = await hint(connection, DEAD_INDEX)
        died = await events.find(dead, _HANDLER_IDS, **options).limit(NEWEST).to_list(None)
    return {name for record in (*newest, *died) for name in _names_of(record)}


def _names_of(record: dict[str, Any]) -> Sequence[str]:
    handlers = (record.get("delivery") or {}).get("handlers")
    listed = handlers if isinstance(handlers, list) else []
    return [one["id"] for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)]
