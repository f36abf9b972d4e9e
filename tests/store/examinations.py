"""Records to examine, and the findings of an examination."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.operations.doctor.examine import Finding, examine
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import to_document

BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


async def react(_: DomainEvent) -> None:
    """Do nothing."""


def bus(**patterns: str) -> EventBus:
    """Return a bus with a handler for each pattern, by its id."""
    own = EventBus()
    for name, pattern in patterns.items():
        own.subscribe(pattern, react, id=name)
    return own


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_type": "order.placed",
        "tenant_id": "acme",
        "actor_id": None,
        "payload": {},
        "timestamp": BEGAN + timedelta(minutes=number),
        "delivery": pending("charge"),
    } | fields


def pending(*handlers: str, **fields: Any) -> dict[str, Any]:
    return to_document(Delivery.new(handlers, at=BEGAN)) | fields


async def insert(store: EventStore, *records: dict[str, Any]) -> None:
    await (await store.collection()).insert_many(list(records))


async def found(store: EventStore, check: str | None = None, **options: Any) -> list[Finding]:
    every = [finding async for finding in examine(store, **options)]
    return every if check is None else [finding for finding in every if finding.check == check]
