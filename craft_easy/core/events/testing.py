"""For the tests of applications: a bus of their own in place of the process's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from craft_easy.core.events.bus import EventBus, set_event_bus
from craft_easy.core.events.types import DomainEvent


class RecordingBus(EventBus):
    """An event bus that remembers what was published.

    `published` holds the events in the order in which their publishing began, those of handlers included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: list[DomainEvent] = []

    async def publish(self, event: DomainEvent) -> None:
        """Note the event and publish it."""
        self._note([event])
        await super().publish(event)

    async def publish_many(self, events: Iterable[DomainEvent]) -> None:
        """Note the events and publish them."""
        batch = list(events)
        if self._publisher is not None:
            self._note(batch)
        await super().publish_many(batch)

    def _note(self, events: Iterable[DomainEvent]) -> None:
        self.published += [event for event in events if isinstance(event, DomainEvent)]


@contextmanager
def fresh_bus() -> Iterator[RecordingBus]:
    """Put an empty bus in place of the process's, for all threads and tasks, until the block ends.

        with fresh_bus() as bus:
            bus.subscribe("order.placed", reserve_stock)
            await place_order()
            await bus.drain()
            assert [event.event_type for event in bus.published] == ["order.placed", "stock.reserved"]

    `get_event_bus()` and `@event_handler` inside use it; what modules subscribed before is not on it, and is back
    afterwards. Blocks may be nested.
    """
    bus = RecordingBus()
    former = set_event_bus(bus)
    try:
        yield bus
    finally:
        set_event_bus(former)
