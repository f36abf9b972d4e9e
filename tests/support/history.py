"""A small history for the commands that read, in a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import MongoClient, WriteConcern
from pymongo.errors import CollectionInvalid

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import to_document

BEGAN = datetime(2020, 1, 31, 10, tzinfo=UTC)
HOSTILE = "\x1b[31mred\x1b]52;c;aGk=\x07 \x7f\x9b2J \u202e [red]x[/bold]\n\u2028"


def record(number: int, **fields: Any) -> dict[str, Any]:
    """Return a record of the log, `number` minutes after the history began."""
    return {
        "_id": bson.ObjectId(f"{number:024x}"),
        "event_id": f"019abf3e-0000-7000-8000-{number:012x}",
        "event_type": "payment.completed",
        "tenant_id": "acme",
        "actor_id": "user_77",
        "payload": {"payment_id": f"p_{number}", "amount": 12.5, "currency": "EUR"},
        "timestamp": BEGAN + timedelta(minutes=number),
    } | fields


def delivery(state: str) -> dict[str, Any]:
    """Return the value of `delivery` in a tracked record."""
    document = to_document(Delivery.new(["shop.mail:send"], at=BEGAN))
    handler = document["handlers"][0] | {"state": "pending" if state == "open" else state}
    if state == "dead":
        handler["errors"] = [{"type": "SMTPError", "message": f"refused {HOSTILE}", "at": BEGAN, "attempt": 1}]
    return document | {"state": state, "handlers": [handler]}


HISTORY: Sequence[Mapping[str, Any]] = (
    record(1),
    record(2, actor_id="user_12", delivery=delivery("done")),
    record(3, event_type="payment.refunded", actor_id=None, payload={"reason": "double charge", "note": "n" * 300}),
    record(
        4,
        tenant_id="globex",
        event_type="order.placed",
        delivery=delivery("open"),
        causation_id="c",
        correlation_id="r",
    ),
    record(5, tenant_id=None, event_type="system.started", actor_id=None, payload={}),
    record(6, tenant_id=HOSTILE, event_type=HOSTILE, actor_id=HOSTILE, payload={HOSTILE: HOSTILE}),
    record(7, tenant_id="=1+1", event_type="@sum", actor_id="-x", payload={"list": [1, {"at": BEGAN}], "raw": b"abc"}),
    record(8, delivery=delivery("dead")),
    {"_id": bson.ObjectId("5e340000" + "0" * 16), "payload": [1, 2], "tenant_id": 7, "extra": True},
    record(10, timestamp=datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC), payload={"not": float("nan")}, seen=True),
)
"""Ten records; the last two are from another program: one without a time, which sorts first, one in the last year."""


@dataclass(frozen=True, slots=True)
class Log:
    """An event log for one test."""

    uri: str
    database: str
    client: MongoClient[dict[str, Any]]

    @property
    def where(self) -> list[str]:
        """The options that select it."""
        return ["--uri", self.uri, "--database", self.database]

    @property
    def events(self) -> Any:
        return self.client[self.database].get_collection(
            "event_log",
            codec_options=CodecOptions(uuid_representation=UuidRepresentation.STANDARD),
            write_concern=WriteConcern("majority", j=True),
        )

    def insert(self, *records: Mapping[str, Any]) -> None:
        """Store records unchanged, with the one index that a command requires."""
        self.events.insert_many([dict(one) for one in records])
        self.events.create_index("correlation_id", sparse=True)

    def append(self, events: Sequence[DomainEvent], *, handlers: Sequence[str] | None = None) -> None:
        """Store events as an application does; no handler runs."""

        async def append() -> None:
            async with EventStore(self.database, uri=self.uri) as store:
                await store.append_many(events, handlers=handlers)

        asyncio.run(append())


@contextmanager
def opened(uri: str, database: str) -> Iterator[Log]:
    """Open a log, which begins empty; the client is closed at the end."""
    with MongoClient[dict[str, Any]](uri) as client:
        with suppress(CollectionInvalid):
            client[database].create_collection("event_log")
        yield Log(uri, database, client)
