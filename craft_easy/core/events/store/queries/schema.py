"""The queries about event classes: the newest events of a type, and the number of stored ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.store import read

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

MAX_COUNTED: Final = 100_000
_FIELDS: Final = ("event_id", "event_type", "tenant_id", "actor_id", "payload", "timestamp", "redacted")
_PAGE: Final = 200
"""Payloads can be large, and most samples are small."""


def newest(log: Log, event_type: str, number: int) -> AsyncGenerator[read.Page, None]:
    """Yield the newest events of a type, page by page and newest first, by the index on types."""
    condition = {"event_type": event_type}
    return read.scan(log, condition, fields=_FIELDS, reverse=True, limit=number, size=min(number, _PAGE))


async def number_of(log: Log, event_type: str) -> int:
    """Return the number of stored events of a type, at most `MAX_COUNTED`, from the index on types."""
    async with log.call(log.scan_timeout) as connection:
        return int(await connection.events.count_documents({"event_type": event_type}, limit=MAX_COUNTED))
