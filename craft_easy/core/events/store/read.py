"""Reading history: one cursor, page by page, the next page on its way while the present one is worked on.

A cursor that the server has lost (an idle one after ten minutes, any one at a restart) is opened again where it ended:
at the last timestamp that was read, without the records of that timestamp that were read already. So equal, missing
and odd keys are neither lost nor repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
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
from craft_easy.core.events.store import drivers, filters, indexes
from craft_easy.core.events.store.documents import key_of, record_id
from craft_easy.core.events.store.filters import Condition
from craft_easy.core.events.store.formats.event_json import CODEC as JSON_CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

Page = list[dict[str, Any]]

PAGE: Final = 1_000
MAX_NAMED: Final = 10_000
"""So many ids, 12 bytes each, may stand in a query."""
IDS: Final = 100
"""So many events are looked up by their ids with one query: the embedded server is slow at long lists."""
POSITION_FIELDS: Final = ("timestamp", "event_id")
_AS_JSON: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_IDS: Final = 1_000
"""So many ids stand in one query."""
WITHOUT_PAYLOAD: Final = ("event_id", "event_type", "tenant_id", "timestamp", "delivery")
"""What is read of a record: everything but what may be large."""


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """Where a record stands, by `(timestamp, event_id)`; each may be of any type or missing."""

    timestamp: Any
    event_id: Any
    record_id: Any

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> RecordPosition:
        return cls(record.get("timestamp"), record.get("event_id"), record.get("_id"))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        import json

        named = {"timestamp": self.timestamp, "event_id": self.event_id, "_id": self.record_id}
        fields = {name: Decimal128(value) if isinstance(value, Decimal) else value for name, value in named.items()}
        found: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return found

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RecordPosition:
        """Return what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        import json

        try:
            read = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            return cls(read["timestamp"], read["event_id"], read["_id"])
        except (KeyError, TypeError, AttributeError, BSONError) as error:
            raise ValueError("no place of a record") from error

    @property
    def moment(self) -> datetime | None:
        """The time, where it is a date that Python has room for."""
        return self.timestamp if isinstance(self.timestamp, datetime) else None

    @property
    def next_moment(self) -> datetime | None:
        """The first millisecond behind it; None where there is none."""
        if self.moment is None:
            return None
        try:
            return up_to_millisecond(self.moment) + _MILLISECOND
        except OverflowError:
            return None

    def is_behind(self, other: RecordPosition) -> bool:
        """Tell whether this surely stands behind the other."""
        by_time = _compare(self.timestamp, other.timestamp)
        order = _compare(self.event_id, other.event_id) if by_time == 0 else by_time
        return order is not None and order > 0

    def is_surely_within(self, mark: RecordPosition) -> bool:
        """Tell whether this surely stands before the mark, or is it."""
        by_time = _compare(self.timestamp, mark.timestamp)
        if by_time is None or by_time:
            return by_time is not None and by_time < 0
        by_id = _compare(self.event_id, mark.event_id)
        if by_id is None or by_id:
            return by_id is not None and by_id < 0
        return bool(self.record_id == mark.record_id)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """A key for sorting places that are all known: that of the log, as far as it can be told."""
        return (*_total(self.timestamp), *_total(self.event_id), str(self.record_id))


async def batches(store: Log, selection: Selection, *, size: int, for_json: bool = False) -> AsyncGenerator[Page, None]:
    """Yield the selected records; see `EventStore.batches`."""
    left = selection.limit
    for condition in filters.parts(selection):
        async with aclosing(_ahead(_Scan(store, condition, selection, size, for_json))) as pages:
            async for page in pages:
                wanted = page if left is None else page[:left]
                if wanted:
                    yield wanted
                if left is not None:
                    left -= len(wanted)
                    if not left:
                        return


async def matching(
    store: Log,
    condition: Condition,
    *,
    fields: Sequence[str] | None = None,
    reverse: bool = False,
    size: int = PAGE,
    for_json: bool = False,
    index: str | None = None,
) -> AsyncGenerator[Page, None]:
    """Yield the records that meet a condition, in order, `size` at a time at most, with flat memory.

    A record that stops meeting it meanwhile is listed or not, and makes no other be passed over.

    Args:
        condition: what a record must meet.
        fields: read only these, and `_id`; None reads the whole record. `timestamp` must be one of them.
        reverse: newest first.
        size: records of a page.
        for_json: decode them as `store.event_json` takes them.
        index: the name of one to go through; a log that lacks it is read without.
    """
    scan = _Scan(store, condition, Selection(reverse=reverse), size, for_json, fields, index)
    async with aclosing(_ahead(scan)) as pages:
        async for page in pages:
            yield page


async def count(store: Log, selection: Selection) -> int:
    """Return how many records are selected; see `EventStore.count`."""
    found = 0
    for condition in filters.parts(selection):
        async with store.call(store.scan_timeout) as site:
            found += await site.events.count_documents(condition)
    return found if selection.limit is None else min(found, selection.limit)


async def _ahead(scan: _Scan) -> AsyncGenerator[Page, None]:
    coming = asyncio.create_task(scan.next())
    try:
        while page := await coming:
            coming = asyncio.create_task(scan.next())
            await asyncio.sleep(0)  # lets the request go out before the page is worked on
            yield page
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await coming
        await scan.aclose()


@dataclass(eq=False, slots=True)
class _Scan:
    """A cursor over the records that meet a condition, and the place that it has come to."""

    store: Log
    condition: Condition
    selection: Selection
    size: int
    for_json: bool = False
    fields: Sequence[str] | None = None
    index: str | None = None
    _cursor: Any = None
    _last: dict[str, Any] | None = None
    _here: set[Any] = field(default_factory=set)
    """The `_id`s that were read of the last timestamp: where a lost cursor goes on, they are passed over."""
    _is_resumed: bool = False

    @property
    def _direction(self) -> int:
        return filters.DESCENDING if self.selection.reverse else filters.ASCENDING

    async def next(self) -> Page:
        """Return the next page; an empty one is the end."""
        has_tried = False
        while True:
            try:
                page = await self._fetch()
            except StoreUnavailable:
                if self._last is None or has_tried:
                    raise
                has_tried = True
                await self._drop()
                continue
            if not page or not self._is_resumed or (page := self._without_known(page)):
                self._note(page)
                return page

    async def _fetch(self) -> Page:
        async with self.store.call(self.store.scan_timeout) as site:
            if self._cursor is not None:
                page: Page = await self._cursor.to_list(self.size)
                return page
            events = drivers.decoding(site.events, JSON_CODEC) if self.for_json else site.events
            return await indexes.with_hint(site, self.index, partial(self._first, events))

    async def _first(self, events: Any, hint: str | None = None) -> Page:
        self._cursor = self._open(events) if hint is None else self._open(events).hint(hint)
        page: Page = await self._cursor.to_list(self.size)
        return page

    def _open(self, events: Any) -> Any:
        condition = self.condition
        if self._last is not None:
            condition = filters.joined(condition, filters.from_here_on(self._last, self._direction), self._unknown())
        cursor = events.find(condition, self.fields, batch_size=self.size).sort(filters.in_order(self._direction))
        limit = self.selection.limit
        return cursor if limit is None or self._is_resumed else cursor.limit(limit)

    def _unknown(self) -> Condition:
        """Return the condition that leaves out what was read of the last timestamp, where it is not too much to say."""
        return {"_id": {"$nin": list(self._here)}} if len(self._here) <= MAX_NAMED else {}

    def _without_known(self, page: Page) -> Page:
        return [record for record in page if key_of(record) not in self._here]

    def _note(self, page: Sequence[dict[str, Any]]) -> None:
        if not page:
            return
        last = page[-1]
        if self._last is None or last.get("timestamp") != self._last.get("timestamp"):
            self._here, self._is_resumed = set(), False
        self._last = last
        for record in reversed(page):
            if record.get("timestamp") != last.get("timestamp"):
                break
            self._here.add(key_of(record))

    async def _drop(self) -> None:
        cursor, self._cursor, self._is_resumed = self._cursor, None, True
        await self._close(cursor)

    async def aclose(self) -> None:
        """Let the server forget the cursor."""
        await self._close(self._cursor)

    async def _close(self, cursor: Any) -> None:
        if cursor is not None:
            with suppress(StoreError):
                async with self.store.call():
                    await cursor.close()


async def positions_of(
    store: Log, selection: Selection, more: Sequence[str] = ()
) -> list[tuple[RecordPosition, Mapping[str, Any]]]:
    """Return the places of all selected records, which are few, and of each the fields in `more`."""
    async with store.call(store.scan_timeout) as site:
        found = await site.events.find(filters.selection_filter(selection), [*POSITION_FIELDS, *more]).to_list(None)
    return [(RecordPosition.of(record), record) for record in found]


async def positions(store: Log, event_ids: Sequence[str]) -> dict[str, RecordPosition]:
    """Return the places of the events with these ids, of those that are in the log."""
    found: dict[str, RecordPosition] = {}
    for some in in_batches(list(dict.fromkeys(event_ids))):
        for where, record in await positions_of(store, Selection(event_ids=tuple(some))):
            found[read_envelope(record).event_id] = where
    return found


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Cut a list of ids into what one query takes."""
    return [event_ids[first : first + IDS] for first in range(0, len(event_ids), IDS)]


async def located(store: Log, event_ids: Sequence[str]) -> dict[str, Any]:
    """Return the `_id`s of events that are in the log, by `event_id`: many at once by the derived `_id`."""
    found: dict[str, Any] = {}
    for start in range(0, len(event_ids), MAX_IDS):
        found |= await _by_derived_id(store, event_ids[start : start + MAX_IDS])
    for event_id in event_ids:
        if event_id not in found and (record := await find_record(store, event_id)) is not None:
            found[event_id] = record["_id"]
    return found


async def _by_derived_id(store: Log, event_ids: Sequence[str]) -> dict[str, Any]:
    derived = [record_id(event_id) for event_id in event_ids]
    async with store.call() as site:
        records = await site.events.find({"_id": {"$in": derived}}, {"event_id": 1}).to_list(None)
    wanted = set(event_ids)
    return {record["event_id"]: record["_id"] for record in records if record.get("event_id") in wanted}


def _compare(one: Any, other: Any) -> int | None:
    """Return how two values stand to each other as MongoDB sorts them: below, at or above 0; None where uncertain."""
    mine, its = _rank(one), _rank(other)
    if mine is None or its is None:
        return None
    if mine[0] != its[0]:
        return mine[0] - its[0]
    return int(mine[1] > its[1]) - int(mine[1] < its[1])


def _rank(value: Any) -> tuple[int, Any] | None:
    """Return the kind of a value and what it is compared by within that; the order is `filters`' own."""
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
        return 1, value
    if isinstance(value, str):
        return 2, value.encode("utf-8", "surrogatepass")
    if isinstance(value, ObjectId):
        return 4, value.binary
    if isinstance(value, datetime):
        return 6, _milliseconds(value)
    if isinstance(value, DatetimeMS):
        return 6, int(value)
    return None


def _total(value: Any) -> tuple[Any, ...]:
    rank = _rank(value)
    return (9, str(value)) if rank is None else rank


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


async def find_record(store: Log, event_id: str) -> Mapping[str, Any] | None:
    """Return the record of an event: by the derived `_id`, then by `event_id`, then by the `_id` of another writer."""
    if not filters.can_be_stored(event_id):
        return None
    forms = filters.stored_forms(event_id)
    others = [form for form in forms if isinstance(form, ObjectId) or form == event_id]
    async with store.call() as site:
        for condition in (
            {"_id": record_id(event_id), "event_id": event_id},
            {"event_id": {"$in": forms}},
            {"_id": {"$in": others}, "event_id": None},
        ):
            record = await site.events.find_one(condition)
            if record is not None:
                found: Mapping[str, Any] = record
                return found
    return None
