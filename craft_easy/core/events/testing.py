"""Support for the tests of applications: a bus in place of the process's, and an event log in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from craft_easy.core.events.bus import EventBus
from craft_easy.core.events.handlers.middleware import PublishNext
from craft_easy.core.events.model.event_class import forgetting_classes
from craft_easy.core.events.process_bus import set_event_bus
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import stored_event
from craft_easy.core.events.types import DomainEvent


class RecordingBus(EventBus):
    """An event bus that remembers what was published.

    Without a store, handlers get each event as a log would return it, so that a value which the log changes is changed
    in the test, too.

    Attributes:
        published: the events in the order in which their publishing began, those of handlers included, as they came
            through the middleware.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: list[DomainEvent] = []
        self.middleware.keep_innermost(_Recorder(self))


class _Recorder:
    """Notes what a bus publishes, and publishes it as a log would return it."""

    def __init__(self, bus: RecordingBus) -> None:
        self._bus = bus

    async def publish(self, event: DomainEvent, call_next: PublishNext) -> None:
        stored = event if self._bus.has_store else stored_event(event)[1]
        self._bus.published.append(event)
        await call_next(stored)


@contextmanager
def fresh_bus() -> Iterator[RecordingBus]:
    """Replace the bus of the process with an empty one, for all threads and tasks, until the block ends.

        with fresh_bus() as bus:
            bus.subscribe("order.placed", reserve_stock)
            await place_order()
            await bus.drain()
            assert [event.event_type for event in bus.published] == ["order.placed", "stock.reserved"]

    `get_event_bus()` and `@event_handler` inside use it. It has none of the process's subscriptions, which are back
    afterwards. Event classes that are defined inside the block are forgotten at its end. Blocks may be nested.
    """
    bus = RecordingBus()
    former = set_event_bus(bus)
    try:
        with forgetting_classes():
            yield bus
    finally:
        set_event_bus(former)


def memory_store() -> EventStore:
    """Return an empty event log in memory, for tests that need no server.

        with fresh_bus() as bus:
            bus.configure_store(memory_store())

    mongomock is enough for publishing, handlers, retries and reading, but not for transactions and change streams.

    Raises:
        ImportError: mongomock-motor is not installed.
    """
    from mongomock_motor import AsyncMongoMockClient  # an optional dependency

    return EventStore(AsyncMongoMockClient()["craft_easy"])
