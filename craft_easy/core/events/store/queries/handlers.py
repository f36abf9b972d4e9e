"""The queries about handlers: the event types of a log, and the backlog of one handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.connection import LogConnection
from craft_easy.core.events.store.filters import Condition, DeliveryFilter
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log


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
