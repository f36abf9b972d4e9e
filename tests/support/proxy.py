"""A TCP proxy in front of a MongoDB server that cuts, freezes and refuses connections on command.

It reads the OP_MSG of each request, so that a fault can apply to one kind of command. If the connection is cut after
the server has executed a request and before its reply arrives, a client cannot tell it from a request that never
arrived. https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import bson

Command = dict[str, Any]
LOG: Final = "event_log"
WORKERS: Final = "event_log_workers"
FOR_EVER: Final = 1 << 30
_OP_MSG: Final = 2013
_HEADER: Final = struct.Struct("<iiii")


def insert(command: Command) -> bool:
    """Return whether a command stores records."""
    return command.get("insert") == LOG


def claim(command: Command) -> bool:
    """Return whether a command claims records."""
    return command.get("update") == LOG and any(one.get("multi") for one in command["updates"])


def outcome(command: Command) -> bool:
    """Return whether a command changes deliveries, one record at a time."""
    return command.get("update") == LOG and not claim(command)


def more(command: Command) -> bool:
    """Return whether a command continues a cursor over the log."""
    return "getMore" in command and command.get("collection") == LOG


def beat(command: Command) -> bool:
    """Return whether a command renews a lease."""
    return command.get("findAndModify") == WORKERS and not command.get("upsert")


def commit(command: Command) -> bool:
    """Return whether a command commits a transaction."""
    return "commitTransaction" in command


@dataclass(eq=False, slots=True)
class Fault:
    """A fault for the next requests of a kind.

    Args:
        meant: returns whether a request is of that kind.
        times: the number of requests.
        loses_request: the server never gets them; otherwise it executes them, and only their replies are lost.
        then: called when such a request is sent to the server.
    """

    meant: Callable[[Command], bool]
    times: int = 1
    loses_request: bool = False
    then: Callable[[], object] = lambda: None
    met: int = 0

    def takes(self, command: Command) -> bool:
        """Return whether this request gets the fault, and count it."""
        if self.met == self.times or not self.meant(command):
            return False
        self.met += 1
        return True

    def lift(self) -> None:
        """Leave all later requests alone."""
        self.times = self.met


@dataclass(eq=False, slots=True)
class _Pair:
    """A client's connection and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    doomed: set[int] = field(default_factory=set)

    def cut(self) -> None:
        for writer in (self.client, self.server):
            if writer.transport is not None:
                writer.transport.abort()


class Proxy:
    """Forwards everything between clients and one server, except for its faults; belongs to one event loop.

    Attributes:
        uri: the address for clients.
        connections: the number of accepted connections.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._target = parts.hostname or "127.0.0.1", parts.port or 27017
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._faults: list[Fault] = []
        self._is_thawed = asyncio.Event()
        self._is_thawed.set()
        self.connections = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.thaw()
        await self.refuse()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}/?directConnection=true"

    # faults

    def lose_replies(self, meant: Callable[[Command], bool], times: int = 1) -> Fault:
        """Cut the connection after the server has executed the request, and before its reply arrives."""
        return self._add(Fault(meant, times))

    def lose_requests(self, meant: Callable[[Command], bool], times: int = 1) -> Fault:
        """Cut the connection before the server gets the request."""
        return self._add(Fault(meant, times, loses_request=True))

    def when(self, meant: Callable[[Command], bool], then: Callable[[], object]) -> Fault:
        """Call a function when such a request has been sent to the server, and lose its reply."""
        return self._add(Fault(meant, then=then))

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def freeze(self) -> None:
        """Forward nothing in either direction; connections stay open."""
        self._is_thawed.clear()

    def thaw(self) -> None:
        """Forward everything again."""
        self._is_thawed.set()

    async def heal(self) -> None:
        """Remove all faults."""
        for fault in self._faults:
            fault.lift()
        self.thaw()
        await self.accept()

    async def refuse(self) -> None:
        """Cut every connection, and accept no other."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for pair in list(self._pairs):
            pair.cut()

    async def accept(self) -> None:
        """Accept connections again, on the same port."""
        if self._listener is not None:
            return
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    # passing on

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        try:
            answers, server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._requests(pair, reader), self._replies(pair, answers))
        finally:
            self._pairs.discard(pair)
            pair.cut()

    async def _requests(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                number, kind, message = await _read(reader, number_at=1)
                await self._is_thawed.wait()
                fault = self._fault_of(message) if kind == _OP_MSG else None
                if fault is not None and fault.loses_request:
                    break
                if fault is not None:
                    pair.doomed.add(number)
                pair.server.write(message)
                await pair.server.drain()
                if fault is not None:
                    fault.then()
        pair.cut()

    async def _replies(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                number, _, message = await _read(reader, number_at=2)
                await self._is_thawed.wait()
                if number in pair.doomed:
                    break
                pair.client.write(message)
                await pair.client.drain()
        pair.cut()

    def _fault_of(self, message: bytes) -> Fault | None:
        command = command_of(message[_HEADER.size :])
        return next((fault for fault in self._faults if fault.takes(command)), None)


async def _read(reader: asyncio.StreamReader, *, number_at: int) -> tuple[int, int, bytes]:
    """Return the request id, the kind and the bytes of the next message."""
    header = await reader.readexactly(_HEADER.size)
    fields = _HEADER.unpack(header)
    return fields[number_at], fields[3], header + await reader.readexactly(fields[0] - _HEADER.size)


def command_of(body: bytes) -> Command:
    """Decode an OP_MSG of one document and any number of document sequences."""
    at, command, sequences = 4, {}, {}
    end = len(body) - 4 * (body[0] & 1)  # a checksum may follow
    while at < end:
        kind, size = body[at], int.from_bytes(body[at + 1 : at + 5], "little")
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = list(_documents(documents))
        at += 1 + size
    return command | sequences


def _documents(data: bytes) -> Iterator[Command]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield bson.decode(data[at : at + size])
        at += size
