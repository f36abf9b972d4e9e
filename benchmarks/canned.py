"""A MongoDB server that answers from memory, in its own process, so that only the client's cost is measured.

    with Canned(records=100_000) as server:
        MongoClient(server.uri)

Every `find` returns the same records, as many as requested; every write is acknowledged and ignored. With `backlog`
the records are open deliveries that can be listed, claimed, read back and closed (see `benchmarks.backlog`).
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bson

from benchmarks import wire
from benchmarks.backlog import Backlog
from benchmarks.wire import Command, Reply

_DIFFERENT: Final = 1_000
"""The number of different records; a longer history repeats them."""
BEGAN: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)


class Canned:
    """Runs the server in its own process while the block runs.

    Args:
        records: the number that each `find` yields if it has no limit; with `backlog` the number of open records.
        handlers: the number of handlers of each record; None for untracked records.
        backlog: store owners and states of records.
        latency_ms: the delay of each reply, like that of a network; connections do not wait for one another.
    """

    def __init__(
        self, *, records: int = 0, handlers: int | None = None, backlog: bool = False, latency_ms: float = 0
    ) -> None:
        self._arguments = ["--records", str(records), "--latency", str(latency_ms)]
        self._arguments += ["--handlers", str(handlers)] if handlers is not None else []
        self._arguments += ["--backlog"] if backlog else []
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
    """Answers commands; `answers` can be extended."""

    def __init__(self, documents: Sequence[bytes], records: int, *, latency: float = 0) -> None:
        self._documents = documents
        self._records = records
        self._latency = latency
        self._batches: dict[int, bytes] = {}
        self._left: dict[int, int] = {}
        self._next_cursor = 1
        self._lock = threading.Lock()
        self.answers: dict[str, Callable[[Command], Reply]] = {
            "find": self._find,
            "getMore": self._get_more,
            "aggregate": lambda _: wire.cursor(0, "firstBatch", b""),
            "listIndexes": lambda _: wire.cursor(0, "firstBatch", b""),
            "insert": lambda command: wire.ok(n=len(command["documents"])),
            "update": lambda command: wire.ok(n=len(command["updates"]), nModified=len(command["updates"])),
            "delete": lambda command: wire.ok(n=len(command["deletes"])),
        }

    def serve(self, listener: socket.socket) -> None:
        """Answer until the process ends."""
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            for request, kind, body in wire.messages(connection):
                reply = self._reply(request, kind, body)
                if self._latency:
                    time.sleep(self._latency)  # the network, in a thread for each connection
                connection.sendall(reply)

    def _reply(self, request: int, kind: int, body: bytes) -> bytes:
        if kind == wire.OP_QUERY:
            return wire.greeting(request)
        command = wire.command_of(body)
        answer = self.answers.get(next(iter(command)))
        return wire.answer(request, wire.hello() if answer is None else answer(command))

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
        return wire.cursor(cursor if left > count else 0, name, self._batch(count))

    def _batch(self, count: int) -> bytes:
        """Return the content of an array of the first records."""
        if count not in self._batches:
            documents = self._documents
            self._batches[count] = wire.array([documents[index % len(documents)] for index in range(count)])
        return self._batches[count]


def records(count: int, handlers: int | None) -> list[bytes]:
    """Return records in the form of the log."""
    from craft_easy.core.events import DomainEvent
    from craft_easy.core.events.model.delivery import Delivery
    from craft_easy.core.events.store.documents import new_record, to_document
    from craft_easy.core.events.store.encoding import CODEC

    delivery = None if handlers is None else to_document(Delivery.new(handler_ids(handlers), at=BEGAN))
    return [
        bson.encode(
            new_record(
                DomainEvent(
                    event_type="payment.completed",
                    timestamp=BEGAN + timedelta(milliseconds=337 * number),
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


def handler_ids(count: int) -> list[str]:
    """Return the ids of the handlers in the deliveries of the records."""
    return [f"shop.handlers:handler_{number}" for number in range(count)]


def main() -> None:
    """Serve, and print the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--handlers", type=int)
    parser.add_argument("--backlog", action="store_true", help="the records are open and can be claimed")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="delay each reply")
    chosen = parser.parse_args()
    documents = records(min(chosen.records, _DIFFERENT), chosen.handlers)
    server = Server(documents, chosen.records, latency=chosen.latency / 1000)
    if chosen.backlog:
        server.answers |= Backlog(documents, chosen.records).answers
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(listener.getsockname()[1], flush=True)
        server.serve(listener)


if __name__ == "__main__":
    main()
