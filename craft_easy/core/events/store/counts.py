"""The counts of open records that may be claimed, that wait for their back-off, or whose handler is not loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.filters import ClaimFilter, Condition, DeliveryFilter
from craft_easy.core.events.store.indexes import CLAIM_INDEX, hint
from craft_easy.core.events.store.read import scan

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

MAX_COUNTED: Final = 10_001
"""The number at which a count stops: people read it, and the server should not read a whole backlog for it."""
_EARLIEST: Final = 100
"""The number of records among which the first due time is searched."""


async def count_unowned(log: Log, wanted: ClaimFilter) -> int:
    """Return the number of records that may be claimed now; `MAX_COUNTED` stands for any larger number too."""
    return await _count(log, wanted.unowned())


async def count_waiting(log: Log, wanted: ClaimFilter, *, at: datetime) -> tuple[int, datetime | None]:
    """Return the number of unowned records that wait for their back-off, up to `MAX_COUNTED`, and the first due time.

    Args:
        log: the event log.
        wanted: the records and handlers.
        at: the database's time; a delivery that is due later waits.
    """
    condition = wanted.waiting(at)
    number = await _count(log, condition)
    return number, await _first_due(log, wanted, condition, at) if number else None


async def count_pending(log: Log, selection: Selection, handlers: Sequence[str]) -> int:
    """Return the number of selected events with a pending delivery of one of these handlers, up to `MAX_COUNTED`."""
    if not handlers:
        return 0
    condition = DeliveryFilter(selection, tuple(handlers)).having("pending")
    async with log.call() as connection:
        options = await hint(connection, CLAIM_INDEX)
        return int(await connection.events.count_documents(condition, limit=MAX_COUNTED, **options))


async def _count(log: Log, condition: Condition) -> int:
    async with log.call() as connection:
        return int(await connection.events.count_documents(condition, limit=MAX_COUNTED))


async def _first_due(log: Log, wanted: ClaimFilter, condition: Condition, at: datetime) -> datetime | None:
    fields = {"delivery.handlers.id": 1, "delivery.handlers.state": 1, "delivery.handlers.due_at": 1}
    async with log.call() as connection:
        cursor = connection.events.find(condition, fields).sort("delivery.due_at", 1).limit(_EARLIEST)
        documents = await cursor.to_list(None)
    entries = [entry for document in documents for entry in Tracked.of(document).delivery.pending]
    times = [entry.due_at for entry in entries if entry.id in wanted.handlers and entry.due_at is not None]
    return min((time for time in times if time > at), default=None)


async def orphans(log: Log, wanted: ClaimFilter, *, paused: Collection[str] = ()) -> dict[str, int]:
    """Count the pending deliveries of the selected records that no handler of this process may run, by handler id.

    Every such id is in the result. Counting stops at `MAX_COUNTED` records, so a count from there on means "at least".

    Args:
        log: the event log.
        wanted: the records, and the handlers that are loaded.
        paused: handlers that are left out, since nothing is to run them now.
    """
    total: Counter[str] = Counter()
    while counted := await _orphans_besides(log, wanted, {*total, *paused}):
        total |= counted
        if counted.total() < MAX_COUNTED:
            break
    return dict(total)


async def _orphans_besides(log: Log, wanted: ClaimFilter, named: Iterable[str]) -> Counter[str]:
    """Count the orphans of up to `MAX_COUNTED` records, apart from those of handlers that are named already."""
    fields, left_out = ("event_type", "delivery.handlers.id", "delivery.handlers.state"), set(named)
    condition, counted = wanted.orphaned(left_out), Counter[str]()
    pages = scan(log, condition, order=None, fields=fields, limit=MAX_COUNTED, index=CLAIM_INDEX)
    async with aclosing(pages):
        async for page in pages:
            for document in page:
                event_type, pending = str(document.get("event_type")), Tracked.of(document).delivery.pending
                ids = {entry.id for entry in pending if wanted.is_orphan(entry, event_type)}
                counted.update(ids - left_out)
    return counted
