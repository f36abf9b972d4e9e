"""The part of MongoDB's wire protocol that a canned server needs: OP_MSG, and the OP_QUERY of the first greeting.

https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
_HEADER: Final = struct.Struct("<iiii")

Command = dict[str, Any]
Reply = bytes


def messages(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield the request id, the kind and the body of each message until the client disconnects."""
    stream = connection.makefile("rb")
    while header := stream.read(_HEADER.size):
        length, request, _, kind = _HEADER.unpack(header)
        yield request, kind, stream.read(length - _HEADER.size)


def message(request: int, kind: int, body: bytes) -> bytes:
    """Return the message that answers a request."""
    return _HEADER.pack(_HEADER.size + len(body), 0, request, kind) + body


def greeting(request: int) -> bytes:
    """Return the answer to the first greeting, an OP_QUERY."""
    return message(request, OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + hello())


def answer(request: int, reply: Reply) -> bytes:
    """Return the answer to an OP_MSG."""
    return message(request, OP_MSG, b"\0\0\0\0\0" + reply)


def command_of(body: bytes) -> Command:
    """Decode an OP_MSG of one body and any number of document sequences, which become lists of raw bytes."""
    at, command, sequences = 4, {}, {}
    while at < len(body):
        kind, size = body[at], int.from_bytes(body[at + 1 : at + 5], "little")
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = list(_documents(documents))
        at += 1 + size
    return command | sequences


def _documents(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield data[at : at + size]
        at += size


def ok(**fields: Any) -> Reply:
    """Return a reply with these fields."""
    return bson.encode({**fields, "ok": 1.0})


def hello() -> Reply:
    """Greet as a primary; also the answer to pings and other commands."""
    return ok(
        helloOk=True,
        isWritablePrimary=True,
        ismaster=True,
        setName="canned",
        maxBsonObjectSize=16 << 20,
        maxMessageSizeBytes=48_000_000,
        maxWriteBatchSize=100_000,
        localTime=datetime.now(UTC),
        logicalSessionTimeoutMinutes=30,
        minWireVersion=0,
        maxWireVersion=25,
    )


def cursor(number: int, name: str, batch: bytes) -> Reply:
    """Return a page of a cursor: its id, 0 for the last page, and the content of an array of documents."""
    inside = b"\x12id\0" + struct.pack("<q", number) + b"\x02ns\0\x04\0\0\0a.b\0"
    inside += b"\x04" + name.encode() + b"\0" + _document(batch)
    return _document(b"\x03cursor\0" + _document(inside) + b"\x01ok\0" + struct.pack("<d", 1.0))


def array(documents: Sequence[bytes]) -> bytes:
    """Return the content of an array of these documents."""
    while len(_KEYS) < len(documents):
        _KEYS.extend(b"\x03%d\0" % index for index in range(len(_KEYS), 2 * len(_KEYS)))
    return b"".join([key + one for key, one in zip(_KEYS, documents, strict=False)])


_KEYS: Final = [b"\x03%d\0" % index for index in range(1_024)]


def _document(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\0"
