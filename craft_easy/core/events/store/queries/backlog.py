"""The figures of the backlog alone, as often as a monitoring system asks for them.

Two scans, each over a partial index: what is open, and what is dead. Neither reads a payload or an error, and each
stops at `MAX_COUNTED` records, the oldest first, so that a look has a bound however large the backlog is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.filters import Condition
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX
from craft_easy.core.events.store.queries.stats import DEAD, MAX_NAME, OPEN
from craft_easy.core.events.store.read import scan

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

MAX_COUNTED: Final = 100_000
"""The number of records at which a count stops."""
_HANDLERS: Final = ("delivery.handlers.id", "delivery.handlers.state", "delivery.handlers.due_at")


@dataclass(slots=True)
class StandingCounts:
    """Counts of records, and of the deliveries of each handler.

    Args:
        now: the database's time.
        paused: the paused handlers, whose deliveries are not due.
        records: up to `MAX_COUNTED`.
        owned: the number of these that a worker owns.
        due: the number of these that a redispatch would claim now.
        oldest: the time of the oldest event.
        due_since: the due time of the delivery that has been due for the longest.
        pending: pending deliveries, by handler.
        pending_owned: the number of these whose record a worker owns.
        pending_due: the number of these that a redispatch would claim now.
        dead: dead deliveries, by handler.
    """

    now: datetime
    paused: Collection[str] = ()
    records: int = 0
    owned: int = 0
    due: int = 0
    oldest: datetime | None = None
    due_since: datetime | None = None
    pending: Counter[str] = field(default_factory=Counter)
    pending_owned: Counter[str] = field(default_factory=Counter)
    pending_due: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record; another program may have written anything into it."""
        delivery = record["delivery"]
        is_owned = isinstance(delivery.get("owner"), str) and bool(delivery["owner"])
        self.records += 1
        self.owned += is_owned
        self.oldest = _earlier(self.oldest, _time(record.get("timestamp")))
        due = [at for entry in _entries(delivery) if (at := self._add_entry(entry, is_owned=is_owned)) is not None]
        self.due += bool(due)
        self.due_since = _earlier(self.due_since, min(due, default=None))

    def _add_entry(self, entry: Mapping[str, Any], *, is_owned: bool) -> datetime | None:
        """Count a delivery; return its due time if a redispatch would claim it now."""
        name, state = _name(entry.get("id")), entry.get("state")
        self.dead[name] += state == "dead"
        if state != "pending":
            return None
        self.pending[name] += 1
        self.pending_owned[name] += is_owned
        due_at = _time(entry.get("due_at"))
        if is_owned or due_at is None or due_at > self.now or entry.get("id") in self.paused:
            return None
        self.pending_due[name] += 1
        return due_at


async def count_open(log: Log, now: datetime, paused: Collection[str] = ()) -> StandingCounts:
    """Count what is open, through the partial index alone."""
    return await _counted(log, StandingCounts(now, paused), OPEN, OPEN_INDEX, "timestamp", "delivery.owner")


async def count_dead(log: Log, now: datetime) -> StandingCounts:
    """Count what is dead, through the partial index alone; such a record may be open too."""
    return await _counted(log, StandingCounts(now), DEAD, DEAD_INDEX)


async def _counted(log: Log, counts: StandingCounts, condition: Condition, index: str, *more: str) -> StandingCounts:
    fields = (*more, *_HANDLERS)
    pages = scan(log, condition, order=None, fields=fields, limit=MAX_COUNTED, index=index, reads_ahead=True)
    async with aclosing(pages):
        async for page in pages:
            for record in page:
                counts.add(record)
    return counts


def _entries(delivery: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    handlers = delivery.get("handlers")
    return (entry for entry in (handlers if isinstance(handlers, list) else ()) if isinstance(entry, Mapping))


def _name(handler_id: object) -> str:
    """Return a handler's id, or what every command shows in place of one that is not a text."""
    name = handler_id if isinstance(handler_id, str) else read_envelope({"tenant_id": handler_id}).tenant_id
    return (name or "")[:MAX_NAME]


def _time(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    return min((at for at in (first, second) if at is not None), default=None)
