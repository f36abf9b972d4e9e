"""The deliveries of records: how they are listed, claimed, changed and taken over.

The protocol, from the insert of a record to its last outcome:

    insert      a publisher inserts the record open and owned by its own worker; an outbox inserts it unowned
    list        `unowned`: a redispatch lists the open records that have no owner, are due and have a pending delivery
                that may run there, by `(due_at, _id)`
    claim       `claim`: one write repeats all that the listing asked of fields that change, sets owner and claimed_at
                and adds 1 to rev. Two workers may list a record; one of them claims it. A read by owner returns what
                was claimed.
    change      `change`: outcomes, give-backs and take-overs are pure transitions of `model.delivery`. The record is
                written where its rev is the one that was read; otherwise it is read and the transition applied again
    close       the transition that leaves nothing pending clears the owner in the same write
    take over   `owners`, then the registry of workers, then `owned_by`: the records of an owner that is fenced or not
                registered are freed by a `change`

Nothing here depends on what a handler is: it deals in records and transitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pymongo
from pymongo import UpdateOne

from craft_easy.core.events.errors import RecordRefused, StoreError
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.envelope import EPOCH
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.append import InsertResult
from craft_easy.core.events.store.documents import from_document, key_of, to_document
from craft_easy.core.events.store.drivers import aggregate
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.filters import UNREDACTED, ClaimFilter, joined
from craft_easy.core.events.store.indexes import OWNER_INDEX, hint
from craft_easy.core.events.store.read import BY_DUE_TIME, WITHOUT_PAYLOAD, Page, scan
from craft_easy.core.events.store.sessions import TRY_S, end_overdue_transactions

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

Document = Mapping[str, Any]
Transition = Callable[[Delivery], Delivery]

UNOWNED: Final[dict[str, Any]] = {"delivery.state": "open", "delivery.owner": None}
OWNED: Final[dict[str, Any]] = {"delivery.state": "open", "delivery.owner": {"$gt": ""}}
LISTING_PAGE: Final = 1_000
BULK_WRITE_S: Final = 20.0
"""Seconds after which a write of many records is split: one of them may be locked."""
APART_S: Final = 1.0


@dataclass(eq=False, slots=True)
class Tracked:
    """A record and its delivery as they were last read or written."""

    document: Document
    delivery: Delivery
    id: Any = None
    """The `_id`, hashable also if its type is not."""

    def __post_init__(self) -> None:
        self.id = key_of(self.document)

    @classmethod
    def of(cls, document: Document) -> Tracked:
        return cls(document, _delivery_of(document))

    @property
    def is_tracked(self) -> bool:
        return self.document.get("delivery") is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """A record that may be claimed, and how often it was taken over from a worker that died."""

    id: Any
    takeovers: int


@dataclass(eq=False, slots=True)
class PendingChange:
    """A record and the transition that is to be applied to it."""

    record: Tracked
    transition: Transition


def _delivery_of(document: Document) -> Delivery:
    value = document.get("delivery")
    if type(value) is dict or isinstance(value, Mapping):  # the first is quick, and true of nearly all
        return from_document(value)
    return Delivery(state="done")


def _takeovers(document: Document) -> int:
    value = document.get("delivery", {}).get("takeovers")
    return value if isinstance(value, int) else 0


class Deliveries:
    """Reads and changes the deliveries of one event log."""

    def __init__(self, store: Log) -> None:
        self._store = store

    # list, claim

    async def unowned(self, wanted: ClaimFilter, *, size: int = LISTING_PAGE) -> AsyncGenerator[list[Listed], None]:
        """Yield what may be claimed, by `(due_at, _id)`, at most `size` records at a time.

        A record may be listed twice, for two of its handlers; the claim refuses one that is claimed already. No index
        is named: the query contains the filter and the first field of the one for claims.
        """
        fields = ("delivery.takeovers", "delivery.due_at")
        scans = [
            scan(self._store, chunk.unowned(), order=BY_DUE_TIME, fields=fields, size=size, indexed=chunk.indexed())
            for chunk in wanted.chunks()
        ]
        async with AsyncExitStack() as stack:
            for pages in scans:
                await stack.enter_async_context(aclosing(pages))
            async for page in _merged(scans, size):
                yield [Listed(key_of(document), _takeovers(document)) for document in page]

    async def claim(self, ids: Sequence[Any], condition: Document, *, owner: str, at: datetime) -> list[Tracked]:
        """Claim unowned records that still meet a condition; return them in the order of their ids.

        Args:
            ids: the `_id`s that a listing gave.
            condition: `ClaimFilter.claimable`.
            owner: the worker that claims.
            at: the database's time.
        """
        mine = {"$set": {"delivery.owner": owner, "delivery.claimed_at": at}, "$inc": {"delivery.rev": 1}}
        try:
            matched = await self._claim(ids, condition, mine)
        except RecordRefused:
            uncounted = {**condition, "delivery.rev": {"$not": {"$type": "number"}}}
            await self._claim(ids, uncounted, {"$set": {"delivery.rev": 0}})
            matched = await self._claim(ids, condition, mine)
        return await self._read_back(ids, owner) if matched else []

    async def _claim(self, ids: Sequence[Any], condition: Document, write: Document) -> int:
        async with self._store.call() as connection:
            if drivers.is_sharded(connection.database):
                # one write for each `_id`, of which each goes to one shard and can be retried
                writes = [UpdateOne({"_id": record_id, **condition}, write) for record_id in ids]
                return int((await connection.events.bulk_write(writes, ordered=False)).matched_count)
            return int(
                (await connection.events.update_many({"_id": {"$in": list(ids)}, **condition}, write)).matched_count
            )

    async def _read_back(self, ids: Sequence[Any], owner: str) -> list[Tracked]:
        async with self._store.call() as connection:
            documents = await connection.events.find({"_id": {"$in": list(ids)}, "delivery.owner": owner}).to_list(None)
        order = {record_id: place for place, record_id in enumerate(ids)}
        return sorted((Tracked.of(document) for document in documents), key=lambda record: order.get(record.id, 0))

    async def add(self, record: Tracked, delivery: Delivery) -> bool:
        """Begin to track a record that was stored without a delivery; return whether it was changed.

        A record that was given a delivery in the meantime keeps it; a redacted record gets none.
        """
        async with self._store.call() as connection:
            result = await connection.events.update_one(
                {"_id": record.id, "delivery": None, **UNREDACTED}, {"$set": {"delivery": to_document(delivery)}}
            )
        if result.matched_count:
            record.delivery = delivery
        return bool(result.matched_count)

    # change: the one rule

    async def change(self, changes: Sequence[PendingChange], *, seconds: float | None = None) -> None:
        """Apply a transition to each record: where another writer was faster, read it and apply it again.

        Afterwards each `record.delivery` is what the log holds. A record that is gone is left as it is.

        Args:
            changes: records and their transitions.
            seconds: the deadline of each call; None for the store's own.

        Raises:
            StoreUnavailable: it is not known which records were written; the same changes may be made again.
        """
        todo = list(changes)
        while todo:
            todo = await self._try(todo, seconds)

    async def change_apart(self, changes: Sequence[PendingChange]) -> list[PendingChange]:
        """Apply each transition with a write of its own; return the changes that were not written.

        A transaction of a process that died locks its record until the server ends it, after a minute. A write of many
        records waits for that lock; writes of one record each do not wait for each other.

        Raises:
            StoreUnavailable: the server answers no other call either: an outage, not a lock.
        """
        connection = await self._store.connection()
        await end_overdue_transactions(connection.database.client)
        left: list[PendingChange] = []
        for change in changes:
            try:
                await self.change([change], seconds=APART_S)
            except StoreError:
                await self._store.now()
                left.append(change)
        return left

    async def _try(self, changes: list[PendingChange], seconds: float | None) -> list[PendingChange]:
        steps = [(change, change.transition(change.record.delivery)) for change in changes]
        steps = [(change, after) for change, after in steps if after is not change.record.delivery]
        if not steps:
            return []
        if await self._write(steps, seconds) == len(steps):
            for change, after in steps:
                change.record.delivery = after
            return []
        return await self._look_again(steps)

    async def _write(self, steps: Sequence[tuple[PendingChange, Delivery]], seconds: float | None) -> int:
        writes = [
            (
                {"_id": change.record.id, "delivery.rev": same_revision(change.record.delivery.rev)},
                {"$set": {"delivery": to_document(after)}},
            )
            for change, after in steps
        ]
        async with self._store.call(seconds) as connection:
            if len(writes) == 1:
                return int((await connection.events.update_one(*writes[0])).matched_count)
            result = await connection.events.bulk_write([UpdateOne(*write) for write in writes], ordered=False)
        return int(result.matched_count)

    async def _look_again(self, steps: Sequence[tuple[PendingChange, Delivery]]) -> list[PendingChange]:
        stored = await self.read([change.record.id for change, _ in steps], fields=("delivery",))
        lost = []
        for change, after in steps:
            fresh = stored.get(change.record.id)
            if fresh is None:
                continue
            change.record.delivery = fresh.delivery
            if fresh.delivery != after:
                lost.append(change)
        return lost

    async def read(self, ids: Sequence[Any], *, fields: Sequence[str] | None = None) -> dict[Any, Tracked]:
        """Return the records with these `_id`s as the majority holds them, which no failover takes back.

        Args:
            ids: the `_id`s.
            fields: read only these; None reads whole records.
        """
        async with self._store.call() as connection:
            events = drivers.by_majority(connection.events)
            documents = await events.find({"_id": {"$in": list(ids)}}, fields).to_list(None)
        return {key_of(document): Tracked.of(document) for document in documents}

    # inside a transaction

    async def change_within(self, session: Any, client: Any, change: PendingChange) -> Delivery:
        """Apply a transition inside a transaction; return the delivery as the commit will store it.

        The record is read in the transaction, so that a concurrent write makes this one, or the commit, fail. An error
        of the transition is raised.

        Args:
            session: a session with a running transaction.
            client: the client of the session.
            change: the record, which stays as it is, and the transition.
        """
        connection = await self._store.connection()
        events = drivers.majority_collection(client[connection.database.name], self._store.name, CODEC)
        with pymongo.timeout(TRY_S):
            document = await events.find_one({"_id": change.record.id}, {"delivery": 1}, session=session)
            before = _delivery_of(document or {})
            after = change.transition(before)
            condition = {"_id": change.record.id, "delivery.rev": same_revision(before.rev)}
            await events.update_one(condition, {"$set": {"delivery": to_document(after)}}, session=session)
        return after

    async def insert_within(self, session: Any, client: Any, record: Tracked) -> bool:
        """Insert a record inside a transaction; return False where the same event is stored already.

        The log is searched first, since a duplicate would abort the whole transaction.

        Raises:
            EventConflict: another event is stored under its id.
        """
        connection = await self._store.connection()
        events = drivers.majority_collection(client[connection.database.name], self._store.name, CODEC)
        with pymongo.timeout(TRY_S):
            for condition in ({"_id": record.id}, {"event_id": record.document["event_id"]}):
                stored = await events.find_one(condition, session=session)
                if stored is not None:
                    InsertResult(record.document, stored=stored).check()
                    return False
            await events.insert_one(dict(record.document), session=session)
        return True

    # owners

    async def owners(self, wanted: ClaimFilter | None = None) -> dict[str, int]:
        """Return the owners of open records, of the wanted records or of all, each with the number that it owns."""
        condition = OWNED if wanted is None else joined(wanted.open(), OWNED)
        stages = [{"$match": condition}, {"$group": {"_id": "$delivery.owner", "records": {"$sum": 1}}}]
        async with self._store.call() as connection:
            options = await hint(connection, OWNER_INDEX)
            cursor = await aggregate(connection.events, stages, **options)
            rows: list[dict[str, Any]] = await cursor.to_list(None)
        # another program may have stored an array there, which is not a worker
        return {row["_id"]: row["records"] for row in rows if isinstance(row["_id"], str)}

    async def owned_by(self, owners: Sequence[str], *, size: int = LISTING_PAGE) -> AsyncGenerator[list[Tracked], None]:
        """Yield the open records of these workers, without their payloads, in any order."""
        condition = {**OWNED, "delivery.owner": {"$in": list(owners), "$gt": ""}}
        pages = scan(self._store, condition, order=None, fields=WITHOUT_PAYLOAD, size=size, index=OWNER_INDEX)
        async with aclosing(pages):
            async for page in pages:
                yield [Tracked.of(document) for document in page]

    async def matching(
        self, condition: dict[str, Any], *, size: int = LISTING_PAGE
    ) -> AsyncGenerator[list[Tracked], None]:
        """Yield the records that meet a condition of a `ClaimFilter`, in the order of history, without payloads."""
        async with aclosing(scan(self._store, condition, fields=WITHOUT_PAYLOAD, size=size)) as pages:
            async for page in pages:
                yield [Tracked.of(document) for document in page]


async def _merged(scans: Sequence[AsyncGenerator[Page, None]], size: int) -> AsyncGenerator[Page, None]:
    """Yield the records of several listings by due time, as one listing."""
    heads = [deque(await anext(scan, [])) for scan in scans]
    page: Page = []
    while any(heads):
        first = min((number for number, head in enumerate(heads) if head), key=lambda n: _due_time(heads[n][0]))
        page.append(heads[first].popleft())
        if not heads[first]:
            heads[first].extend(await anext(scans[first], []))
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def _due_time(document: Document) -> datetime:
    due_at = document["delivery"].get("due_at")
    return due_at if isinstance(due_at, datetime) else EPOCH


def same_revision(rev: int) -> int | dict[str, Any]:
    """Return the condition for a revision; another program may have stored none, or one that is not a number."""
    return rev or {"$not": {"$gt": 0}}
