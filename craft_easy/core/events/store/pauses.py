"""The paused handlers: `{_id: handler id, paused_at, by, until, reason}`, in a collection of their own.

Every worker reads them with its heartbeats, so that a pause needs no process to be told. All times are the database's.
The collection is created by the first pause; one that does not exist holds none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.pause import Pause

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

MAX_PAUSES: Final = 1_000
"""The maximum number of pauses that are read: a heartbeat reads them, and must end in time."""


def pauses_of(documents: Iterable[Mapping[str, Any]]) -> tuple[Pause, ...]:
    """Return the pauses in stored documents; one of another program whose `_id` is not a text pauses nothing."""
    return tuple(Pause.of(document) for document in documents if isinstance(document["_id"], str))


class HandlerPauses:
    """Reads and changes the pauses of one event log."""

    def __init__(self, store: Log) -> None:
        self._store = store

    async def read(self) -> tuple[Pause, ...]:
        """Return the stored pauses by handler id, including those whose time is over."""
        async with self._store.call() as connection:
            documents = await connection.handlers.find({}).sort("_id", 1).limit(MAX_PAUSES).to_list(None)
        return pauses_of(documents)

    async def current(self) -> tuple[Pause, ...]:
        """Return the pauses that hold now, by the database's time."""
        stored = await self.read()
        if not stored:
            return ()
        now = await self._store.now()
        return tuple(pause for pause in stored if pause.holds(now))

    async def put(self, pause: Pause) -> None:
        """Store a pause in place of any other of its handler."""
        fields = {"paused_at": pause.paused_at, "by": pause.by, "until": pause.until, "reason": pause.reason}
        async with self._store.call() as connection:
            await connection.handlers.replace_one({"_id": pause.handler}, fields, upsert=True)

    async def remove(self, handler_id: str) -> Pause | None:
        """Remove the pause of a handler; return it, or None if there was none."""
        async with self._store.call() as connection:
            document = await connection.handlers.find_one_and_delete({"_id": handler_id})
        return None if document is None else Pause.of(document)

    async def forget(self, *, at: datetime) -> None:
        """Remove the pauses whose time was over at `at`."""
        async with self._store.call() as connection:
            await connection.handlers.delete_many({"until": {"$lte": at}})
