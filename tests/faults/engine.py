"""One event through the engine on the embedded log, by its publisher or by a redispatch, and the log afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import LISTING_PAGE, Deliveries
from craft_easy.core.events.store.documents import new_record, record_id, to_document

LEASE: Final = 30.0
"""Seconds; long enough that a worker is not silent on a busy machine."""

Way = Callable[["Engine", DomainEvent], Awaitable[None]]


class Engine:
    """A bus with a store on a log of its own.

    Args:
        bus: has the store.
        store: the log.
    """

    def __init__(self, bus: EventBus, store: EventStore) -> None:
        self.bus = bus
        self.store = store

    async def append(self, *events: DomainEvent) -> None:
        """Store events for the handlers of the bus, as if their publisher had died at once."""
        for event in events:
            await self.store.append_many([event], handlers=self._handlers(event))

    async def append_alike(self, events: list[DomainEvent]) -> None:
        """Do the same for many events of one type, in one write."""
        await self.store.append_many(events, handlers=self._handlers(events[0]))

    async def append_due(self, events: list[DomainEvent], at: datetime) -> None:
        """Do the same, with events that are not due before that time."""
        handlers = self._handlers(events[0])
        for first in range(0, len(events), LISTING_PAGE):
            batch = events[first : first + LISTING_PAGE]
            await self.store.insert([new_record(one, to_document(Delivery.new(handlers, at=at))) for one in batch])

    def _handlers(self, event: DomainEvent) -> list[str]:
        return [handler.id for handler in self.bus.registry.plan(event.event_type).handlers]

    async def redispatch(self, selection: Selection | None = None, **options: Any) -> RedispatchSummary:
        """Deliver open events."""
        stop = options.pop("stop", None)
        options.setdefault("now", True)
        return await redispatch(self.bus, selection or Selection(), RedispatchOptions(**options), stop=stop)

    async def delivery(self, event: DomainEvent) -> Delivery:
        """Return the record of an event."""
        [found] = (await Deliveries(self.store).read([record_id(event.event_id)])).values()
        return found.delivery

    async def entry(self, event: DomainEvent, handler: str) -> HandlerDelivery:
        """Return the entry of one delivery."""
        found = (await self.delivery(event)).handler(handler)
        assert found is not None
        return found

    async def records(self, condition: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the log."""
        collection = await self.store.collection()
        records: list[dict[str, Any]] = await collection.find(condition or {}).to_list(None)
        return records

    async def make_due(self) -> None:
        """Make pending deliveries due now, instead of waiting."""
        at = await self.store.now() - timedelta(milliseconds=1)
        fields = {"delivery.due_at": at, "delivery.handlers.$[one].due_at": at}
        collection = await self.store.collection()
        await collection.update_many(
            {"delivery.state": "open"},
            {"$set": fields, "$inc": {"delivery.rev": 1}},
            array_filters=[{"one.state": "pending"}],
        )


@asynccontextmanager
async def engine(uri: str, database: str, *, lease: float = LEASE) -> AsyncIterator[Engine]:
    """Open an engine, and close it; another one on the same log is another worker."""
    async with EventStore(database, uri=uri) as store, EventBus() as bus:
        bus.configure_store(store, lease=lease)
        yield Engine(bus, store)


async def publishing(engine: Engine, event: DomainEvent) -> None:
    """Run an event by its publisher."""
    await engine.bus.publish(event)
    await engine.bus.drain()


async def redispatching(engine: Engine, event: DomainEvent) -> None:
    """Run an event by a redispatch."""
    await engine.append(event)
    await engine.redispatch(now=False)


WAYS: Final[dict[str, Way]] = {"publisher": publishing, "redispatch": redispatching}
