"""The end of a bus with a store: `drain()`, and an event loop that closes without it."""

import asyncio
import os
import subprocess
import sys

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.deliveries import delivery_of


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


async def test_a_close_that_is_cancelled_gives_back_what_runs_before_it_ends(
    real_store: EventStore,
) -> None:
    async def waits(_: DomainEvent) -> None:
        await asyncio.sleep(60)

    bus = EventBus()
    bus.configure_store(real_store)
    bus.subscribe("*", waits, id="waits", background=True)
    await bus.publish(event := DomainEvent(event_type="step"))
    closing = asyncio.create_task(bus.aclose())
    await asyncio.sleep(0.1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    left = await delivery_of(real_store, event)
    assert (left.state, left.owner, left.handlers[0].attempts, len(bus.tasks())) == ("open", None, 0, 0)
    assert await WorkerRegistry(real_store).entries() == {}
