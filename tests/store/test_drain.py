"""`drain()` on a bus with a store."""

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
