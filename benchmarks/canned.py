"""A MongoDB server that answers from memory, in a process of its own: what is left is the client's cost.

    with Canned(records=100_000) as server:
        MongoClient(server.uri)

It speaks just enough of the wire protocol for the drivers: OP_MSG and the OP_QUERY of the first greeting
(https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md). Every `find` has the same records, as
many as were asked for; every write is acknowledged and forgotten.
"""

from __future__ import annotations

import argparse
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
_HEADER: Final = struct.Struct("<iiii")
_DIFFERENT: Final = 1_000
"""So many different records there are; a longer history has them again and again."""

Command = dict[str, Any]
Reply = bytes


class Canned:
    """Runs the server in a process of its own while the block runs.

    Args:
        records: how many each `find` yields, its own limit aside.
        handlers: how many handlers each record's delivery has; None leaves the records untracked.
    """

    def __init__(self, *, records: int = 0, handlers: int | None = None) -> None:
        self._arguments = ["--records", str(records), *(["--handlers", str(handlers)] if handlers is not None else [])]
        self.uri = ""

    def __enter__(self) -> Self:
        command = [sys.executable, str(Path(__file__).resolve()), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self.uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


class Server:
    """Answers commands; `answers` may be added to."""

    def __init__(self, documents: Sequence[bytes], records: int) -> None:
        self._documents = documents
        self._records = records
        self._batches: dict[int, bytes] = {}
        self._left: dict[int, int] = {}
        self._next_cursor = 1
        self._lock = threading.Lock()
        self.answers: dict[str, Callable[[Command], Reply]] = {
            "find": self._find,
            "getMore": self._get_more,
            "aggregate": lambda _: _cursor(0, "firstBatch", b""),
            "listIndexes": lambda _: _cursor(0, "firstBatch", b""),
            "insert": lambda command: _ok(n=len(command["documents"])),
            "update": lambda command: _ok(n=len(command["updates"]), nModified=len(command["updates"])),
            "delete": lambda command: _ok(n=len(command["deletes"])),
        }

    def serve(self, listener: socket.socket) -> None:
        """Answer for ever."""
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            for request, kind, body in _messages(connection):
                if kind == OP_QUERY:
                    head = struct.pack("<iqii", 8, 0, 0, 1)
                    connection.sendall(_message(request, OP_REPLY, head + _hello()))
                else:
                    answer = self.answers.get(next(iter(command := _command(body))), lambda _: _hello())
                    connection.sendall(_message(request, OP_MSG, b"\0\0\0\0\0" + answer(command)))

    def _find(self, command: Command) -> Reply:
        with self._lock:
            cursor, self._next_cursor = self._next_cursor, self._next_cursor + 1
        limit = abs(command.get("limit") or 0) or self._records
        return self._page(cursor, "firstBatch", min(limit, self._records), command.get("batchSize", 101))

    def _get_more(self, command: Command) -> Reply:
        cursor = int(command["getMore"])
        return self._page(cursor, "nextBatch", self._left.pop(cursor, 0), command.get("batchSize", 0))

    def _page(self, cursor: int, name: str, left: int, size: int) -> Reply:
        count = min(left, size or 16_000)
        if left > count:
            self._left[cursor] = left - count
        return _cursor(cursor if left > count else 0, name, self._batch(count))

    def _batch(self, count: int) -> bytes:
        """Return the inside of an array of so many records."""
        if count not in self._batches:
            documents = self._documents
            self._batches[count] = b"".join(
                b"\x03" + str(index).encode() + b"\0" + documents[index % len(documents)] for index in range(count)
            )
        return self._batches[count]


def _messages(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    stream = connection.makefile("rb")
    while header := stream.read(_HEADER.size):
        length, request, _, kind = _HEADER.unpack(header)
        yield request, kind, stream.read(length - _HEADER.size)


def _message(request: int, kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), 0, request, kind) + body


def _command(body: bytes) -> Command:
    """Decode a message of one body and any number of document sequences, which become arrays of raw bytes."""
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
    while data:
        size = int.from_bytes(data[:4], "little")
        yield data[:size]
        data = data[size:]


def _ok(**fields: Any) -> Reply:
    return bson.encode({**fields, "ok": 1.0})


def _hello() -> Reply:
    """Greet as a primary; this answers pings and all else too."""
    return _ok(
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


def _cursor(cursor: int, name: str, batch: bytes) -> Reply:
    array = _document(batch)
    inside = (
        b"\x12id\0" + struct.pack("<q", cursor) + b"\x02ns\0\x04\0\0\0a.b\0" + b"\x04" + name.encode() + b"\0" + array
    )
    return _document(b"\x03cursor\0" + _document(inside) + b"\x01ok\0" + struct.pack("<d", 1.0))


def _document(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\0"


def records(count: int, handlers: int | None) -> list[bytes]:
    """Return records as the log holds them."""
    from craft_easy.core.events import DomainEvent
    from craft_easy.core.events.delivery import Delivery
    from craft_easy.core.events.store.delivery_document import to_document
    from craft_easy.core.events.store.documents import new_record
    from craft_easy.core.events.store.encoding import CODEC

    began = datetime(2026, 1, 31, 10, tzinfo=UTC)
    names = [f"shop.handlers:handler_{number}" for number in range(handlers or 0)]
    delivery = None if handlers is None else to_document(Delivery.new(names, at=began))
    return [
        bson.encode(
            new_record(
                DomainEvent(
                    event_type="payment.completed",
                    timestamp=began + timedelta(milliseconds=337 * number),
                    tenant_id=f"tenant_{number % 30}",
                    actor_id=f"user_{number % 77}",
                    payload={"payment_id": f"p_{number}", "amount": number / 4, "currency": "EUR", "items": [1, 2, 3]},
                ),
                delivery,
            ),
            codec_options=CODEC,
        )
        for number in range(count)
    ]


def main() -> None:
    """Serve, and print the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--handlers", type=int)
    chosen = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    server = Server(records(min(chosen.records, _DIFFERENT), chosen.handlers), chosen.records)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        server.serve(listener)


if __name__ == "__main__":
    main()
