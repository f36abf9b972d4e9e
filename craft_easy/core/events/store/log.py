"""The event log's settings, connections, deadlines and database time.

Every module of the store takes a `Log`; `EventStore` is a `Log` with the methods for users.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, cast

import pymongo

from craft_easy.core.events import settings
from craft_easy.core.events.errors import EventsError, InvalidSetting, StoreUnavailable
from craft_easy.core.events.settings import EMBEDDED, HANDLERS_SUFFIX, WORKERS_SUFFIX, redact
from craft_easy.core.events.store import drivers, faults, indexes
from craft_easy.core.events.store.connection import LogConnection, acquire, release
from craft_easy.core.events.store.encoding import CODEC

DEADLINE: Final = 30.0
"""The default deadline of a call, in seconds: longer than an election takes."""
_GRACE: Final = 1.0
"""Seconds by which the driver may overrun the deadline, since its own error names the server that did not answer."""


class Log:
    """The event log for the modules of the store: one connection for each event loop.

    `EventStore` documents the arguments.
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
        self.timeout = timeout
        self._connections: dict[tuple[int, asyncio.AbstractEventLoop], LogConnection] = {}
        self._here: LogConnection | None = None

    # ------------------------------------------------------------------ names

    @property
    def name(self) -> str:
        """The name of the collection that holds the log."""
        return self._settings.collection.value

    @property
    def workers_name(self) -> str:
        """The name of the collection that holds the registry of workers."""
        return self.name + WORKERS_SUFFIX

    @property
    def handlers_name(self) -> str:
        """The name of the collection that holds the pauses of handlers."""
        return self.name + HANDLERS_SUFFIX

    @property
    def database_name(self) -> str:
        """The name of the log's database."""
        return self._settings.database.value

    @property
    def embedded_directory(self) -> str | None:
        """The directory of an embedded log; None where the log is on a server."""
        uri = self._settings.uri.value
        return uri.removeprefix(EMBEDDED) if self._given is None and uri.startswith(EMBEDDED) else None

    @property
    def scan_timeout(self) -> float:
        """The deadline of one page of a listing, in seconds: the server may have to sort for the first."""
        return 4 * self.timeout

    def __repr__(self) -> str:
        where = drivers.address(self._given) if self._given is not None else redact(self._settings.uri.value)
        return f"<{type(self).__name__} {self.database_name}.{self.name} at {where}>"

    # ------------------------------------------------------------------ open and close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> str:
        """Connect now rather than at the first call, and return `host:port` of the servers."""
        return (await self.connection()).where

    async def aclose(self) -> None:
        """Close the connection of the running loop, unless others use it; a later call connects again."""
        self._here = None
        connection = self._connections.pop((os.getpid(), asyncio.get_running_loop()), None)
        if connection is not None and connection.client is not None:
            await release(connection.client)

    async def connection(self) -> LogConnection:
        """Return the running loop's connection, connected if necessary; for the modules of the store."""
        connection = self._here
        loop = asyncio.get_running_loop()
        if connection is not None and connection.loop is loop and connection.pid == os.getpid():
            return connection
        for key in [key for key in self._connections if key[1].is_closed()]:
            del self._connections[key]
        self._here = self._connections.get((os.getpid(), loop)) or await self._connect(loop)
        return self._here

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> LogConnection:
        opened = None
        database = self._given
        if database is None:
            opened = await acquire(self._settings.uri.value, within=self.timeout)
            assert opened.client is not None
            database = opened.client.get_database(self.database_name)
        connection = LogConnection(
            pid=os.getpid(),
            loop=loop,
            database=database,
            events=drivers.majority_collection(database, self.name, CODEC),
            workers=drivers.majority_collection(database, self.workers_name, CODEC),
            handlers=drivers.majority_collection(database, self.handlers_name, CODEC),
            where=drivers.address(database),
            client=opened,
        )
        first = self._connections.setdefault((connection.pid, loop), connection)
        if first is not connection and opened is not None:
            await release(opened)
        return first

    # ------------------------------------------------------------------ calls

    @asynccontextmanager
    async def call(self, seconds: float | None = None) -> AsyncIterator[LogConnection]:
        """Give the connection for a call, under a deadline, and turn the driver's errors into ours.

        Args:
            seconds: the deadline of all that is done inside together, connecting included; None for the store's own.

        Raises:
            StoreUnavailable: the server was not reached, or did not answer in time.
            StoreLoginRefused: it refused the login, or the right.
            StoreError: it refused the call.
        """
        async with self.deadline(seconds):
            yield await self.connection()

    @asynccontextmanager
    async def deadline(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Give several calls one deadline together; it holds for store calls only, not for a user's code.

        Args:
            seconds: for all of them; None for the timeout of one call.

        Raises:
            StoreUnavailable: the deadline passed.
        """
        limit = self.timeout if seconds is None else seconds
        cancellations = _cancellations()
        try:
            async with asyncio.timeout(limit + _GRACE):
                with pymongo.timeout(limit):
                    yield
        except faults.DRIVER_ERRORS as error:
            raise self._translated(error) from error
        if _cancellations() > cancellations:
            raise asyncio.CancelledError

    def _translated(self, error: Exception) -> EventsError:
        where = "the event log" if self._here is None else self._here.where
        translated = faults.translated(error, where)
        if self._here is not None and isinstance(translated, StoreUnavailable):
            self._here.indexes = None  # an index may have been dropped
        return translated

    async def collection(self) -> drivers.Collection:
        """Return the log's collection, with majority and journaled writes and reads from the primary."""
        return (await self.connection()).events

    async def workers_collection(self) -> drivers.Collection:
        """Return the collection of the registry of workers, with the same options."""
        return (await self.connection()).workers

    def synchronous(self, *, timeout: float) -> tuple[pymongo.MongoClient[drivers.Document], str]:
        """Return a synchronous client for a thread of its own, and the name of the database.

        Args:
            timeout: seconds of each attempt.

        Raises:
            RuntimeError: the store is not open in the running loop.
        """
        connection = self._here
        if connection is None:
            raise RuntimeError("open the store first")
        uri = self._uri if connection.client is None else connection.client.server_uri
        return drivers.synchronous(connection.database, uri, timeout=timeout), connection.database.name

    async def now(self) -> datetime:
        """Return the database's time, in UTC and milliseconds."""
        async with self.call() as connection:
            return await drivers.now(connection.database)

    # ------------------------------------------------------------------ indexes

    async def ensure_indexes(self) -> list[str]:
        """Create the indexes that are missing and return their names; on a large log this takes minutes."""
        async with self.call(indexes.BUILD_DEADLINE) as connection:
            return await indexes.ensure(connection)

    async def prepare(self) -> LogConnection:
        """Create the indexes of a new or empty log; log one warning that names those that an old one lacks."""
        connection = await self.connection()
        if not connection.is_prepared:
            async with connection.preparing:
                if not connection.is_prepared:
                    async with self.call(self.scan_timeout):
                        await indexes.prepare(connection)
                    connection.is_prepared = True
        return connection


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


def _cancellations() -> int:
    """Count the cancellations of this task: `asyncio.wait_for`, which drivers use, can lose one before Python 3.12.

    https://github.com/python/cpython/issues/86296
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
