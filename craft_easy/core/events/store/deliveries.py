"""What the engine reads and writes under `delivery`: listing, claiming, outcomes, take-overs.

Every change but a claim follows the one rule: a pure transition, written where `rev` is the one that was read. Claims
ask for open and unowned instead. Nothing here knows what a handler is; it deals in records and transitions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne

from craft_easy.core.events.delivery import Delivery
from craft_easy.core.events.store.delivery_document import from_document, to_document
from craft_easy.core.events.store.drivers import MAJORITY_READ, aggregate
from craft_easy.core.events.store.filters import ASCENDING, in_order, joined
from craft_easy.core.events.store.wanted import Wanted

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Document = Mapping[str, Any]
Transition = Callable[[Delivery], Delivery]

BATCH: Final = 1_000


@dataclass(eq=False, slots=True)
class Tracked:
    """A record and its delivery as they were last read or written."""

    document: Document
    delivery: Delivery

    @classmethod
    def of(cls, document: Document) -> Tracked:
        return cls(document, _delivery_of(document))

    @property
    def id(self) -> Any:
        return self.document["_id"]

    @property
    def is_tracked(self) -> bool:
        return self.document.get("delivery") is not None


@dataclass(eq=False, slots=True)
class Change:
    """A record and the transition that it is to go through."""

    record: Tracked
    transition: Transition


def _delivery_of(document: Document) -> Delivery:
    value = document.get("delivery")
    return from_document(value) if isinstance(value, Mapping) else Delivery(state="done")


class Deliveries:
    """Reads and changes the deliveries of one event log."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def change(self, changes: Sequence[Change]) -> None:
        """Put each record through its transition, reading again and applying again where another was faster.

        Afterwards each `record.delivery` is what the log holds. A record that is gone is left as it is.

        Raises:
            StoreUnavailable: nothing is known of the writes; the same changes may be made again.
        """
        todo = list(changes)
        while todo:
            todo = await self._try(todo)

    async def _try(self, changes: list[Change]) -> list[Change]:
        steps = [(one, one.transition(one.record.delivery)) for one in changes]
        steps = [(one, after) for one, after in steps if after is not one.record.delivery]
        if not steps:
            return []
        if await self._write(steps) == len(steps):
            for one, after in steps:
                one.record.delivery = after
            return []
        return await self._look_again(steps)

    async def _write(self, steps: Sequence[tuple[Change, Delivery]]) -> int:
        writes = [
            (
                {"_id": one.record.id, "delivery.rev": _same(one.record.delivery.rev)},
                {"$set": {"delivery": to_document(after)}},
            )
            for one, after in steps
        ]
        async with self._store.call() as site:
            if len(writes) == 1:
                return int((await site.events.update_one(*writes[0])).matched_count)
            result = await site.events.bulk_write([UpdateOne(*write) for write in writes], ordered=False)
        return int(result.matched_count)

    async def _look_again(self, steps: Sequence[tuple[Change, Delivery]]) -> list[Change]:
        stored = await self.read([one.record.id for one, _ in steps])
        lost = []
        for one, after in steps:
            fresh = stored.get(one.record.id)
            if fresh is None:
                continue
            one.record.delivery = fresh.delivery
            if fresh.delivery != after:
                lost.append(one)
        return lost

    async def read(self, ids: Sequence[Any]) -> dict[Any, Tracked]:
        """Return the records with these `_id`s as the majority holds them, which no failover takes back."""
        async with self._store.call() as site:
            events = site.events.with_options(read_concern=MAJORITY_READ)
            documents = await events.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: Tracked.of(document) for document in documents}

    async def unowned(self, wanted: Wanted, *, size: int = BATCH) -> AsyncGenerator[list[Any], None]:
        """Yield the `_id`s of the records that may be claimed, in order of `(timestamp, event_id)`, `size` at a time.

        One cursor lists them all: what was claimed meanwhile is refused by the claim, and nothing is listed twice.
        """
        async for documents in self._pages(wanted.unowned(), wanted.direction, {"_id": 1}, size):
            yield [document["_id"] for document in documents]

    async def claim(self, ids: Sequence[Any], wanted: Wanted, *, owner: str, at: datetime) -> list[Tracked]:
        """Make unowned records one's own, where the whole condition still holds, and return those that are."""
        async with self._store.call() as site:
            result = await site.events.update_many(
                {"_id": {"$in": list(ids)}, **wanted.unowned()},
                {"$set": {"delivery.owner": owner, "delivery.claimed_at": at}, "$inc": {"delivery.rev": 1}},
            )
        return await self._read_back(ids, wanted, owner) if result.matched_count else []

    async def _read_back(self, ids: Sequence[Any], wanted: Wanted, owner: str) -> list[Tracked]:
        async with self._store.call() as site:
            found = site.events.find({"_id": {"$in": list(ids)}, "delivery.owner": owner})
            documents = await found.sort(in_order(wanted.direction)).to_list(None)
        return [Tracked.of(document) for document in documents]

    async def count(self, wanted: Wanted) -> int:
        """Return how many records may be claimed now."""
        async with self._store.call() as site:
            return int(await site.events.count_documents(wanted.unowned()))

    async def owners(self, wanted: Wanted | None = None) -> dict[str, int]:
        """Return the owners of open records, of those wanted or of all, and how many each owns."""
        condition = OWNED if wanted is None else joined(wanted.open(), OWNED)
        group = [{"$match": condition}, {"$group": {"_id": "$delivery.owner", "records": {"$sum": 1}}}]
        return {row["_id"]: row["records"] for row in await self._aggregate(group)}

    async def owned_by(self, owners: Sequence[str], *, size: int = BATCH) -> AsyncGenerator[list[Tracked], None]:
        """Yield the open records of these workers."""
        condition = {"delivery.state": "open", "delivery.owner": {"$in": list(owners)}}
        async for documents in self._pages(condition, ASCENDING, None, size):
            yield [Tracked.of(document) for document in documents]

    async def orphans(self, wanted: Wanted) -> dict[str, int]:
        """Count the pending deliveries of the selected records whose handler is not loaded, by handler."""
        is_orphan = {"delivery.handlers.state": "pending", "delivery.handlers.id": {"$nin": list(wanted.loaded)}}
        stages: list[dict[str, Any]] = [
            {"$match": {**wanted.selected(), "delivery.state": "open"}},
            {"$project": {"delivery.handlers.id": 1, "delivery.handlers.state": 1}},
            {"$unwind": "$delivery.handlers"},
            {"$match": is_orphan},
            {"$group": {"_id": "$delivery.handlers.id", "deliveries": {"$sum": 1}}},
        ]
        return {str(row["_id"]): row["deliveries"] for row in await self._aggregate(stages)}

    async def matching(self, condition: dict[str, Any], *, size: int = BATCH) -> AsyncGenerator[list[Tracked], None]:
        """Yield the records that meet a condition of a `Wanted`, in order."""
        async for documents in self._pages(condition, ASCENDING, None, size):
            yield [Tracked.of(document) for document in documents]

    async def add(self, record: Tracked, delivery: Delivery) -> bool:
        """Begin to track a record that was stored without a delivery; one that has got one meanwhile keeps it."""
        async with self._store.call() as site:
            result = await site.events.update_one(
                {"_id": record.id, "delivery": None}, {"$set": {"delivery": to_document(delivery)}}
            )
        if result.matched_count:
            record.delivery = delivery
        return bool(result.matched_count)

    async def _pages(
        self, condition: dict[str, Any], direction: int, projection: dict[str, int] | None, size: int
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        async with self._store.call() as site:
            cursor = site.events.find(condition, projection, batch_size=size).sort(in_order(direction))
            page = await cursor.to_list(size)
        try:
            while page:
                yield page
                async with self._store.call() as site:
                    page = await cursor.to_list(size)
        finally:
            await cursor.close()

    async def _aggregate(self, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with self._store.call() as site:
            cursor = await aggregate(site.events, stages)
            return list(await cursor.to_list(None))


OWNED: Final[dict[str, Any]] = {"delivery.state": "open", "delivery.owner": {"$gt": ""}}


def _same(rev: int) -> int | dict[str, Any]:
    """Match a revision; a record of another writer may have none."""
    return rev or {"$in": [0, None]}
