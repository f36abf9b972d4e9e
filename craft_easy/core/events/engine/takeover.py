"""Taking over: find the workers whose lease has expired, fence them, and free the records that they own.

A worker has *expired* once an observer has read the same heartbeat for that worker's whole lease, by the observer's own
clock, which counts suspension, and every read was answered. So the server's clock does not matter, and an outage of the
database causes no take-over of a living worker: the watch starts again with the next read that is answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import DeliveryReport, notify
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery, take_over
from craft_easy.core.events.store.deliveries import PendingChange, Tracked

if TYPE_CHECKING:
    from craft_easy.core.events.engine.owner import RecordOwner
    from craft_easy.core.events.store.worker_registry import WorkerEntry


FREED_AT_ONCE: Final = 100
"""The number of records that are freed with one write: few, so that a locked record delays few others."""
FREEING_S: Final = 5.0
"""Seconds after which such a write is split into one for each record, because one of them may be locked."""

log: Final = logging.getLogger("craft_easy.core.events")


@dataclass(frozen=True, slots=True)
class _Seen:
    entry: WorkerEntry
    since: float


@dataclass(slots=True)
class LeaseWatch:
    """Remembers for each worker when its last heartbeat was first read; times are seconds of `clock.steady`."""

    _seen: dict[str, _Seen] = field(default_factory=dict)

    def look(self, entries: Iterable[WorkerEntry], now: float) -> list[WorkerEntry]:
        """Process the entries of the registry and return the workers that have expired."""
        self._seen = {entry.owner: self._seen_since(entry, now) for entry in entries if not entry.fenced}
        return [seen.entry for seen in self._seen.values() if now - seen.since > seen.entry.lease]

    def _seen_since(self, entry: WorkerEntry, now: float) -> _Seen:
        before = self._seen.get(entry.owner)
        return before if before is not None and before.entry.beat_at == entry.beat_at else _Seen(entry, now)

    def left(self, entry: WorkerEntry, now: float) -> float:
        """Return the seconds after which the worker has expired, unless it sends a heartbeat."""
        seen = self._seen.get(entry.owner)
        return entry.lease if seen is None else max(0.0, seen.since + entry.lease - now)

    def start_again(self) -> None:
        """Start all watches again, because a read was not answered."""
        self._seen.clear()


class TakeOver:
    """Fences the workers that have expired and frees the records of every fenced or unknown owner.

    Args:
        record_owner: the worker that takes over; it never fences itself.
        clock: seconds that never jump and continue while the machine is suspended.
    """

    def __init__(self, record_owner: RecordOwner, *, clock: Callable[[], float] = steady) -> None:
        self._record_owner = record_owner
        self._clock = clock
        self._watch = LeaseWatch()
        self._unanswered = 0
        self.died = 0
        """Deliveries that became dead by the crash that a take-over counted."""

    async def once(self) -> int:
        """Look once, and return the number of freed records.

        The records of *every* fenced or unknown owner are freed, not only of those just fenced: an insert or a claim
        that was under way may be applied after the fence. The owners are read before the registry: a worker registers
        before it owns records, so an owner without an entry is gone.
        """
        try:
            owners = await self._record_owner.deliveries.owners()
        except StoreUnavailable:
            self._watch.start_again()
            raise
        entries = await self.look()
        me = self._record_owner.worker.owner  # it gives back its own records itself
        gone = [owner for owner in owners if owner != me and (owner not in entries or entries[owner].fenced)]
        return await self._free(gone) if gone else 0

    async def look(self) -> dict[str, WorkerEntry]:
        """Read the registry, fence the workers that have expired, and return all entries by owner.

        An unanswered heartbeat of this worker counts as an unanswered read: while this worker was too busy to read, the
        heartbeats of the others may not have been answered either.
        """
        if self._unanswered != self._record_owner.worker.unanswered:
            self._unanswered = self._record_owner.worker.unanswered
            self._watch.start_again()
        try:
            entries = await self._record_owner.registry.entries()
        except StoreUnavailable:
            self._watch.start_again()
            raise
        for entry in self._watch.look(entries.values(), self._clock()):
            if entry.owner != self._record_owner.worker.owner and await self._record_owner.registry.fence(entry):
                entries[entry.owner] = replace(entry, fenced=True)
                hooks.kill_point("takeover.fenced")
        return entries

    def left(self, entry: WorkerEntry) -> float:
        """Return the seconds after which a worker is taken over, unless it sends a heartbeat."""
        return self._watch.left(entry, self._clock())

    async def _free(self, gone: Sequence[str]) -> int:
        freed = 0
        async with aclosing(self._record_owner.deliveries.owned_by(gone, size=FREED_AT_ONCE)) as pages:
            async for page in pages:
                freed += await self._free_page(page)
                hooks.kill_point("takeover.freed")
        return freed

    async def _free_page(self, page: Sequence[Tracked]) -> int:
        at = self._record_owner.worker.now()
        before = [record.delivery for record in page]
        await self._change([PendingChange(record, _freed(record, at)) for record in page])
        freed = [
            (record, former)
            for record, former in zip(page, before, strict=True)
            if record.delivery.takeovers > former.takeovers
        ]
        for record, former in freed:
            for entry in _died(record.delivery, former):
                self.died += 1
                notify(self._record_owner.observers, DeliveryReport.of_crash(record, entry))
        return len(freed)

    async def _change(self, changes: Sequence[PendingChange]) -> None:
        """Write the changes; a record that a dead worker left locked in a transaction is freed by a later look."""
        deliveries = self._record_owner.deliveries
        try:
            await deliveries.change(changes, seconds=FREEING_S)
        except StoreUnavailable:
            if left := await deliveries.change_apart(changes):
                log.warning("%d records are locked by transactions that their workers left open", len(left))


def _freed(record: Tracked, at: datetime) -> Callable[[Delivery], Delivery]:
    owner = record.delivery.owner or ""
    return lambda delivery: take_over(delivery, owner, at=at)


def _died(delivery: Delivery, former: Delivery) -> list[HandlerDelivery]:
    """Return the deliveries that were not dead before."""
    dead = {entry.id for entry in former.handlers if entry.state == "dead"}
    return [entry for entry in delivery.handlers if entry.state == "dead" and entry.id not in dead]
