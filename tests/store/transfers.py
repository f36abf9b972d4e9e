"""Records and lines to export, import and publish."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson

from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery
from craft_easy.core.events.operations import export
from craft_easy.core.events.operations.import_ import ImportNotice, Refused
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import new_record, to_document
from craft_easy.core.events.types import DomainEvent
from tests.support.bson_types import EVERY_TYPE, ID

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
FAILURE = Failure("SMTPError", "refused \x1b[31m", AT, 1)
DONE = HandlerDelivery("shop:audit", state="done", attempts=1, finished_at=AT, took_ms=0.5)
PENDING = HandlerDelivery("shop:mail", due_at=AT + timedelta(minutes=1), attempts=1, took_ms=3.0, errors=(FAILURE,))
DEAD = replace(PENDING, state="dead", due_at=None, finished_at=AT, attempts=20, crashes=2, budget_from=3)
DELIVERIES = (
    Delivery.new(["shop:mail"], at=AT),
    Delivery(rev=3, due_at=PENDING.due_at, claimed_at=AT, takeovers=1, handlers=(DONE, PENDING)),
    Delivery(rev=7, state="dead", finished_at=AT, handlers=(DONE, DEAD)),
    Delivery(rev=1, state="done", finished_at=AT, handlers=(DONE,)),
    Delivery.new([], at=AT),
)


def event(number: int, **fields: Any) -> DomainEvent:
    said = {"event_id": f"e{number:06}", "event_type": "order.placed", "tenant_id": "acme", **fields}
    return DomainEvent(timestamp=AT + timedelta(seconds=number), **said)


def records() -> list[dict[str, Any]]:
    """Return records of every kind that a round trip does not change."""
    ours = [new_record(event(number), to_document(one)) for number, one in enumerate(DELIVERIES)]
    values = [value for value in EVERY_TYPE.values() if not isinstance(value, bson.DatetimeMS)]  # see below
    typed = [new_record(event(10 + n, payload={"value": value})) for n, value in enumerate(values)]
    foreign = [
        {"_id": "text", "event_id": ID, "event_type": "t", "timestamp": AT, "tenant_id": 7},
        {"_id": 5, "seen": {"by": b"x"}, "event_type": "t", "event_id": "f2", "timestamp": AT, "payload": {}},
        {"_id": 6, "event_id": 6, "event_type": "t", "timestamp": AT, "payload": {}, "delivery": None},
    ]
    caused = new_record(event(90)) | {"causation_id": "e000001", "correlation_id": "e000001"}
    return [*ours, *typed, *foreign, caused]


async def fill(store: EventStore, documents: Sequence[Mapping[str, Any]]) -> None:
    async with store.call() as site:
        await site.events.insert_many([dict(one) for one in documents])


async def drop(store: EventStore) -> None:
    async with store.call() as site:
        await site.events.drop()


async def text_of(store: EventStore, json_format: export.JsonFormat = "relaxed") -> bytes:
    return b"".join([block.data async for block in export.blocks(store, json_format=json_format)])


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


class RefusedLines:
    """An observer that stores the rejected lines."""

    def __init__(self) -> None:
        self.lines: list[Refused] = []

    def __call__(self, notice: ImportNotice) -> None:
        if isinstance(notice, Refused):
            self.lines.append(notice)


def line(number: int, **fields: Any) -> bytes:
    said = {"event_id": f"e{number:06}", "event_type": "order.placed", "timestamp": "2026-01-31T10:00:00Z"}
    return json.dumps(said | fields).encode() + b"\n"
