"""Reading the log: one resumable scan, which everything pages with, and looking events up by their ids.

A scan is one cursor, read page by page; the next page is on its way while the present one is worked on. Each page has a
deadline of its own. A cursor that the server has lost is opened again behind the last key that was read: after a
restart or a failover, after ten idle minutes, and where `maxTimeMS`, which MongoDB adds up over all pages of a cursor,
has passed (https://www.mongodb.com/docs/manual/reference/method/cursor.maxTimeMS/).

Records with a key of another type (malformed ones, or an `_id` of another program) have no place that a query can name
in one condition: a cursor that was lost among them is opened behind the last regular key and skips those it has read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bson import DatetimeMS, Decimal128, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.selection import Selection, up_to_millisecond
from craft_easy.core.events.store import drivers, filters
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.filters import ASCENDING, DESCENDING, Condition, can_be_stored
from craft_easy.core.events.store.formats.event_json import CODEC as JSON_CODEC
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, with_hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

Page = list[dict[str, Any]]

PAGE: Final = 1_000
IDS: Final = 100
"""Events that one query looks up by their ids: the embedded server is slow at long lists."""
MAX_IDS: Final = 1_000
"""Events that one query looks up by `_id`."""
POSITION_FIELDS: Final = ("timestamp", "event_id")
WITHOUT_PAYLOAD: Final = ("event_id", "event_type", "tenant_id", "timestamp", "delivery")
"""The fields of a record but the payload, which may be large."""
_AS_JSON: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATES: Final = (datetime, DatetimeMS)


# The scan


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """The key by which a scan is sorted: a date, then a field that tells equal dates apart.

    Args:
        date: the name of the first field.
        tie: the name of the second.
        tie_type: its type in a regular record, and
        tie_bson_type: the same as `$type` names it.
    """

    date: str
    tie: str
    tie_type: type
    tie_bson_type: str

    def sort(self, direction: int) -> list[tuple[str, int]]:
        return [(self.date, direction), (self.tie, direction)]

    def key(self, record: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return the key of a record; None where it is not of the regular types."""
        date, tie = _value(record, self.date), _value(record, self.tie)
        return (date, tie) if isinstance(date, _DATES) and isinstance(tie, self.tie_type) else None

    def behind(self, key: tuple[Any, Any], direction: int) -> Condition:
        """Return the condition for the records behind a key.

        MongoDB compares values of one type only. Other types stand before dates, texts and ObjectIds, nearly all.
        """
        date, tie = key
        later, not_before = ("$gt", "$gte") if direction == ASCENDING else ("$lt", "$lte")
        alternatives: list[Condition] = [{self.date: {later: date}}, {self.tie: {later: tie}}]
        if direction == ASCENDING:
            return {self.date: {not_before: date}, "$or": alternatives}
        alternatives.append({self.tie: {"$not": {"$type": self.tie_bson_type}}})
        dated: Condition = {self.date: {not_before: date}, "$or": alternatives}
        return {"$or": [dated, {self.date: {"$not": {"$type": "date"}}}]}


HISTORY: Final = ScanOrder("timestamp", "event_id", str, "string")
BY_DUE_TIME: Final = ScanOrder("delivery.due_at", "_id", ObjectId, "objectId")


async def scan(
    log: Log,
    condition: Condition,
    *,
    order: ScanOrder | None = HISTORY,
    fields: Sequence[str] | None = None,
    reverse: bool = False,
    limit: int | None = None,
    size: int = PAGE,
    for_json: bool = False,
    index: str | None = None,
) -> AsyncGenerator[Page, None]:
    """Yield the records that meet a condition, at most `size` at a time, with flat memory.

    A record that begins or ceases to meet it meanwhile is listed or not, and makes no other be passed over.

    Args:
        log: the event log.
        condition: what a record must meet.
        order: the order; None for any, in which a lost cursor begins again from the start.
        fields: read only these, and `_id`; None reads whole records. The fields of the order must be among them.
        reverse: descending.
        limit: records at most; None for all.
        size: records of a page.
        for_json: decode records as `formats.event_json` takes them.
        index: the name of the index to go through, see `indexes`; a log that lacks it is read without.

    Raises:
        StoreUnavailable: the server did not answer, nor when it was asked again.
    """
    direction = DESCENDING if reverse else ASCENDING
    cursor = _Scan(log, condition, order, direction, size, limit=limit, fields=fields, for_json=for_json, index=index)
    async with aclosing(_ahead(cursor)) as pages:
        async for page in pages:
            yield page


async def _ahead(cursor: _Scan) -> AsyncGenerator[Page, None]:
    coming = asyncio.create_task(cursor.next())
    try:
        while page := await coming:
            coming = asyncio.create_task(cursor.next())
            await asyncio.sleep(0)  # lets the request go out before the page is worked on
            yield page
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await coming
        await cursor.aclose()


@dataclass(eq=False, slots=True)
class _Scan:
    """A cursor over the records that meet a condition, and the key that it has come to."""

    log: Log
    condition: Condition
    order: ScanOrder | None
    direction: int
    size: int
    limit: int | None
    fields: Sequence[str] | None
    for_json: bool
    index: str | None
    _cursor: Any = None
    _read: int = 0
    _last: tuple[Any, Any] | None = None
    _irregular: int = 0
    """Records that were read behind the last regular key."""

    async def next(self) -> Page:
        """Return the next page; an empty one is the end."""
        has_tried = False
        while True:
            try:
                page = [] if self._read == self.limit else await self._fetch()
            except StoreUnavailable:
                if has_tried or not self._read:
                    raise
                has_tried = True
                await self.aclose()
            else:
                self._note(page)
                return page

    async def _fetch(self) -> Page:
        async with self.log.call(self.log.scan_timeout) as connection:
            if self._cursor is not None:
                page: Page = await self._cursor.to_list(self.size)
                return page
            events = drivers.decoding(connection.events, JSON_CODEC) if self.for_json else connection.events
            return await with_hint(connection, self.index, partial(self._first, events))

    async def _first(self, events: Any, hint: str | None = None) -> Page:
        self._cursor = self._open(events) if hint is None else self._open(events).hint(hint)
        page: Page = await self._cursor.to_list(self.size)
        return page

    def _open(self, events: Any) -> Any:
        condition = self.condition
        if self.order is not None and self._last is not None:
            condition = filters.joined(condition, self.order.behind(self._last, self.direction))
        cursor = events.find(condition, self.fields, batch_size=self.size)
        if self.order is not None:
            cursor = cursor.sort(self.order.sort(self.direction)).skip(self._irregular)
        return cursor if self.limit is None else cursor.limit(self.limit - self._read)

    def _note(self, page: Page) -> None:
        self._read += len(page)
        for behind, record in enumerate(reversed(page)):
            if self.order is not None and (key := self.order.key(record)) is not None:
                self._last, self._irregular = key, behind
                return
        self._irregular += len(page)

    async def aclose(self) -> None:
        """Close the cursor; a server that cannot be reached forgets it by itself."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(StoreError):
                async with self.log.call():
                    await cursor.close()


def _value(record: Mapping[str, Any], path: str) -> Any:
    found: Any = record
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


# Selections


async def batches(log: Log, selection: Selection, *, size: int, for_json: bool = False) -> AsyncGenerator[Page, None]:
    """Yield the selected records; see `EventStore.batches`."""
    pages = scan(
        log,
        filters.selection_filter(selection),
        reverse=selection.reverse,
        limit=selection.limit,
        size=size,
        for_json=for_json,
        index=_index_for(selection),
    )
    async with aclosing(pages):
        async for page in pages:
            yield page


def _index_for(selection: Selection) -> str | None:
    if selection.event_ids is not None or len(selection.states) != 1:
        return None
    return {"open": OPEN_INDEX, "dead": DEAD_INDEX}.get(selection.states[0])


async def count(log: Log, selection: Selection) -> int:
    """Return how many records are selected; see `EventStore.count`."""
    async with log.call(log.scan_timeout) as connection:
        found = await connection.events.count_documents(filters.selection_filter(selection))
    return found if selection.limit is None else min(found, selection.limit)


async def tally(log: Log, selection: Selection, limit: int | None = None) -> Counter[tuple[str, str | None]]:
    """Count the selected records by type and tenant; the server counts, on a large log for a while.

    Args:
        log: the event log.
        selection: which events; its own limit is not looked at.
        limit: count only this many, the first in order.
    """
    counted: Counter[tuple[str, str | None]] = Counter()
    condition = filters.selection_filter(selection)
    if selection.is_empty or limit == 0:
        return counted
    async with aclosing(_grouped(log, condition) if limit is None else _each(log, condition, limit)) as rows:
        async for row, events in rows:
            envelope = read_envelope(row)
            counted[envelope.event_type, envelope.tenant_id] += events
    return counted


async def _grouped(log: Log, condition: Condition) -> AsyncGenerator[tuple[dict[str, Any], int], None]:
    kind = {"event_type": "$event_type", "tenant_id": "$tenant_id"}
    stages = [{"$match": condition}, {"$group": {"_id": kind, "events": {"$sum": 1}}}]
    async with log.call(log.scan_timeout) as connection:
        rows = await (await drivers.aggregate(connection.events, stages)).to_list(None)
    for row in rows:
        yield row["_id"], row["events"]


async def _each(log: Log, condition: Condition, limit: int) -> AsyncGenerator[tuple[dict[str, Any], int], None]:
    """Yield the first records, since a server that groups them would have to sort them all before."""
    fields = (*POSITION_FIELDS, "event_type", "tenant_id")
    async with aclosing(scan(log, condition, fields=fields, limit=limit)) as pages:
        async for page in pages:
            for record in page:
                yield record, 1


# Positions


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """Where a record stands in the order of history, by `(timestamp, event_id)`.

    A value of another type, in a malformed record, stands before every date or text.
    """

    timestamp: Any
    event_id: Any
    record_id: Any

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> RecordPosition:
        return cls(record.get("timestamp"), record.get("event_id"), record.get("_id"))

    def to_json(self) -> dict[str, Any]:
        """Return the position as a checkpoint keeps it: plain JSON, each value in canonical Extended JSON."""
        import json

        named = {"timestamp": self.timestamp, "event_id": self.event_id, "_id": self.record_id}
        fields = {name: Decimal128(value) if isinstance(value, Decimal) else value for name, value in named.items()}
        found: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return found

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RecordPosition:
        """Return the position that `to_json` wrote.

        Raises:
            ValueError: the mapping is something else.
        """
        import json

        try:
            read = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            return cls(read["timestamp"], read["event_id"], read["_id"])
        except (KeyError, TypeError, AttributeError, BSONError) as error:
            raise ValueError("it is not the position of a record") from error

    @property
    def moment(self) -> datetime | None:
        """The timestamp, where it is a date within Python's years; else None."""
        return self.timestamp if isinstance(self.timestamp, datetime) else None

    @property
    def next_moment(self) -> datetime | None:
        """The next millisecond; None where there is none."""
        if self.moment is None:
            return None
        try:
            return up_to_millisecond(self.moment) + _MILLISECOND
        except OverflowError:
            return None

    def is_behind(self, other: RecordPosition) -> bool:
        """Tell whether this stands behind the other."""
        return self.sort_key > other.sort_key

    def is_surely_within(self, mark: RecordPosition) -> bool:
        """Tell whether this stands before the mark, or is it; False where equal keys leave that open."""
        return self.sort_key < mark.sort_key or (self.sort_key == mark.sort_key and self.record_id == mark.record_id)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """A key that sorts positions as the log does."""
        date = _milliseconds(self.timestamp) if isinstance(self.timestamp, _DATES) else None
        event_id = self.event_id if isinstance(self.event_id, str) else None
        return date is not None, date or 0, event_id is not None, event_id or ""


async def last_position(log: Log) -> RecordPosition | None:
    """Return the last position of the log; None where it is empty."""
    async with log.call(log.scan_timeout) as connection:
        newest = connection.events.find({}, list(POSITION_FIELDS)).sort(HISTORY.sort(DESCENDING))
        found = await newest.limit(1).to_list(1)
    return RecordPosition.of(found[0]) if found else None


async def positions_of(
    log: Log, selection: Selection, more: Sequence[str] = ()
) -> list[tuple[RecordPosition, Mapping[str, Any]]]:
    """Return the positions of the selected records, which are few, each with the record's fields in `more`."""
    async with log.call(log.scan_timeout) as connection:
        found = await connection.events.find(filters.selection_filter(selection), [*POSITION_FIELDS, *more]).to_list(
            None
        )
    return [(RecordPosition.of(record), record) for record in found]


async def positions(log: Log, event_ids: Sequence[str]) -> dict[str, RecordPosition]:
    """Return the positions of events by their ids; an event that is not in the log is left out."""
    found: dict[str, RecordPosition] = {}
    for some in in_batches(list(dict.fromkeys(event_ids))):
        for where, record in await positions_of(log, Selection(event_ids=tuple(some))):
            found[read_envelope(record).event_id] = where
    return found


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Split a list of ids into parts that one query takes."""
    return [event_ids[first : first + IDS] for first in range(0, len(event_ids), IDS)]


async def located(log: Log, event_ids: Sequence[str]) -> dict[str, Any]:
    """Return the `_id`s of events by their ids; an event that is not in the log is left out."""
    found: dict[str, Any] = {}
    for start in range(0, len(event_ids), MAX_IDS):
        found |= await _by_derived_id(log, event_ids[start : start + MAX_IDS])
    for event_id in event_ids:
        if event_id not in found and (record := await find_record(log, event_id)) is not None:
            found[event_id] = record["_id"]
    return found


async def _by_derived_id(log: Log, event_ids: Sequence[str]) -> dict[str, Any]:
    derived = [record_id(event_id) for event_id in event_ids]
    async with log.call() as connection:
        records = await connection.events.find({"_id": {"$in": derived}}, {"event_id": 1}).to_list(None)
    wanted = set(event_ids)
    return {record["event_id"]: record["_id"] for record in records if record.get("event_id") in wanted}


async def find_record(log: Log, event_id: str) -> Mapping[str, Any] | None:
    """Return the record of an event: by the derived `_id`, then by `event_id`, which other programs may have stored."""
    if not can_be_stored(event_id):
        return None
    async with log.call() as connection:
        for condition in ({"_id": record_id(event_id), "event_id": event_id}, {"event_id": event_id}):
            if (record := await connection.events.find_one(condition)) is not None:
                return record
    return None


def _milliseconds(moment: datetime | DatetimeMS) -> int:
    if isinstance(moment, DatetimeMS):
        return int(moment)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
