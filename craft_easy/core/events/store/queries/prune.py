"""The queries of pruning: the old records, exact copies of them, and their removal.

A record may be removed when it is done and old enough, and was not published by a handler of an event that is open or
dead: a retry of that would publish it again. It is removed only if it was not changed since it was copied.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, ReplaceOne
from pymongo.errors import BulkWriteError

from craft_easy.core.events import hooks
from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.delivery import HandlerState
from craft_easy.core.events.model.envelope import is_malformed
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, read
from craft_easy.core.events.store.append import MAX_NAMED
from craft_easy.core.events.store.documents import from_document, record_event_id, record_id, same_content
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.filters import Condition, joined, selection_filter
from craft_easy.core.events.store.formats import event_json, extended_json
from craft_easy.core.events.store.read import WITHOUT_PAYLOAD

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

Record = Mapping[str, Any]

PRUNE_PAGE: Final = 500
"""The number of records that are copied and then removed together; fewer where they are large."""
MAX_BYTES: Final = 16_000_000
RAW: Final = CODEC.with_options(document_class=RawBSONDocument)
_UNFINISHED: Final[frozenset[HandlerState]] = frozenset({"pending", "dead"})
_HEAD: Final = 4
"""Bytes of a BSON document before its first element: its length (https://bsonspec.org/spec.html)."""
_LISTED: Final = (*WITHOUT_PAYLOAD, "causation_id")


@dataclass(frozen=True, slots=True)
class Old:
    """The condition for old records.

    Args:
        before: the event's own time is before this, and so is the time when it was done, where that is known.
        selection: further conditions and a limit; its window and its states are ignored.
        include_untracked: also records without a delivery, which may or may not have been handled.
    """

    before: datetime
    selection: Selection = field(default_factory=Selection)
    include_untracked: bool = False

    def condition(self) -> Condition:
        """Return the condition for an old record."""
        selection = replace(self.selection, since=None, until=self.before, states=(), limit=None, reverse=False)
        return joined(selection_filter(selection), self._may_go())

    def _may_go(self) -> Condition:
        done: Condition = {
            "delivery.state": {"$eq": "done"},
            "delivery.finished_at": {"$not": {"$gte": self.before}},
        }
        return {"$or": [done, {"delivery": {"$eq": None}}]} if self.include_untracked else done

    def has(self, record: Record) -> bool:
        """Return whether a record that was listed may still be removed."""
        delivery = record.get("delivery")
        if isinstance(delivery, Mapping):
            return delivery.get("state") == "done"
        return self.include_untracked and delivery is None


@dataclass(eq=False, slots=True)
class Copy:
    """A record as it is stored, to the byte."""

    document: RawBSONDocument

    @property
    def id(self) -> Any:
        value = self.document["_id"]
        return bson.decode(value.raw, CODEC) if isinstance(value, RawBSONDocument) else value

    @property
    def key(self) -> bytes:
        """Its `_id` as BSON, which is hashable for an `_id` of any type."""
        return bson.encode({"_id": self.document["_id"]}, codec_options=CODEC)

    @property
    def data(self) -> bytes:
        """Its BSON."""
        return bytes(self.document.raw)

    @property
    def event_id(self) -> str:
        return record_event_id(self.document)

    def still(self) -> Condition:
        """Return the condition that the record was not changed since it was copied."""
        delivery = self.document.get("delivery")
        if isinstance(delivery, Mapping):
            rev = delivery.get("rev")
            return {"_id": self.id, "delivery.rev": {"$eq": rev}, "delivery.state": "done"}
        return {"_id": self.id, "delivery": {"$eq": None}, "redacted": {"$eq": self.document.get("redacted")}}


async def count(store: Log, old: Old) -> int:
    """Return the number of old records, including those that a retry of their parent would publish again."""
    async with store.call(store.scan_timeout) as connection:
        return int(await connection.events.count_documents(old.condition()))


async def listed(store: Log, old: Old) -> AsyncGenerator[list[dict[str, Any]], None]:
    """Yield the old records, oldest first, without their payload; the limit is ignored."""
    async with aclosing(read.scan(store, old.condition(), fields=_LISTED, size=PRUNE_PAGE)) as pages:
        async for page in pages:
            yield [record for record in page if not is_malformed(record)]


async def without_open_parents(store: Log, records: Sequence[Record]) -> list[Record]:
    """Return the records whose cause is neither open nor dead, so that no handler can publish them again."""
    causes = {cause for record in records if _is_key(cause := record.get("causation_id"))}
    unfinished = await _unfinished(store, causes) if causes else frozenset()
    return [record for record in records if not _is_key(cause := record.get("causation_id")) or cause not in unfinished]


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, int, ObjectId))


async def _unfinished(store: Log, event_ids: Iterable[Any]) -> frozenset[Any]:
    """Return those of the events that are open or dead by a majority read: by the derived `_id`, then by `event_id`."""
    ids, parents = list(event_ids), list[Record]()
    for key in ("_id", "event_id"):
        values = [record_id(event_id) for event_id in ids if isinstance(event_id, str)] if key == "_id" else ids
        parents += await _parents(store, key, values)
        known = {parent.get("event_id") for parent in parents if _is_key(parent.get("event_id"))}
        ids = [event_id for event_id in ids if event_id not in known]
    return frozenset(
        parent["event_id"] for parent in parents if _is_key(parent.get("event_id")) and _is_unfinished(parent)
    )


async def _parents(store: Log, key: str, values: Sequence[Any]) -> list[Record]:
    fields = {"event_id": 1, "delivery.state": 1, "delivery.handlers.state": 1}
    parents: list[Record] = []
    for start in range(0, len(values), MAX_NAMED):
        async with store.call() as connection:
            events = drivers.by_majority(connection.events)
            parents += await events.find({key: {"$in": values[start : start + MAX_NAMED]}}, fields).to_list(None)
    return parents


def _is_unfinished(parent: Record) -> bool:
    document = parent.get("delivery")
    if not isinstance(document, Mapping):
        return False
    delivery = from_document(document)
    return delivery.state != "done" or any(handler.state in _UNFINISHED for handler in delivery.handlers)


async def copies(store: Log, old: Old, ids: Sequence[Any]) -> AsyncGenerator[list[Copy], None]:
    """Yield exact copies of the records with these `_id`s that may still be removed, in batches of limited size."""
    remaining, gathered, size = list(ids), list[Copy](), 0
    while remaining:
        batch, remaining = await _copied(store, remaining)
        gathered += [copy for copy in batch if old.has(copy.document)]
        size += sum(len(copy.data) for copy in batch)
        if size >= MAX_BYTES:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


async def _copied(store: Log, ids: Sequence[Any]) -> tuple[list[Copy], list[Any]]:
    """Return the first of the records with these `_id`s, and the `_id`s that remain to be read."""
    first, rest = ids[:MAX_NAMED], list(ids[MAX_NAMED:])
    batch: list[Copy] = []
    size = 0
    async with store.call() as connection:
        cursor: Any = drivers.decoding(connection.events, RAW).find({"_id": {"$in": first}})
        async for document in cursor:
            batch.append(Copy(document))
            size += len(batch[-1].data)
            if size >= MAX_BYTES:
                break
        else:
            return batch, rest
        await cursor.close()
    known = [copy.id for copy in batch]
    return batch, [*(id_ for id_ in first if id_ not in known), *rest]


async def remove(store: Log, copied: Sequence[Copy]) -> list[Any]:
    """Remove the records that were not changed since they were copied; return the `_id`s of the others."""
    async with store.call() as connection:
        result = await connection.events.bulk_write([DeleteOne(copy.still()) for copy in copied], ordered=False)
    if result.deleted_count == len(copied):
        return []
    return await _still_there(store, [copy.id for copy in copied])


async def _still_there(store: Log, ids: Sequence[Any]) -> list[Any]:
    remaining: list[Any] = []
    for start in range(0, len(ids), MAX_NAMED):
        async with store.call() as connection:
            documents = await connection.events.find(
                {"_id": {"$in": ids[start : start + MAX_NAMED]}}, {"_id": 1}
            ).to_list(None)
        remaining += [document["_id"] for document in documents]
    return remaining


# ---------------------------------------------------------------- archives


def exact_line(copy: Copy) -> bytes | None:
    """Return the line of a record, with its newline; None if the line would not read back as the same bytes.

    The latter is rare: a key that appears twice, text that is not UTF-8, an object that Extended JSON reads as another
    value.
    """
    record = bson.decode(copy.data, event_json.CODEC)
    try:
        line = extended_json.record_line(record, canonical=True)
        content = extended_json.parse(line)
        is_exact = bson.encode(content, codec_options=CODEC)[_HEAD:] == _without_id(copy)
    except (InvalidEvent, bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError):
        return None
    return f"{line}\n".encode("ascii") if is_exact else None


def _without_id(copy: Copy) -> bytes:
    """Return the bytes of a record after its `_id`, which the server stores first."""
    first = bson.encode({"_id": copy.document["_id"]}, codec_options=CODEC)[_HEAD:-1]
    if not copy.data.startswith(first, _HEAD):
        raise ValueError("_id is not the first field")
    return copy.data[_HEAD + len(first) :]


class CollectionArchive:
    """Keeps records in a collection of the log's database.

    A record that was changed since an earlier run copied it replaces that copy; another event under the same id does
    not.

    Args:
        store: the event log.
        name: the name of the collection.
    """

    def __init__(self, store: Log, name: str) -> None:
        if name in (store.name, store.workers_name, store.handlers_name):
            raise ValueError(f"{name} is the log itself or its registry, not an archive")
        self._store = store
        self._name = name

    def __str__(self) -> str:
        return f"{self._store.database_name}.{self._name}"

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        """Keep copies of records and return the records that have no exact copy afterwards.

        Raises:
            StoreUnavailable: the copies may not be stored; the same call may be made again.
        """
        await self._insert([original.document for original in copies])
        hooks.kill_point("prune.copied")
        differing = await self._differing(copies)
        if differing:
            await self._replace(differing)
            differing = await self._differing([original for original, _ in differing])
        return [original for original, _ in differing]

    async def _insert(self, documents: Sequence[RawBSONDocument]) -> None:
        async with self._store.call() as connection:
            try:
                await self._archive(connection.database).insert_many(documents, ordered=False)
            except BulkWriteError as error:
                refused = error.details.get("writeErrors", ())
                if error.details.get("writeConcernErrors") or not refused:
                    raise
                # records that are there already, or are refused: `_differing` compares them next

    async def _differing(self, copies: Sequence[Copy]) -> list[tuple[Copy, RawBSONDocument | None]]:
        """Return the records whose copy, by a majority read, is missing or differs by a byte, with that copy."""
        kept: dict[bytes, RawBSONDocument] = {}
        for start in range(0, len(copies), MAX_NAMED):
            ids = [original.id for original in copies[start : start + MAX_NAMED]]
            async with self._store.call() as connection:
                archive: Any = drivers.by_majority(self._archive(connection.database))
                for document in await archive.find({"_id": {"$in": ids}}).to_list(None):
                    kept[Copy(document).key] = document
        pairs = [(original, kept.get(original.key)) for original in copies]
        return [(original, copy) for original, copy in pairs if copy is None or copy.raw != original.data]

    async def _replace(self, differing: Sequence[tuple[Copy, RawBSONDocument | None]]) -> None:
        older = [
            original for original, copy in differing if copy is not None and _has_same_content(original.document, copy)
        ]
        if not older:
            return
        writes: list[ReplaceOne[Any]] = [ReplaceOne({"_id": original.id}, original.document) for original in older]
        async with self._store.call() as connection:
            await self._archive(connection.database).bulk_write(writes, ordered=False)

    def _archive(self, database: drivers.Database) -> Any:
        return drivers.majority_collection(database, self._name, RAW)


def _has_same_content(record: RawBSONDocument, copy: RawBSONDocument) -> bool:
    return same_content(*(bson.decode(each.raw, codec_options=CODEC) for each in (record, copy)))
