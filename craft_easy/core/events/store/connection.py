"""The shared clients: one for each process, address and event loop, which the last store that uses it closes.

A fork gets a client of its own, because two processes cannot use one connection; the clients of a closed loop are
dropped, because they cannot be used any more. An address `embedded:DIR` starts or joins the embedded event log there.
"""

from __future__ import annotations

import asyncio
import os
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final

import pymongo
from bson.errors import BSONError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from craft_easy.core.events.embedded import EmbeddedLog, join
from craft_easy.core.events.settings import EMBEDDED
from craft_easy.core.events.store import drivers, faults

CONNECT_DEADLINE: Final = 5.0
"""Seconds within which a server must answer for the first time."""
CLOSE_DEADLINE: Final = 1.0
"""Seconds to tell the server that sessions end; it drops them by itself too."""


@dataclass(eq=False, slots=True)
class SharedClient:
    """A client, the number of stores that use it, and the embedded log that it is connected to, if it is one."""

    uri: str
    users: int = 0
    client: AsyncMongoClient[drivers.Document] | None = None
    server_uri: str = ""
    embedded: EmbeddedLog | None = None
    opening: asyncio.Task[None] | None = None


@dataclass(eq=False, slots=True, weakref_slot=True)
class LogConnection:
    """The database and collections of a log in one event loop of one process."""

    pid: int
    loop: asyncio.AbstractEventLoop
    database: drivers.Database
    events: drivers.Collection
    workers: drivers.Collection
    handlers: drivers.Collection
    where: str
    client: SharedClient | None = None
    is_prepared: bool = False
    indexes: frozenset[str] | None = None
    """The names of the indexes that a query may use as a hint; None until they were listed."""
    has_warned: bool = False
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)


_Key = tuple[int, str, asyncio.AbstractEventLoop]
_connections: Final[dict[_Key, SharedClient]] = {}


async def acquire(uri: str, *, within: float = CONNECT_DEADLINE) -> SharedClient:
    """Return the running loop's client for this address, connected; each call needs one `release`.

    Args:
        uri: a MongoDB URI, or `embedded:DIR`.
        within: seconds within which a server must answer for the first time, at most `CONNECT_DEADLINE`.

    Raises:
        InvalidSetting: the driver cannot use this address.
        StoreUnavailable: no server answered there.
        StoreLoginRefused: it refused the login.
        EmbeddedLogError: the embedded log cannot be started or joined.
    """
    _forget_closed_loops()
    key = _key(uri)
    connection = _connections.setdefault(key, SharedClient(uri))
    connection.users += 1
    try:
        if connection.opening is None:
            # one attempt for all waiting callers: none of them waits for a second one after it has failed
            attempt = _open(connection, min(within, CONNECT_DEADLINE))
            connection.opening = asyncio.create_task(attempt, name="connect", context=Context())
        await asyncio.shield(connection.opening)
    except BaseException:
        await release(connection)
        raise
    return connection


async def release(connection: SharedClient) -> None:
    """Return a client that `acquire` returned; the last user closes it."""
    connection.users -= 1
    key = _key(connection.uri)
    if connection.users or _connections.get(key) is not connection:
        return
    del _connections[key]
    if connection.opening is not None and connection.opening.done():
        await _shut(connection)


async def _shut(connection: SharedClient) -> None:
    client, connection.client = connection.client, None
    embedded, connection.embedded = connection.embedded, None
    if client is not None:
        await _close(client)
    if embedded is not None:
        await asyncio.to_thread(embedded.leave)


def _key(uri: str) -> _Key:
    return os.getpid(), uri, asyncio.get_running_loop()


def _forget_closed_loops() -> None:
    here = os.getpid()
    for key in [key for key in _connections if key[0] == here and key[2].is_closed()]:
        connection = _connections.pop(key)
        if connection.client is not None:
            drivers.abandon(connection.client)
        if connection.embedded is not None:
            connection.embedded.leave()


async def _open(connection: SharedClient, within: float) -> None:
    uri = connection.uri
    try:
        if uri.startswith(EMBEDDED):
            connection.embedded = await asyncio.to_thread(join, uri.removeprefix(EMBEDDED))
            uri = connection.embedded.uri
        connection.client = _new_client(uri)
        connection.server_uri = uri
        await _greet(connection.client, within)
    except BaseException:
        await _shut(connection)
        raise
    if not connection.users:  # all of them were cancelled
        await _shut(connection)


def _new_client(uri: str) -> AsyncMongoClient[drivers.Document]:
    try:
        return drivers.new_client(uri)
    except (PyMongoError, BSONError, ValueError, TypeError) as error:
        raise faults.invalid_uri(error, uri) from error


async def _greet(client: AsyncMongoClient[drivers.Document], within: float) -> None:
    where = drivers.address(client.get_database("admin"))
    with faults.translate_errors(where):
        async with asyncio.timeout(within + 1):
            with pymongo.timeout(within):
                await client.admin.command("ping", read_preference=drivers.PRIMARY)


async def _close(client: AsyncMongoClient[drivers.Document]) -> None:
    try:
        async with asyncio.timeout(CLOSE_DEADLINE):
            with pymongo.timeout(CLOSE_DEADLINE):
                await client.close()
    except (PyMongoError, TimeoutError):
        drivers.abandon(client)  # the server drops its sessions by itself
