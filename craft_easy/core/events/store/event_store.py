"""The façade of the store: append, replay, stream, get."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any

from craft_easy.core.events.handlers.context import suppresses
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.envelope import is_malformed
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.selection import NoTenant, Selection
from craft_easy.core.events.store import append, read
from craft_easy.core.events.store.append import Appender, InsertResult
from craft_easy.core.events.store.change_stream import ANSWER_WITHIN, ChangeStream
from craft_easy.core.events.store.documents import new_record, to_document
from craft_easy.core.events.store.filters import UNREDACTED
from craft_easy.core.events.store.log import Log


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The number of events that `append_many` stored, and of those that were stored before."""

    stored: int
    present: int


class EventStore(Log):
    """Appends events to the log in MongoDB and reads them again.

    Arguments override `CRAFT_EVENTS_URI`, `CRAFT_EVENTS_DATABASE` and `CRAFT_EVENTS_COLLECTION`; the defaults are
    `mongodb://localhost:27017`, the URI's database or `craft_easy`, and `event_log`. The first call connects;
    the stores of a process, event loop and URI share one client.

    Args:
        database: a PyMongo `AsyncDatabase`, a Motor database, or the name of a database at `uri`. The client of a
            given database is never closed.
        uri: a MongoDB URI, or `embedded:DIR`. With a given database it is for the thread that sends heartbeats; without
            it that thread copies the settings of the database's client.
        collection: the name of the log.
        timeout: seconds after which any one call ends with `StoreUnavailable`.

    Raises:
        InvalidSetting: a name that MongoDB forbids or reserves, or a URI that the driver cannot use.
        TypeError: the database is of a synchronous client.
    """

    @cached_property
    def _appender(self) -> Appender:
        return Appender(self)

    # ------------------------------------------------------------------ append

    async def append(self, event: DomainEvent, *, handlers: Iterable[str] | None = None) -> bool:
        """Store one event and return whether it is new; storing the same event again changes nothing.

        Args:
            event: the event.
            handlers: ids of the handlers that a redispatch runs; None leaves the record untracked.

        Raises:
            InvalidEvent: the log cannot keep it exactly.
            EventConflict: its id is stored with another type, tenant, actor or payload.
            StoreUnavailable: it is not known to be stored.
        """
        return (await self._append([event], handlers)).stored == 1

    async def append_many(
        self, events: Iterable[DomainEvent], *, handlers: Iterable[str] | None = None
    ) -> AppendResult:
        """Store many events, with one write for up to 1,000 of them or 8 MB.

        A list is checked as a whole before anything is written, any other iterable by thousands. Events that are
        already stored are skipped, so after an error the same call can be made again.

        Args:
            events: the events.
            handlers: ids of the handlers that a redispatch runs; None leaves the records untracked.

        Raises:
            InvalidEvent: the log cannot keep one of them exactly.
            EventConflict: the id of one is stored with other content; the others of its thousand are stored.
            StoreUnavailable: not all are known to be stored.
        """
        wanted = None if handlers is None else list(handlers)
        if isinstance(events, Sequence):
            return await self._append(events, wanted)
        stored = present = 0
        for batch in _by_thousands(iter(events)):
            result = await self._append(batch, wanted)
            stored, present = stored + result.stored, present + result.present
        return AppendResult(stored, present)

    async def _append(self, events: Sequence[DomainEvent], handlers: Iterable[str] | None) -> AppendResult:
        delivery = None
        if handlers is not None:
            delivery = to_document(Delivery.new(handlers, at=await self.now()))
        records = [new_record(event, delivery) for event in events]
        if suppresses(len(events)):
            return AppendResult(0, 0)
        results = await self.insert(records)
        for result in results:
            result.check()
        if delivery is not None:
            await self._track(results, delivery)
        stored = sum(result.is_inserted for result in results)
        return AppendResult(stored, len(results) - stored)

    async def _track(self, results: Sequence[InsertResult], delivery: Mapping[str, Any]) -> None:
        """Add a delivery to records that were stored before without one."""
        for result in results:
            if result.stored is not None and result.stored.get("delivery") is None:
                async with self.call() as connection:
                    await connection.events.update_one(
                        {"_id": result.stored["_id"], "delivery": None, **UNREDACTED},
                        {"$set": {"delivery": dict(delivery)}},
                    )

    async def insert(self, records: Sequence[Mapping[str, Any]]) -> list[InsertResult]:
        """Store records of `new_record` and return the result of each, in the same order.

        For other packages of the library: a record that is refused or already stored does not stop the others.

        Raises:
            InvalidEvent: a record is too large.
            StoreUnavailable: some are not known to be stored; the same call can be made again.
        """
        return await self._appender.append(records)

    # ------------------------------------------------------------------ read

    async def replay(
        self,
        *,
        tenant_id: str | NoTenant | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = 1000,
    ) -> list[DomainEvent]:
        """Return events ascending by `(timestamp, event_id)`; nothing is changed and no handler runs.

        Args:
            tenant_id: a tenant; None for all events, `NO_TENANT` for those without a tenant.
            event_type: a pattern; `*` matches any run of characters, `?` one.
            since: the earliest time, aware.
            until: the time before which events are returned, aware.
            limit: the maximum number of events; None for all (`stream` keeps memory flat).
        """
        selection = Selection.of(tenant_id=tenant_id, event_type=event_type, since=since, until=until, limit=limit)
        pages = self.batches(selection)
        return [DomainEvent.from_record(record) async for page in pages for record in page if not is_malformed(record)]

    async def stream(
        self,
        *,
        tenant_id: str | NoTenant | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> AsyncGenerator[DomainEvent, None]:
        """Yield the events of `replay`, any number of them, with flat memory; `reverse` yields the newest first."""
        selection = Selection.of(
            tenant_id=tenant_id, event_type=event_type, since=since, until=until, limit=limit, reverse=reverse
        )
        async with aclosing(self.batches(selection)) as pages:
            async for records in pages:
                for record in records:
                    if not is_malformed(record):
                        yield DomainEvent.from_record(record)

    async def batches(
        self, selection: Selection, *, size: int = read.SCAN_PAGE, for_json: bool = False
    ) -> AsyncGenerator[read.Page, None]:
        """Yield the selected records as they are stored, `size` at a time at most, with flat memory.

        For other packages of the library. Ascending by `(timestamp, event_id)`, descending where the selection is
        reversed. With `for_json` they are decoded for `formats.event_json`.
        """
        async with aclosing(read.select(self, selection, size=size, for_json=for_json).pages()) as pages:
            async for page in pages:
                yield page

    async def count(self, selection: Selection) -> int:
        """Return the number of selected events; on a large log the server counts for seconds."""
        return 0 if selection.is_empty else await read.count(self, selection)

    async def watch(
        self,
        selection: Selection,
        *,
        after: Mapping[str, Any] | None = None,
        updates: bool = False,
        within: float = ANSWER_WITHIN,
    ) -> ChangeStream:
        """Return an open stream of the selected records that are inserted from now on, or `after` a resume token.

        For other packages of the library; a limit is ignored. Records are decoded for `formats.event_json`.
        With `updates` it also yields the selected records whose deliveries change. `within` is the deadline of each
        answer, in seconds.

        Raises:
            ChangeStreamsMissing: the server has no change streams.
            CheckpointError: the server's oplog no longer reaches back to the token.
            StoreUnavailable: it was not reached, or did not answer in time.
        """
        return await ChangeStream.open(self, selection, after=after, updates=updates, within=within)

    async def get(self, event_id: str) -> DomainEvent | None:
        """Return an event, or None if the log does not have it."""
        record = await self.find_record(event_id)
        return None if record is None else DomainEvent.from_record(record)

    async def find_record(self, event_id: str) -> Mapping[str, Any] | None:
        """Return the record of an event: by the derived `_id`, then by `event_id`, then by the `_id` of another writer.

        For other packages of the library.
        """
        return await read.find_record(self, event_id)


def _by_thousands(events: Iterator[DomainEvent]) -> Iterator[list[DomainEvent]]:
    while batch := list(islice(events, append.MAX_RECORDS)):
        yield batch
