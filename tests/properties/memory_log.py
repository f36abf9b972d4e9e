"""The event log as a few dicts with the one rule: a change is written only if `rev` is still the one that was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.deliveries import LISTING_PAGE, PendingChange, Tracked
from craft_easy.core.events.store.filters import ClaimFilter
from craft_easy.core.events.store.worker_registry import WorkerEntry
from tests.properties.network import Network, Wire

START: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)


@dataclass(eq=False)
class Clock:
    """Seconds of this machine's steady clock, and the offset of the database's clock."""

    seconds: float = 0.0
    database_is_ahead: float = 0.0

    def steady(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        """Return the database's time."""
        return START + timedelta(seconds=self.seconds + self.database_is_ahead)


class Records(Protocol):
    """The operations of a process on records."""

    async def insert(self, event_id: str, delivery: Delivery) -> Tracked | None: ...
    async def unowned_ids(self, handlers: Sequence[str], *, at: datetime) -> list[Any]: ...
    async def claim_for(
        self, handlers: Sequence[str], ids: Sequence[Any], *, owner: str, at: datetime
    ) -> list[Tracked]: ...
    async def change(self, changes: Sequence[PendingChange], *, seconds: float | None = None) -> None: ...
    async def owners(self) -> dict[str, int]: ...
    def owned_by(self, owners: Sequence[str], *, size: int = LISTING_PAGE) -> AsyncIterator[list[Tracked]]: ...
    async def find(self, event_id: str) -> Tracked | None: ...
    def id_of(self, event_id: str) -> Any: ...


class Registry(Protocol):
    """The operations of a process on the registry of workers."""

    async def register(self, owner: str, *, lease: float) -> datetime: ...
    async def beat(self, owner: str) -> datetime | None: ...
    async def entries(self) -> dict[str, WorkerEntry]: ...
    async def fence(self, entry: WorkerEntry) -> bool: ...
    async def remove(self, owner: str) -> None: ...


class Log(Protocol):
    """A log that processes reach over a network, and that the machine reads directly."""

    network: Network

    def records(self, wire: Wire) -> Records: ...
    def registry(self, wire: Wire) -> Registry: ...
    def peek(self) -> dict[str, Delivery]: ...
    def peek_workers(self) -> dict[str, WorkerEntry]: ...
    def close(self) -> None: ...


@dataclass(eq=False)
class MemoryLog:
    """Records by event id, workers by owner."""

    network: Network
    clock: Clock
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    inserted_at: dict[str, datetime] = field(default_factory=dict)
    workers: dict[str, WorkerEntry] = field(default_factory=dict)

    def records(self, wire: Wire) -> MemoryRecords:
        return MemoryRecords(self, wire)

    def registry(self, wire: Wire) -> MemoryRegistry:
        return MemoryRegistry(self, wire)

    def peek(self) -> dict[str, Delivery]:
        return dict(self.deliveries)

    def peek_workers(self) -> dict[str, WorkerEntry]:
        return dict(self.workers)

    def close(self) -> None:
        self.network.close()
        self.network.loop.close()

    def insert(self, event_id: str, delivery: Delivery) -> bool:
        self.inserted_at.setdefault(event_id, self.clock.now())
        return self.deliveries.setdefault(event_id, delivery) is delivery

    def write(self, event_id: str, rev: int, delivery: Delivery) -> bool:
        if self.deliveries[event_id].rev != rev:
            return False
        self.deliveries[event_id] = delivery
        return True

    def unowned(self, handlers: Sequence[str], at: datetime) -> list[str]:
        condition = wanted(handlers, at)
        return [one for one, delivery in self.deliveries.items() if condition.may_claim(delivery, "x")]

    def claim(self, handlers: Sequence[str], ids: Sequence[str], owner: str, at: datetime) -> int:
        condition = wanted(handlers, at)
        free = [one for one in ids if condition.may_claim(self.deliveries[one], "x")]
        for one in free:
            before = self.deliveries[one]
            self.deliveries[one] = replace(before, owner=owner, claimed_at=at, rev=before.rev + 1)
        return len(free)

    def read(self, ids: Iterable[str]) -> dict[Any, Tracked]:
        return {one: self.tracked(one) for one in ids if one in self.deliveries}

    def tracked(self, event_id: str) -> Tracked:
        document = {"_id": event_id, "event_id": event_id, "timestamp": self.inserted_at[event_id], "delivery": {}}
        return Tracked(document, self.deliveries[event_id])

    def owned_by(self, owners: Sequence[str]) -> list[Tracked]:
        owned = [one for one, delivery in self.deliveries.items() if delivery.is_open and delivery.owner in owners]
        return list(self.read(owned).values())

    def owners(self) -> dict[str, int]:
        return dict(Counter(one.owner for one in self.deliveries.values() if one.is_open and one.owner is not None))

    def register(self, owner: str, lease: float) -> datetime:
        at = self.clock.now()
        entry = self.workers.get(owner) or WorkerEntry(owner, "host", 1, at, at, lease, fenced=False)
        self.workers[owner] = replace(entry, beat_at=at)
        return at

    def beat(self, owner: str) -> datetime | None:
        entry = self.workers.get(owner)
        if entry is None or entry.fenced:
            return None
        self.workers[owner] = replace(entry, beat_at=self.clock.now())
        return self.workers[owner].beat_at

    def fence(self, seen: WorkerEntry) -> bool:
        entry = self.workers.get(seen.owner)
        if entry is None or entry.fenced or entry.beat_at != seen.beat_at:
            return False
        self.workers[seen.owner] = replace(entry, fenced=True)
        return True


def wanted(handlers: Sequence[str], now: datetime) -> ClaimFilter:
    """Return the claim filter of a run that starts now with these handlers loaded, ignoring earlier claims."""
    began_at = now + timedelta(milliseconds=1)
    patterns = dict.fromkeys(handlers, ("*",))
    return ClaimFilter(Selection(), handlers=patterns, loaded=patterns, began_at=began_at)


@dataclass(eq=False)
class MemoryRecords:
    """The interface of `store.deliveries.Deliveries`, call by call."""

    log: MemoryLog
    wire: Wire

    async def insert(self, event_id: str, delivery: Delivery) -> Tracked | None:
        def insert() -> Tracked | None:
            return self.log.tracked(event_id) if self.log.insert(event_id, delivery) else None

        return await self.wire.send(insert)

    async def unowned_ids(self, handlers: Sequence[str], *, at: datetime) -> list[Any]:
        return await self.wire.send(lambda: self.log.unowned(handlers, at))

    async def claim_for(
        self, handlers: Sequence[str], ids: Sequence[Any], *, owner: str, at: datetime
    ) -> list[Tracked]:
        if not await self.wire.send(lambda: self.log.claim(handlers, ids, owner, at)):
            return []
        return await self.wire.send(lambda: [one for one in self.log.owned_by([owner]) if one.id in ids])

    async def change(self, changes: Sequence[PendingChange], *, seconds: float | None = None) -> None:
        for one in changes:
            await self._change(one)

    async def _change(self, change: PendingChange) -> None:
        record = change.record
        while (after := change.transition(record.delivery)) is not record.delivery:
            if await self._write(record, after):
                record.delivery = after
                return
            stored = await self.find(record.id)
            if stored is None:
                return
            record.delivery = stored.delivery
            if stored.delivery == after:
                return

    async def _write(self, record: Tracked, after: Delivery) -> bool:
        rev = record.delivery.rev
        return await self.wire.send(lambda: self.log.write(record.id, rev, after))

    async def change_apart(self, changes: Sequence[PendingChange]) -> list[PendingChange]:
        left = []
        for one in changes:
            try:
                await self._change(one)
            except StoreUnavailable:
                left.append(one)
        return left

    async def owners(self) -> dict[str, int]:
        return await self.wire.send(self.log.owners)

    async def owned_by(self, owners: Sequence[str], *, size: int = LISTING_PAGE) -> AsyncIterator[list[Tracked]]:
        owned = await self.wire.send(lambda: self.log.owned_by(owners))
        for start in range(0, len(owned), size):
            yield owned[start : start + size]

    async def find(self, event_id: str) -> Tracked | None:
        return (await self.wire.send(lambda: self.log.read([event_id]))).get(event_id)

    def id_of(self, event_id: str) -> Any:
        return event_id


@dataclass(eq=False)
class MemoryRegistry:
    """The interface of `store.worker_registry.WorkerRegistry`."""

    log: MemoryLog
    wire: Wire

    async def register(self, owner: str, *, lease: float) -> datetime:
        return await self.wire.send(lambda: self.log.register(owner, lease))

    async def beat(self, owner: str) -> datetime | None:
        return await self.wire.send(lambda: self.log.beat(owner))

    async def entries(self) -> dict[str, WorkerEntry]:
        return await self.wire.send(lambda: dict(self.log.workers))

    async def fence(self, entry: WorkerEntry) -> bool:
        return await self.wire.send(lambda: self.log.fence(entry))

    async def remove(self, owner: str) -> None:
        await self.wire.send(lambda: self.log.workers.pop(owner, None))
