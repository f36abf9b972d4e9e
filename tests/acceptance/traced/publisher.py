"""Publishes one event in the span of a request, and waits for its handler."""

from __future__ import annotations

import asyncio

from opentelemetry import trace

from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.store import EventStore
from tests.acceptance.traced import handlers as handlers  # registers its handler


async def main() -> None:
    async with EventStore() as store, get_event_bus() as bus:
        bus.configure_store(store, lease=1)
        with trace.get_tracer("shop").start_as_current_span("POST /orders"):
            await bus.publish(DomainEvent(event_type="order.placed", tenant_id="acme", payload={"card": "4242"}))
        await bus.drain()


if __name__ == "__main__":
    asyncio.run(main())
