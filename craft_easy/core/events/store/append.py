"""The insert of records, the one write path: it has a result for each record.

Concurrent callers share writes by group commit, and records are stored in the order of the calls. A record that is
refused or already stored does not stop the others of its write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from craft_easy.core.events import hooks
from craft_easy.core.events.errors import EventConflict, StoreError, StoreUnavailable
from craft_easy.core.events.store import drivers, faults
from craft_easy.core.events.store.connection import LogConnection
from craft_easy.core.events.store.documents import by_value, same_content
from craft_easy.core.events.store.encoding import CODEC_OF_RAW, encoded
from craft_easy.core.events.store.group_commit import GroupCommit
from craft_easy.core.events.store.log import Log

Record = Mapping[str, Any]

MAX_RECORDS: Final = 1_000
MAX_BYTES: Final = 8_000_000
MAX_NAMED: Final = 100
"""The maximum number of ids in one query, because the embedded server compares each of them with each record."""
_DUPLICATE: Final = 11_000


@dataclass(frozen=True, slots=True)
class InsertResult:
    """The result of inserting one record: inserted, stored before, or refused.

    Args:
        record: a value of `new_record`.
        stored: the record that already has its id.
        error: the reason why it is not stored.
    """

    record: Record
    stored: Record | None = None
    error: StoreError | None = None

    @property
    def is_inserted(self) -> bool:
        """True if the record is new in the log."""
        return self.stored is None and self.error is None

    @property
    def is_conflict(self) -> bool:
        """True if another event is stored under the id."""
        return self.stored is not None and not same_content(self.record, self.stored)

    def check(self) -> None:
        """Raise the error of this record, if there is one.

        Raises:
            EventConflict: another event is stored under its id.
            RecordRefused: the server refused it.
        """
        if self.error is not None:
            raise self.error
        if self.is_conflict:
            raise EventConflict(str(self.record["event_id"]))


class Appender:
    """Stores the records of all callers, those on one event loop by group commit."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: WeakKeyDictionary[LogConnection, GroupCommit[EncodedRecord, InsertResult]] = WeakKeyDictionary()

    async def append(self, records: Sequence[Record]) -> list[InsertResult]:
        """Store records and return the result of each, in the same order.

        A cancelled caller takes back the records that were not sent yet; the others may be stored.

        Raises:
            InvalidEvent: a record is too large; none of the call is stored.
            StoreUnavailable: some may not be stored; the same call can be made again.
        """
        if not records:
            return []
        encoded_records = [EncodedRecord.of(record) for record in records]
        async with self._log.deadline(self._log.timeout * _writes_of(encoded_records)):
            group = self._group_of(await self._log.prepare())
            results = await asyncio.gather(*[group.submit(record, size=record.size) for record in encoded_records])
        for result in results:
            if isinstance(result.error, StoreUnavailable):
                raise result.error
        return results

    def _group_of(self, connection: LogConnection) -> GroupCommit[EncodedRecord, InsertResult]:
        group = self._groups.get(connection)
        if group is None:
            group = self._groups[connection] = GroupCommit(
                self._insert, name="append events", max_items=MAX_RECORDS, max_bytes=MAX_BYTES
            )
        return group

    async def _insert(self, chunk: Sequence[EncodedRecord]) -> list[InsertResult]:
        return await insert(self._log, chunk)


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """A record and its bytes, which go to the server as they are."""

    record: Record
    document: RawBSONDocument

    @classmethod
    def of(cls, record: Record) -> EncodedRecord:
        """Encode a record.

        Raises:
            InvalidEvent: it is too large.
        """
        return cls(record, RawBSONDocument(encoded(record), CODEC_OF_RAW))

    @property
    def size(self) -> int:
        """Bytes of the document."""
        return len(self.document.raw)


def _writes_of(records: Sequence[EncodedRecord]) -> int:
    """Return the maximum number of writes for these records, so that a large call has enough time."""
    size = sum(record.size for record in records)
    return min(len(records), 1 + len(records) // MAX_RECORDS + 2 * size // MAX_BYTES)


async def insert(log: Log, chunk: Sequence[EncodedRecord]) -> list[InsertResult]:
    """Store at most `MAX_RECORDS` and `MAX_BYTES` with one write and return the result of each record.

    Raises:
        StoreUnavailable: none of them is known to be stored.
    """
    records = [encoded.record for encoded in chunk]
    async with log.call() as connection:
        try:
            hooks.kill_point("append.sent")
            await drivers.insert_many(connection.events, [encoded.document for encoded in chunk])
            hooks.kill_point("append.acknowledged")
        except BulkWriteError as error:
            refusals = faults.refusal_of_each(error.details)
            twins = [records[index] for index, each in refusals.items() if each.get("code") == _DUPLICATE]
            stored = await _stored_twins(connection.events, twins)
            results = results_of(records, error.details, stored, connection.where)
            unavailable = [result.error for result in results if isinstance(result.error, StoreUnavailable)]
            if len(unavailable) == len(results):
                raise unavailable[0] from error
            return results
    return [InsertResult(record) for record in records]


def results_of(
    records: Sequence[Record], details: Mapping[str, Any], stored: Mapping[Any, Record], where: str
) -> list[InsertResult]:
    """Return the result of each record of a write by the server's reply.

    Args:
        records: the records that were sent, in order.
        details: those of the driver's `BulkWriteError`.
        stored: the majority's records under the ids of duplicates, by `event_id` and by `_id`.
        where: `host:port` of the servers.
    """
    refusals = faults.refusal_of_each(details)
    unacknowledged = next(iter(details.get("writeConcernErrors", ())), None)
    results = []
    for index, record in enumerate(records):
        refusal = refusals.get(index, unacknowledged)
        if refusal is None:
            results.append(InsertResult(record))
        elif refusal.get("code") == _DUPLICATE:
            results.append(_duplicate(record, stored, where))
        elif index in refusals:
            results.append(InsertResult(record, error=_refusal(record, refusal, where)))
        else:  # stored, and not acknowledged by the majority
            results.append(InsertResult(record, error=StoreUnavailable(f"{where}: {faults.reason_of(refusal)}")))
    return results


def _duplicate(record: Record, stored: Mapping[Any, Record], where: str) -> InsertResult:
    twin = stored.get(record["event_id"]) or stored.get(record["_id"])
    if twin is not None:
        return InsertResult(record, stored=twin)
    text = f"{where}: {record['event_id']!r} is stored, but not yet by the majority"
    return InsertResult(record, error=StoreUnavailable(text))


def _refusal(record: Record, refusal: Mapping[str, Any], where: str) -> StoreError:
    kind = faults.kind_of_refusal(refusal.get("code"))
    verb = "could not store" if kind is StoreUnavailable else "refused"
    return kind(f"{where}: the server {verb} event {record['event_id']!r}: {faults.reason_of(refusal)}")


async def _stored_twins(events: drivers.Collection, records: Sequence[Record]) -> dict[Any, Record]:
    """Return the majority's records under these ids, by `event_id` and by `_id`.

    A server reports a duplicate only after the majority has the record with that id, so this read finds it.
    """
    committed = drivers.by_majority(events)
    stored = await _stored_by(committed, "_id", [record["_id"] for record in records])
    others = [record["event_id"] for record in records if record["_id"] not in stored]
    return stored | await _stored_by(committed, "event_id", others)


async def _stored_by(events: drivers.Collection, field: str, values: Sequence[Any]) -> dict[Any, Record]:
    stored: dict[Any, Record] = {}
    for start in range(0, len(values), MAX_NAMED):
        named = values[start : start + MAX_NAMED]
        stored |= by_value(await events.find({field: {"$in": named}}).to_list(None), field)
    return stored
