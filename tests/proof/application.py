"""The handler module: handlers of each kind, each of which records its start and its end in the ledger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from pymongo import AsyncMongoClient

from craft_easy.core.events import (
    CurrentDelivery,
    DomainEvent,
    RetryPolicy,
    current_delivery,
    event_handler,
    get_event_bus,
)
from craft_easy.core.events.engine.children import as_child
from craft_easy.core.events.store.documents import event_content
from tests.proof import goods, ledger

SOON: Final = RetryPolicy(delay=0.2)
Document = dict[str, Any]


class Flaw(Exception):
    """The state of a process when `inspect` first reads it."""


@contextmanager
def noted() -> Iterator[CurrentDelivery]:
    """Record the run of a delivery, and how the run ended."""
    delivery = current_delivery()
    run = os.urandom(8).hex()
    ledger.enter("began", run=run, event=delivery.event.event_id, handler=delivery.handler_id)
    try:
        yield delivery
    except Exception:
        ledger.enter("failed", run=run)
        raise
    except BaseException:
        ledger.enter("broken off", run=run)
        raise
    ledger.enter("ended", run=run)


@event_handler(goods.RECEIVED)
async def shelve(event: DomainEvent) -> None:
    """Wait for a moment."""
    with noted():
        await asyncio.sleep(0.002)


@event_handler(goods.RECEIVED)
def count(event: DomainEvent) -> None:
    """Run inline."""
    with noted():
        pass


@event_handler(goods.RECEIVED, background=True)
async def label(event: DomainEvent) -> None:
    """Take a while."""
    with noted():
        await asyncio.sleep(0.03)


@event_handler("*", background=True, id=goods.JOURNAL)
def journal(event: DomainEvent) -> None:
    """Run in a thread, for every event."""
    with noted():
        pass


@event_handler(goods.ORDERED)
async def order(event: DomainEvent) -> None:
    """Publish the children of an order; a second run publishes the same ones."""
    with noted() as delivery:
        for event_type, payload in goods.children(delivery.event.event_id):
            child = DomainEvent(event_type=event_type, tenant_id=event.tenant_id, payload=payload)
            await get_event_bus().publish(child)
            stored = as_child(child, delivery, event_content)  # a second run derives the same id
            ledger.enter("published", event=stored.event_id, order=event.event_id)


@event_handler(goods.PICKED)
@event_handler(goods.PACKED)
async def tally(event: DomainEvent) -> None:
    """Handle a child."""
    with noted():
        await asyncio.sleep(0)


@event_handler(goods.FLAWED, retry=SOON)
async def inspect(event: DomainEvent) -> None:
    """Fail at the first attempt."""
    with noted() as delivery:
        if delivery.attempt == 1:
            raise Flaw(f"$look again at {event.payload['number']}")


@event_handler(goods.PAID)
async def book(event: DomainEvent) -> None:
    """Write in one transaction with the delivery's `done`."""
    with noted() as delivery:
        async with delivery.transaction(client()) as session:
            ledger.enter("holds", session=session.session_id["id"].hex())
            bookings = client()[os.environ["CRAFT_EVENTS_DATABASE"]][goods.BOOKINGS]
            await bookings.insert_one({"event": event.event_id}, session=session)


def client() -> AsyncMongoClient[Document]:
    """Return the application's own client of the running loop."""
    return _client(asyncio.get_running_loop())


@cache
def _client(loop: asyncio.AbstractEventLoop) -> AsyncMongoClient[Document]:
    return AsyncMongoClient(os.environ["CRAFT_EVENTS_URI"], tz_aware=True)
