"""The end of a bus with a store: `drain()`, and an event loop that closes without it."""

import os
import subprocess
import sys

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.store import EventStore


async def test_drain_returns_when_the_outcomes_of_a_handler_that_recurses_by_publishing_are_stored(
    real_store: EventStore,
) -> None:
    async with EventBus() as bus:
        bus.configure_store(real_store)

        async def recurses(event: DomainEvent) -> None:
            left = event.payload["left"]
            if left:
                await bus.publish(DomainEvent(event_type="step", payload={"left": left - 1}))

        bus.subscribe("step", recurses, id="recurses", background=True)
        bus.subscribe("step", recurses, id="foreground")
        await bus.publish(DomainEvent(event_type="step", payload={"left": 6}))
        await bus.drain()
        collection = await real_store.collection()
        assert await collection.count_documents({"delivery.state": "open"}) == 0
        assert await collection.count_documents({}) == 2**7 - 1


PUBLISH = """
import asyncio
from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.store import EventStore

async def waits(event):
    await asyncio.sleep(60)

bus = EventBus()
for number in range(3):
    bus.subscribe("*", waits, id=str(number), background=True)
bus.configure_store(EventStore())
asyncio.run(bus.publish(DomainEvent(event_type="order.placed")))
"""


def test_asyncio_run_of_a_stored_publish_with_background_handlers_is_quiet(
    embedded_uri: str, database_name: str
) -> None:
    environment = {**os.environ, "CRAFT_EVENTS_URI": embedded_uri, "CRAFT_EVENTS_DATABASE": database_name}
    ended = subprocess.run([sys.executable, "-c", PUBLISH], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
