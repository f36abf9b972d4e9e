"""Publishes without end, from several tasks at once; each line on stdout is an event whose publish has returned."""

import asyncio
from itertools import count

from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.store import EventStore
from tests.acceptance.warehouse import handlers  # noqa: F401 - importing it registers them

TASKS = 4


async def receive(numbers: "count[int]") -> None:
    """Publish one event after another."""
    bus = get_event_bus()
    for number in numbers:
        event_type = "item.returned" if number % 3 == 0 else "item.received"
        event = DomainEvent(event_type=event_type, tenant_id=f"t_{number % 5}", payload={"number": number})
        await bus.publish(event)
        print(event.event_id, flush=True)


async def main() -> None:
    """Publish until this process is killed."""
    get_event_bus().configure_store(EventStore(), lease=3)
    numbers = count()
    await asyncio.gather(*(receive(numbers) for _ in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main())
