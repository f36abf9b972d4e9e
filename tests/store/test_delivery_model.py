"""The model of deliveries over a real server: the engine's own reads and writes, the registry and the take-over."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pymongo import AsyncMongoClient

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.errors import RecordRefused
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.connection import LogConnection
from craft_easy.core.events.store.deliveries import Deliveries, Tracked
from craft_easy.core.events.store.documents import new_record, record_id, to_document
from craft_easy.core.events.store.worker_registry import WorkerEntry, WorkerRegistry
from tests.properties.delivery_model import DeliveryMachine
from tests.properties.ledger import Violation
from tests.properties.memory_log import START, wanted
from tests.properties.network import Network, Wire
from tests.properties.seeded_bugs import SEEDED
from tests.properties.seeded_steps import STEPS, take

EXAMPLES: Final = 8
LENGTH: Final = 20
OF_THE_MEMORY: Final = ("no fencing", "a beat revives", "a claim of a record that another worker owns")
"""Bugs of the log in memory, which a real server replaces here."""


class WiredStore(EventStore):
    """A store whose every call goes over the wire of one process."""

    def __init__(self, database: Any, wire: Wire) -> None:
        super().__init__(database)
        self._wire = wire

    @asynccontextmanager
    async def call(self, seconds: float | None = None) -> AsyncIterator[LogConnection]:
        async with self._wire.call(), super().call(seconds) as site:
            yield site


class StoredRecords(Deliveries):
    """The engine's own reads and writes, and a replacement for the publisher."""

    def __init__(self, store: WiredStore) -> None:
        super().__init__(store)
        self._wired = store

    async def insert(self, event_id: str, delivery: Delivery) -> Tracked | None:
        event = DomainEvent(event_type="order.placed", event_id=event_id, timestamp=START)
        record = new_record(event, to_document(delivery))
        try:
            async with self._wired.call() as site:
                await site.events.insert_one(record)
        except RecordRefused:
            return None
        return Tracked(record, delivery)

    async def unowned_ids(self, handlers: Sequence[str], *, at: datetime) -> list[Any]:
        return [one.id async for page in self.unowned(wanted(handlers, at)) for one in page]

    async def claim_for(
        self, handlers: Sequence[str], ids: Sequence[Any], *, owner: str, at: datetime
    ) -> list[Tracked]:
        return await self.claim(ids, wanted(handlers, at).unowned(), owner=owner, at=at)

    async def find(self, event_id: str) -> Tracked | None:
        return (await self.read([record_id(event_id)])).get(record_id(event_id))

    def id_of(self, event_id: str) -> Any:
        return record_id(event_id)


class StoredRegistry(WorkerRegistry):
    """The engine's own registry, with a different millisecond for each heartbeat, because the model stops the clock."""

    def __init__(self, store: WiredStore) -> None:
        super().__init__(store)
        self._last: datetime | None = None

    async def beat(self, owner: str) -> datetime | None:
        at = await super().beat(owner)
        while at is not None and at == self._last:
            at = await super().beat(owner)
        self._last = at
        return at


@dataclass(eq=False)
class StoredLog:
    """A log on a real server, emptied for each example."""

    network: Network
    database: Any
    past_the_network: EventStore

    def records(self, wire: Wire) -> StoredRecords:
        return StoredRecords(WiredStore(self.database, wire))

    def registry(self, wire: Wire) -> StoredRegistry:
        return StoredRegistry(WiredStore(self.database, wire))

    def peek(self) -> dict[str, Delivery]:
        return self.network.loop.run_until_complete(self._peek())

    def peek_workers(self) -> dict[str, WorkerEntry]:
        return self.network.loop.run_until_complete(WorkerRegistry(self.past_the_network).entries())

    def close(self) -> None:
        self.network.close()
        self.network.loop.run_until_complete(self.clear())

    async def _peek(self) -> dict[str, Delivery]:
        async with self.past_the_network.call() as site:
            found = [Tracked.of(one) for one in await site.events.find({}).sort("event_id").to_list(None)]
        return {one.document["event_id"]: one.delivery for one in found}

    async def clear(self) -> None:
        async with self.past_the_network.call() as site:
            await site.events.delete_many({})
            await site.workers.delete_many({})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def client(loop: asyncio.AbstractEventLoop, embedded_uri: str) -> Iterator[AsyncMongoClient[dict[str, Any]]]:
    async def connect() -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(embedded_uri)

    client = loop.run_until_complete(connect())
    yield client
    loop.run_until_complete(client.close())


@pytest.fixture
def machine(
    loop: asyncio.AbstractEventLoop, client: AsyncMongoClient[dict[str, Any]], database_name: str
) -> type[DeliveryMachine]:
    """Make machines over an empty log."""
    database = client[database_name]
    store = EventStore(database)
    loop.run_until_complete(store.ensure_indexes())

    class OverTheServer(DeliveryMachine):
        def __init__(self) -> None:
            super().__init__(lambda _: StoredLog(Network(loop), database, store))

    return OverTheServer


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SEEDED if name not in OF_THE_MEMORY])
def test_the_model_finds_over_a_real_server(name: str, machine: type[DeliveryMachine]) -> None:
    take(STEPS[name], machine())
    with SEEDED[name](), pytest.raises(Violation):
        take(STEPS[name], machine())


@pytest.mark.slow
def test_no_promise_is_broken_over_a_real_server(machine: type[DeliveryMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=LENGTH,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
