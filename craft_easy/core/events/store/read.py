"""The reader of the log: one resumable scan, by which all listings are paged, and look-ups by event id.

A scan is one cursor, read page by page. Each page has its own deadline. A cursor that the server has lost is opened
again after the last key that was read: after a restart or a failover, after ten idle minutes, and when `maxTimeMS`,
which MongoDB adds up over all pages of a cursor, has passed
(https://www.mongodb.com/docs/manual/reference/method/cursor.maxTimeMS/).

No single condition can express the place of a record with a key of another type (a malformed one, or an `_id` of
another program): a cursor that was lost among these is opened after the last regular key, and skips those already read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bson import DatetimeMS, ObjectId

from craft_easy.core.events.errors import AmbiguousEventId, StoreError, StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, faults, filters
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.filters import ASCENDING, DESCENDING, Condition, can_be_stored
from craft_easy.core.events.store.formats.event_json import CODEC as JSON_CODEC
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, hint

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

Page = list[dict[str, Any]]

SCAN_PAGE: Final = 1_000
MIN_PREFIX: Final = 8
"""The number of characters from which on the beginning of an event id may stand for it."""
MAX_CANDIDATES: Final = 5
MAX_IDS: Final = 1_000
"""The maximum number of events that one query looks up by `_id`."""
WITHOUT_PAYLOAD: Final = ("event_id", "event_type", "tenant_id", "timestamp", "delivery")
"""The fields of a record without the payload, which may be large."""
DATES: Final = (datetime, DatetimeMS)
"""The types of a decoded date; the second is for years that Python does not have."""


# The scan


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """The key by which a scan is sorted: a date, then a field that breaks ties.

    Args:
        date: the name of the first field.
        tie: the name of the second field.
        tie_type: the type of the second field in a regular record.
        tie_bson_type: the name of that type for `$type`.
    """

    date: str
    tie: str
    tie_type: type
    tie_bson_type: str

    def sort(self, direction: int) -> list[tuple[str, int]]:
        return [(self.date, direction), (self.tie, direction)]

    def key(self, record: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return the key of a record; None if it has other types than the regular ones."""
        date, tie = _value(record, self.date), _value(record, self.tie)
        return (date, tie) if isinstance(date, DATES) and isinstance(tie, self.tie_type) else None

    def behind(self, key: tuple[Any, Any], direction: int) -> Condition:
        """Return the condition for the records after a key.

        MongoDB compares values of one type only. Nearly all other types sort before dates, texts and ObjectIds.
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
    size: int = SCAN_PAGE,
    for_json: bool = False,
    index: str | None = None,
    indexed: Condition | None = None,
    reads_ahead: bool = False,
) -> AsyncGenerator[Page, None]:
    """Yield the records of a condition, at most `size` at a time, with flat memory.

    A record that changes during the read may be listed or not, but never causes another one to be passed over.

    Args:
        log: the event log.
        condition: the condition.
        order: the order; None for any, with which a lost cursor starts again from the beginning.
        fields: read only these and `_id`; None reads whole records. The fields of the order must be among them.
        reverse: descending.
        limit: the maximum number of records; None for all.
        size: the number of records in a page.
        for_json: decode records for `formats.event_json`.
        index: the name of the index to use, see `indexes`; ignored if the log does not have it.
        indexed: what the condition implies about the fields of an index that the embedded server would not find; for
            a scan in an order, without a limit.
        reads_ahead: fetch the next page while the caller works on this one.

    Raises:
        StoreUnavailable: the server did not answer; in the middle of a scan, not to a second try either.
    """
    records = Scan(
        log,
        condition,
        order=order,
        fields=fields,
        reverse=reverse,
        limit=limit,
        size=size,
        for_json=for_json,
        index=index,
        indexed=indexed,
        reads_ahead=reads_ahead,
    )
    async with aclosing(records.pages()) as pages:
        async for page in pages:
            yield page


@dataclass(eq=False, slots=True, kw_only=True)
class Scan:
    """A cursor over the records of a condition, and the last key that was read; see `scan`.

    After an outage `next` continues after the last record that was read.
    """

    log: Log = field(kw_only=False)
    condition: Condition = field(kw_only=False)
    order: ScanOrder | None = HISTORY
    fields: Sequence[str] | None = None
    reverse: bool = False
    limit: int | None = None
    size: int = SCAN_PAGE
    for_json: bool = False
    index: str | None = None
    indexed: Condition | None = None
    reads_ahead: bool = False
    after: tuple[Any, Any] | None = None
    """The key after which the scan begins, and later the last regular key that was read."""
    _cursor: Any = None
    _coming: asyncio.Task[Page] | None = None
    _read: int = 0
    _irregular: int = 0
    """The number of records that were read after the last regular key."""

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Yield the pages, and close the scan."""
        try:
            while page := await self.next():
                yield page
        finally:
            await self.aclose()

    async def next(self) -> Page:
        """Return the next page; an empty one is the end.

        Raises:
            StoreUnavailable: the server did not answer; in the middle of a scan, not to a second try either. The next
                call continues from there.
        """
        if not self.reads_ahead:
            return await self._page()
        coming, self._coming = self._coming or asyncio.create_task(self._page()), None
        if page := await coming:
            self._coming = asyncio.create_task(self._page())
            await asyncio.sleep(0)  # lets the request go out before the page is worked on
        return page

    async def aclose(self) -> None:
        """Close the scan."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StoreError):
                await coming
        await self._close_cursor()

    async def _page(self) -> Page:
        tries = 2
        while True:
            try:
                return await self._fetch_and_note()
            except StoreUnavailable as error:
                await self._close_cursor()  # the driver reads on from a lost cursor as from one that has ended
                tries -= 1
                if not tries or not (self._read or faults.is_dropped_index(error)):
                    raise

    async def _fetch_and_note(self) -> Page:
        page = [] if self._read == self.limit else await self._fetch()
        self._note(page)
        return page

    async def _fetch(self) -> Page:
        async with self.log.call(self.log.scan_timeout) as connection:
            if self._cursor is None:
                events = drivers.decoding(connection.events, JSON_CODEC) if self.for_json else connection.events
                self._cursor = await self._open(events, await hint(connection, self.index))
            page: Page = await self._cursor.to_list(self.size)
            return page

    async def _open(self, events: Any, options: Mapping[str, Any]) -> Any:
        condition = self.condition
        direction = DESCENDING if self.reverse else ASCENDING
        if self.order is not None and self.after is not None:
            condition = filters.joined(condition, self.order.behind(self.after, direction))
        if self.order is not None and self.indexed is not None and drivers.is_embedded(events.database):
            sort = self.order.sort(direction)
            return await drivers.find_by_index(
                events, self.indexed, condition, fields=self.fields, sort=sort, skip=self._irregular, size=self.size
            )
        cursor = events.find(condition, self.fields, batch_size=self.size, **options)
        if self.order is not None:
            cursor = cursor.sort(self.order.sort(direction)).skip(self._irregular)
        return cursor if self.limit is None else cursor.limit(self.limit - self._read)

    def _note(self, page: Page) -> None:
        self._read += len(page)
        for behind, record in enumerate(reversed(page)):
            if self.order is not None and (key := self.order.key(record)) is not None:
                self.after, self._irregular = key, behind
                return
        self._irregular += len(page)

    async def _close_cursor(self) -> None:
        """Close the cursor; a server that cannot be reached forgets it by itself."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(StoreError):
                async with self.log.call():
                    await cursor.close()


def _value(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# Selections


def select(
    log: Log, selection: Selection, *, size: int, for_json: bool = False, after: tuple[Any, Any] | None = None
) -> Scan:
    """Return a scan of the selected records, or of those after a key in the order of history."""
    return Scan(
        log,
        filters.selection_filter(selection),
        reverse=selection.reverse,
        limit=0 if selection.is_empty else selection.limit,
        size=size,
        for_json=for_json,
        index=_index_for(selection),
        reads_ahead=True,
        after=after,
    )


def _index_for(selection: Selection) -> str | None:
    if selection.event_ids is not None or len(selection.states) != 1:
        return None
    return {"open": OPEN_INDEX, "dead": DEAD_INDEX}.get(selection.states[0])


async def count(log: Log, selection: Selection) -> int:
    """Return the number of selected records; see `EventStore.count`."""
    async with log.call(log.scan_timeout) as connection:
        number = await connection.events.count_documents(filters.selection_filter(selection))
    return number if selection.limit is None else min(number, selection.limit)


# Look-ups by id


async def located(log: Log, event_ids: Sequence[str]) -> dict[str, Any]:
    """Return the `_id`s of events by their ids; an event that is not in the log is left out."""
    ids: dict[str, Any] = {}
    for start in range(0, len(event_ids), MAX_IDS):
        ids |= await _by_derived_id(log, event_ids[start : start + MAX_IDS])
    for event_id in event_ids:
        if event_id not in ids and (record := await find_record(log, event_id)) is not None:
            ids[event_id] = record["_id"]
    return ids


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


async def completed(log: Log, prefix: str) -> str | None:
    """Return the one event id that begins with a text of at least `MIN_PREFIX` characters, by the index on ids.

    Raises:
        AmbiguousEventId: several do.
    """
    if len(prefix) < MIN_PREFIX or not can_be_stored(prefix):
        return None
    # texts are compared by their bytes, and no character has greater ones than the last
    begins = {"event_id": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}
    async with log.call(log.scan_timeout) as connection:
        cursor = connection.events.find(begins, {"event_id": 1}).sort("event_id", ASCENDING).limit(MAX_CANDIDATES + 1)
        ids = [str(record["event_id"]) for record in await cursor.to_list(None)]
    if len(ids) > 1:
        raise AmbiguousEventId(prefix, ids[:MAX_CANDIDATES], has_more=len(ids) > MAX_CANDIDATES)
    return ids[0] if ids else None


async def whole_ids(log: Log, given: Sequence[str]) -> list[str]:
    """Return event ids with each unique beginning of one completed; what is not in the log stays as it is.

    Raises:
        AmbiguousEventId: several ids begin with one of the texts, and none is equal to it.
    """
    known = await located(log, given)
    return [event_id if event_id in known else await completed(log, event_id) or event_id for event_id in given]
