"""The event log as the library sees it: append, read, look up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, cast

import pymongo
from bson import ObjectId

from craft_easy.core.events import settings
from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.handlers import context
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.selection import NoTenant, Selection
from craft_easy.core.events.settings import WORKERS_SUFFIX, redact
from craft_easy.core.events.store import connection, drivers, faults, indexes, inserting, read
from craft_easy.core.events.store.append import Appender
from craft_easy.core.events.store.cancellation import Cancellation
from craft_easy.core.events.store.change_stream import ChangeStream
from craft_easy.core.events.store.documents import new_record, record_id, to_document
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.filters import UNREDACTED, can_be_stored, stored_forms
from craft_easy.core.events.store.inserting import InsertResult

DEADLINE: Final = 30.0
"""Seconds within which a call must end, unless the store is told otherwise: longer than an election takes."""
_GRACE: Final = 1.0
"""Seconds that the driver gets to keep the deadline itself, and to say what it was waiting for."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """How many events `append_many` stored, and how many were stored before."""

    stored: int
    present: int


@dataclass(eq=False, slots=True)
class LogConnection:
    """What a store works with in one event loop of one process."""

    pid: int
    loop: asyncio.AbstractEventLoop
    database: drivers.Database
    events: drivers.Collection
    workers: drivers.Collection
    where: str
    appender: Appender
    connection: connection.SharedClient | None = None
    is_prepared: bool = False
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_current(self) -> bool:
        return self.pid == os.getpid() and self.loop is asyncio.get_running_loop()


class EventStore:
    """Appends events to the log in MongoDB and reads them again.

    Without arguments `CRAFT_EVENTS_URI`, `CRAFT_EVENTS_DATABASE` and `CRAFT_EVENTS_COLLECTION` say where the log is,
    and else `mongodb://localhost:27017`, the URI's database or `craft_easy`, and `event_log`. Nothing is connected
    before the first call; the client is shared by all stores of the process, event loop and URI.

    Args:
        database: a PyMongo `AsyncDatabase`, a Motor database, or the name of a database at `uri`. A client that was
            given is never closed here.
        uri: a MongoDB URI, or `embedded:DIR`. Beside a database that was given it is what the thread that renews the
            lease connects to; without it that thread copies the settings of the database's client.
        collection: the name of the log.
        timeout: seconds after which any one call ends with `StoreUnavailable`.

    Raises:
        InvalidSetting: a name that MongoDB forbids or keeps for itself, or a URI that no driver understands.
        TypeError: the database is of a synchronous client.
    """

    def __init__(
        self,
        database: Any = None,
        *,
        uri: str | None = None,
        collection: str | None = None,
        timeout: float = DEADLINE,
    ) -> None:
        is_given = database is not None and not isinstance(database, str)
        self._given: drivers.Database | None = _checked(database) if is_given else None
        self._settings = _resolved(None if is_given else database, uri, collection, self._given)
        self._uri = uri
        self._timeout = timeout
        self._sites: dict[tuple[int, asyncio.AbstractEventLoop], LogConnection] = {}
        self._here: LogConnection | None = None

    # ------------------------------------------------------------------ where it is

    @property
    def name(self) -> str:
        """The name of the collection that holds the log."""
        return self._settings.collection.value

    @property
    def workers_name(self) -> str:
        """The name of the collection that holds the registry of workers."""
        return self.name + WORKERS_SUFFIX

    @property
    def database_name(self) -> str:
        """The name of the log's database."""
        return self._settings.database.value

    @property
    def scan_timeout(self) -> float:
        """Seconds for one page of a listing: the first may have to sort."""
        return 4 * self._timeout

    def __repr__(self) -> str:
        where = drivers.address(self._given) if self._given is not None else redact(self._settings.uri.value)
        return f"<EventStore {self.database_name}.{self.name} at {where}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back what this store opened in the running loop; a later call opens it again."""
        self._here = None
        site = self._sites.pop((os.getpid(), asyncio.get_running_loop()), None)
        if site is not None and site.connection is not None:
            await connection.release(site.connection)

    # ------------------------------------------------------------------ append

    async def append(self, event: DomainEvent, *, handlers: Iterable[str] | None = None) -> bool:
        """Store one event and return whether it is new; the same event again changes nothing.

        Args:
            event: what happened.
            handlers: ids of handlers that a redispatch is to run; None leaves the record untracked.

        Raises:
            InvalidEvent: the log could not keep it exactly.
            EventConflict: its id is stored with another type, tenant, actor or payload.
            StoreUnavailable: it is not known to be stored.
        """
        return (await self._append([event], handlers)).stored == 1

    async def append_many(
        self, events: Iterable[DomainEvent], *, handlers: Iterable[str] | None = None
    ) -> AppendResult:
        """Store many events, with one write for up to 1,000 of them or 8 MB.

        A list is checked whole before anything is written; of any other iterable each thousand. Events that are
        stored already are passed over, so that after an error the same call may be made again.

        Args:
            events: what happened.
            handlers: ids of handlers that a redispatch is to run; None leaves the records untracked.

        Raises:
            InvalidEvent: the log could not keep one of them exactly.
            EventConflict: the id of one is stored with other content; the others of its thousand are stored.
            StoreUnavailable: not all are known to be stored.
        """
        wanted = None if handlers is None else list(handlers)
        if isinstance(events, Sequence):
            return await self._append(events, wanted)
        stored = present = 0
        for some in _by_thousands(iter(events)):
            result = await self._append(some, wanted)
            stored, present = stored + result.stored, present + result.present
        return AppendResult(stored, present)

    async def _append(self, events: Sequence[DomainEvent], handlers: Iterable[str] | None) -> AppendResult:
        delivery = None
        if handlers is not None:
            delivery = to_document(Delivery.new(handlers, at=await self.now()))
        records = [new_record(event, delivery) for event in events]
        if context.is_used and context.suppresses(len(events)):
            return AppendResult(0, 0)
        results = await self.insert(records)
        for result in results:
            result.check()
        if delivery is not None:
            await self._track(results, delivery)
        stored = sum(result.is_inserted for result in results)
        return AppendResult(stored, len(results) - stored)

    async def _track(self, results: Sequence[InsertResult], delivery: Mapping[str, Any]) -> None:
        """Begin to track records that were stored before without a delivery."""
        for result in results:
            if result.stored is not None and result.stored.get("delivery") is None:
                async with self.call() as site:
                    await site.events.update_one(
                        {"_id": result.stored["_id"], "delivery": None, **UNREDACTED},
                        {"$set": {"delivery": dict(delivery)}},
                    )

    async def insert(self, records: Sequence[Mapping[str, Any]]) -> list[InsertResult]:
        """Store records of `new_record` and return what became of each, in the same order.

        For the use-cases: one that is refused or stored already does not stop the others.

        Raises:
            InvalidEvent: a record is too large.
            StoreUnavailable: nothing is known of the last thousand; the same call may be made again.
        """
        if not records:
            return []
        site = await self.prepare()
        return await site.appender.append(records)

    @property
    def appender(self) -> Appender | None:
        """What stores single records without ado, where the store is open and prepared in the running loop.

        For the bus, for which each step counts; `insert` does all else.
        """
        site = self._here
        return site.appender if site is not None and site.is_prepared and site.is_current else None

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
            tenant_id: of this tenant; None for all, `NO_TENANT` for those without.
            event_type: a pattern: `*` is any run of characters, `?` one.
            since: not before this time, aware.
            until: before this time, aware.
            limit: at most so many; None for all (`stream` keeps memory flat).
        """
        selection = Selection.of(tenant_id=tenant_id, event_type=event_type, since=since, until=until, limit=limit)
        return [DomainEvent.from_record(record) async for records in self.batches(selection) for record in records]

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
        """Yield what `replay` returns, any number, with flat memory; `reverse` yields the newest first."""
        selection = Selection.of(
            tenant_id=tenant_id, event_type=event_type, since=since, until=until, limit=limit, reverse=reverse
        )
        async with aclosing(self.batches(selection)) as pages:
            async for records in pages:
                for record in records:
                    yield DomainEvent.from_record(record)

    async def batches(
        self, selection: Selection, *, size: int = read.PAGE, for_json: bool = False
    ) -> AsyncGenerator[read.Page, None]:
        """Yield the selected records as they are stored, `size` at a time at most, with flat memory.

        For the use-cases. Ascending by `(timestamp, event_id)`, descending where the selection is reversed.
        With `for_json` they are decoded as `store.event_json` takes them.
        """
        if not selection.is_empty:
            async with aclosing(read.batches(self, selection, size=size, for_json=for_json)) as pages:
                async for page in pages:
                    yield page

    async def count(self, selection: Selection) -> int:
        """Return how many events are selected now; the server counts, on a large log for a while."""
        return 0 if selection.is_empty else await read.count(self, selection)

    async def watch(
        self, selection: Selection, *, after: Mapping[str, Any] | None = None, updates: bool = False
    ) -> ChangeStream:
        """Return an open stream of the selected records that are inserted from now on, or `after` a resume token.

        For the use-cases; a limit is not kept. Records are decoded as `store.event_json` takes them. With `updates` it
        also yields the selected records whose deliveries change.

        Raises:
            ChangeStreamsMissing: the server has none.
            CheckpointError: the server no longer knows what came after the token.
            StoreUnavailable: it was not reached, or did not answer in time.
        """
        return await ChangeStream.open(self, selection, after=after, updates=updates)

    async def get(self, event_id: str) -> DomainEvent | None:
        """Return one event, or None where there is none."""
        record = await self.find_record(event_id)
        return None if record is None else DomainEvent.from_record(record)

    async def find_record(self, event_id: str) -> Mapping[str, Any] | None:
        """Return the record of an event: by the derived `_id`, then by `event_id`, then by the `_id` of another writer.

        For the use-cases.
        """
        if not can_be_stored(event_id):
            return None
        forms = stored_forms(event_id)
        others = [form for form in forms if isinstance(form, ObjectId) or form == event_id]
        async with self.call() as site:
            for condition in (
                {"_id": record_id(event_id), "event_id": event_id},
                {"event_id": {"$in": forms}},
                {"_id": {"$in": others}, "event_id": None},
            ):
                record = await site.events.find_one(condition)
                if record is not None:
                    return cast("Mapping[str, Any]", record)
        return None

    async def now(self) -> datetime:
        """Return the database's time, in UTC and milliseconds."""
        async with self.call() as site:
            if drivers.is_mock(site.database):
                return _milliseconds(datetime.now(UTC))
            reply = await site.database.command("hello", read_preference=drivers.PRIMARY, codec_options=CODEC)
        return cast("datetime", reply["localTime"])

    # ------------------------------------------------------------------ indexes

    async def ensure_indexes(self) -> list[str]:
        """Create the indexes that are missing and return their names; on a large log that takes its time."""
        return await indexes.ensure(self)

    async def prepare(self) -> LogConnection:
        """Create the indexes of a log that is new or empty; name those that an old one lacks, once."""
        site = await self.site()
        if not site.is_prepared:
            async with site.preparing:
                if not site.is_prepared:
                    await indexes.prepare(self)
                    site.is_prepared = True
        return site

    # ------------------------------------------------------------------ for the use-cases

    @asynccontextmanager
    async def call(self, seconds: float | None = None) -> AsyncIterator[LogConnection]:
        """Give what a call works with, under a deadline, and turn the driver's errors into ours.

        Args:
            seconds: the deadline of all that is done inside together; None for the store's own.

        Raises:
            StoreUnavailable: the server was not reached, or did not answer in time.
            StoreLoginRefused: it refused the login, or the right.
            StoreError: it refused the call.
        """
        site = await self.site()
        limit = self._timeout if seconds is None else seconds
        cancellation = Cancellation()
        with faults.Translation(site.where):
            async with asyncio.timeout(limit + _GRACE):
                with pymongo.timeout(limit):
                    yield site
        cancellation.check()

    async def collection(self) -> drivers.Collection:
        """Return the log's collection: majority and journal for writes, the primary for reads."""
        return (await self.site()).events

    async def workers_collection(self) -> drivers.Collection:
        """Return the collection of the registry of workers, in the same manner."""
        return (await self.site()).workers

    async def is_mock(self) -> bool:
        """Tell whether the log lives in memory, for tests."""
        return drivers.is_mock((await self.site()).database)

    async def open(self) -> str:
        """Connect, which the first call does otherwise, and return `host:port` of the servers."""
        return (await self.site()).where

    def synchronous(self, *, timeout: float) -> tuple[pymongo.MongoClient[drivers.Document], str]:
        """Return a synchronous client of its own for a thread, and the name of the database.

        Only where the store is open in the running loop; `timeout` is in seconds and holds for each try.
        """
        site = self._here
        if site is None:
            raise RuntimeError("open the store first")
        uri = self._uri if site.connection is None else site.connection.server_uri
        return drivers.synchronous(site.database, uri, timeout=timeout), site.database.name

    async def site(self) -> LogConnection:
        """Return what the running loop works with, opened where it is not yet; for the store's own modules."""
        site = self._here
        if site is not None and site.is_current:
            return site
        loop = asyncio.get_running_loop()
        for key in [key for key in self._sites if key[1].is_closed()]:
            del self._sites[key]
        self._here = self._sites.get((os.getpid(), loop)) or await self._new_site(loop)
        return self._here

    async def _new_site(self, loop: asyncio.AbstractEventLoop) -> LogConnection:
        opened = None
        database = self._given
        if database is None:
            opened = await connection.acquire(self._settings.uri.value, within=self._timeout)
            assert opened.client is not None
            database = opened.client.get_database(self.database_name)
        site = LogConnection(
            pid=os.getpid(),
            loop=loop,
            database=database,
            events=drivers.majority_collection(database, self.name, CODEC),
            workers=drivers.majority_collection(database, self.workers_name, CODEC),
            where=drivers.address(database),
            appender=Appender(self, is_mock=drivers.is_mock(database)),
            connection=opened,
        )
        first = self._sites.setdefault((site.pid, loop), site)
        if first is not site and opened is not None:
            await connection.release(opened)
        return first


def _checked(database: object) -> drivers.Database:
    if not drivers.is_database(database):
        raise TypeError(
            f"EventStore needs a database of PyMongo's AsyncMongoClient or of Motor, not {type(database).__name__}: "
            'EventStore(AsyncMongoClient(uri)["shop"])'
        )
    return cast("drivers.Database", database)


def _resolved(
    name: str | None, uri: str | None, collection: str | None, given: drivers.Database | None
) -> settings.Settings:
    flags = {"uri": uri, "database": name, "collection": collection}
    environ: Mapping[str, str] = os.environ
    if given is not None:
        flags |= {"uri": uri or settings.DEFAULT_URI, "database": given.name}
        environ = {settings.ENVIRONMENT["collection"]: os.environ.get(settings.ENVIRONMENT["collection"], "")}
    try:
        return settings.resolve(flags, environ=environ)
    except InvalidSetting as error:
        if not error.name.startswith("--"):
            raise
        argument = error.name.removeprefix("--")
        raise InvalidSetting(argument, error.reason, origin="an argument of EventStore", hint=error.hint) from None


def _by_thousands(events: Iterator[DomainEvent]) -> Iterator[list[DomainEvent]]:
    while some := list(islice(events, inserting.MAX_RECORDS)):
        yield some


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
