"""Group commit of appends: what concurrent callers store goes out with one write.

No timer: a lone record goes at once. While a write is under way the records of all who call meanwhile gather for the
next one, in the order of their calls; one write is under way at a time, so that the log has them in this order too.
(DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from craft_easy.core.events import hooks
from craft_easy.core.events.errors import EventConflict, RecordRefused, StoreError, StoreUnavailable
from craft_easy.core.events.store import drivers, faults
from craft_easy.core.events.store.documents import by_value, same_content
from craft_easy.core.events.store.encoding import CODEC_OF_RAW, encoded
from craft_easy.core.events.store.log import Log

Record = Mapping[str, Any]

MAX_RECORDS: Final = 1_000
MAX_BYTES: Final = 8_000_000
MAX_NAMED: Final = 100
_DUPLICATE: Final = 11_000


class InsertResult:
    """A record on its way to the log, and what became of it.

    It is inserted, unless it was there already (`stored`) or was refused (`error`).

    Args:
        record: of `new_record`.
        document: what the driver is given, encoded once.
        size: of that, in bytes.
    """

    __slots__ = ("document", "error", "record", "size", "stored")

    def __init__(
        self,
        record: Record,
        document: Any = None,
        size: int = 0,
        *,
        stored: Record | None = None,
        error: StoreError | None = None,
    ) -> None:
        self.record = record
        self.document = document
        self.size = size
        self.stored = stored
        self.error = error

    @property
    def is_inserted(self) -> bool:
        """Tell whether the record is new in the log."""
        return self.stored is None and self.error is None

    @property
    def is_conflict(self) -> bool:
        """Tell whether another event is stored under the id."""
        return self.stored is not None and not same_content(self.record, self.stored)

    def check(self) -> None:
        """Raise what stands against the record.

        Raises:
            EventConflict: another event is stored under its id.
            RecordRefused: the server refused it.
        """
        if self.error is not None:
            raise self.error
        if self.is_conflict:
            raise EventConflict(str(self.record["event_id"]))


Answer = asyncio.Future[InsertResult]


class Appender:
    """Stores the records of all who call on one event loop.

    Args:
        log: where they go.
        is_mock: it lives in memory, and takes no bytes.
    """

    def __init__(self, log: Log, *, is_mock: bool = False) -> None:
        self._log = log
        self._is_raw = not is_mock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[InsertResult, Answer]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record]) -> list[InsertResult]:
        """Store records and return what became of each, in the same order.

        A caller who is cancelled takes back what was not sent yet; of what is on its way nothing is known then.

        Raises:
            InvalidEvent: a record is too large; none of the call is stored.
            StoreUnavailable: nothing is known of some of them; the same call may be made again.
        """
        parcels = [encode_record(record, raw=self._is_raw) for record in records]
        return await asyncio.gather(*[self._queue(parcel) for parcel in parcels])

    def submit(self, record: Record) -> Answer:
        """Have a record stored, and return what will say what became of it; to cancel that in time takes it back.

        Raises:
            InvalidEvent: the record is too large.
        """
        return self._queue(encode_record(record, raw=self._is_raw))

    def _queue(self, parcel: InsertResult) -> Answer:
        answer: Answer = self._loop.create_future()
        self._waiting.append((parcel, answer))
        if self._task is None or self._task.done():
            # in a context of its own: the deadline or the delivery of the first caller is not that of the others
            self._task = self._loop.create_task(self._run(), name="append events", context=Context())
        return answer

    async def _run(self) -> None:
        while chunk := self._take():
            try:
                await insert(self._log, [parcel for parcel, _ in chunk])
            except Exception as error:  # noqa: BLE001 - it is each caller's
                for _, answer in chunk:
                    if not answer.done():
                        answer.set_exception(error)
            except BaseException:
                self._let_go(chunk)
                raise
            else:
                for parcel, answer in chunk:
                    if not answer.done():
                        answer.set_result(parcel)

    def _take(self) -> list[tuple[InsertResult, Answer]]:
        """Return what goes out with the next write; whatever its size, a first record does."""
        chunk: list[tuple[InsertResult, Answer]] = []
        size, waiting = 0, self._waiting
        while waiting and len(chunk) < MAX_RECORDS:
            parcel, answer = waiting[0]
            if not answer.done():
                size += parcel.size
                if chunk and size > MAX_BYTES:
                    break
                chunk.append((parcel, answer))
            waiting.popleft()
        return chunk

    def _let_go(self, chunk: Sequence[tuple[InsertResult, Answer]]) -> None:
        """Let the callers of a loop that is closing go."""
        for _, answer in (*chunk, *self._waiting):
            answer.cancel()
        self._waiting.clear()


def encode_record(record: Record, *, raw: bool) -> InsertResult:
    """Encode a record that is to be inserted.

    Args:
        record: of `new_record`.
        raw: hand its bytes to the driver; a stand-in in memory takes none.

    Raises:
        InvalidEvent: it is too large.
    """
    data = encoded(record)
    return InsertResult(record, RawBSONDocument(data, CODEC_OF_RAW) if raw else _plain(record), len(data))


def _plain(record: Record) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, RawBSONDocument) else value for key, value in record.items()}


async def insert(log: Log, chunk: Sequence[InsertResult]) -> None:
    """Store at most `MAX_RECORDS` and `MAX_BYTES` with one write and note what became of each.

    Raises:
        StoreUnavailable: nothing is known of any of them.
    """
    async with log.call() as connection:
        try:
            hooks.kill_point("append.sent")
            await connection.events.insert_many([one.document for one in chunk], ordered=False)
            hooks.kill_point("append.acknowledged")
        except BulkWriteError as error:
            refused = {each["index"]: each for each in error.details.get("writeErrors", ())}
            if not refused or error.details.get("writeConcernErrors"):
                raise  # nothing is known to be acknowledged by the majority
            await _sort_out(connection.events, connection.where, chunk, refused)


async def _sort_out(
    events: drivers.Collection, where: str, chunk: Sequence[InsertResult], refused: Mapping[int, Mapping[str, Any]]
) -> None:
    twins = [chunk[index].record for index, each in refused.items() if each.get("code") == _DUPLICATE]
    stored = await _stored_twins(events, twins)
    for index, each in refused.items():
        one, record = chunk[index], chunk[index].record
        one.stored = stored.get(record["event_id"]) or stored.get(record["_id"])
        if each.get("code") != _DUPLICATE:
            one.stored, one.error = None, _refusal(where, record, each)
        elif one.stored is None:
            raise StoreUnavailable(f"{where}: {record['event_id']!r} is stored, and not yet by the majority")


async def _stored_twins(events: drivers.Collection, records: Sequence[Record]) -> dict[Any, Record]:
    """Return what is stored under the ids of these records, as the majority holds it, by `event_id` and by `_id`.

    A server answers that an id is taken only after the majority has what took it, so this read does show it.
    """
    by_majority = drivers.by_majority(events)
    stored = await _found(by_majority, "_id", [record["_id"] for record in records])
    others = [record["event_id"] for record in records if record["_id"] not in stored]
    return stored | await _found(by_majority, "event_id", others)


async def _found(events: drivers.Collection, field: str, values: Sequence[Any]) -> dict[Any, Record]:
    """Return the records by the value of a field; a hundred at a time, since the embedded server compares each pair."""
    found: dict[Any, Record] = {}
    for start in range(0, len(values), MAX_NAMED):
        some = values[start : start + MAX_NAMED]
        found |= by_value(await events.find({field: {"$in": some}}).to_list(None), field)
    return found


def _refusal(where: str, record: Record, each: Mapping[str, Any]) -> RecordRefused:
    said = faults.one_line(str(each.get("errmsg", "")))
    return RecordRefused(f"{where}: the server refused event {record['event_id']!r}: {said}")
