"""The five roads through the library go down and come back: no call climbs a layer, few modules are entered again.

Before the modules became packages there were 30 returns for a stored publish and 156 for a redispatch of one record,
counted in this way: the pure model and the modules of the lowest layer are not counted.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.history.replay import replay as replay_history
from craft_easy.core.events.history.tail import follow
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.stats import stats
from craft_easy.core.events.redispatch import redispatch
from craft_easy.core.events.store import EventStore
from tests.support.roads import Recorder, Road, Step, layers, uphill

MOST_RETURNS = {"publish": 31, "redispatch": 133}
NOT_COUNTED = ("model.", "types", "errors", "clock", "hooks")
CALLBACKS = {
    ("store.deliveries", "engine.outcomes"),
    ("engine.outcomes", "redispatch.summary"),
    ("engine.pool", "redispatch.loop"),
    ("engine.sinks", "history.replay"),
    ("engine.outage", "redispatch.loop"),
    ("engine.outage", "history.range"),
}
"""Allowed calls into a higher layer: a transition is applied where it is written, an outcome and the end of a record
are reported, a call that failed in an outage is repeated."""
Travel = Callable[[EventBus, EventStore], Awaitable[object]]


def event() -> DomainEvent:
    return DomainEvent(event_type="order.placed")


async def publish(bus: EventBus, _: EventStore) -> None:
    await bus.publish(event())
    await bus.drain()


async def deliver(bus: EventBus, _: EventStore) -> None:
    await redispatch(bus, Selection())


async def replay(bus: EventBus, _: EventStore) -> None:
    await replay_history(bus, Selection())


async def tail(_: EventBus, store: EventStore) -> None:
    async for _block in follow(store, Selection(limit=1)):
        pass


async def operate(_: EventBus, store: EventStore) -> None:
    await stats(store)


TRAVELS: dict[str, Travel] = {
    "publish": publish,
    "redispatch": deliver,
    "replay": replay,
    "tail": tail,
    "operator": operate,
}


@asynccontextmanager
async def log_with_one_open_record(uri: str) -> AsyncIterator[tuple[EventBus, EventStore]]:
    async def handle(_: DomainEvent) -> None: ...

    async with EventStore(f"craft_test_{secrets.token_hex(6)}", uri=uri) as store, EventBus() as bus:
        bus.configure_store(store)
        bus.subscribe("order.*", handle, id="shop:handle")
        await publish(bus, store)  # the first publish of a process does more than the road
        await deliver(bus, store)
        await store.append_many([event()], handlers=["shop:handle"])
        yield bus, store


@pytest.fixture(scope="module")
def roads(embedded_uri: str) -> dict[str, Road]:
    """The way of each of the five roads."""
    found = {}
    recorder = Recorder()

    async def travel_all() -> None:
        for name, travel in TRAVELS.items():
            async with log_with_one_open_record(embedded_uri) as (bus, store):
                with recorder.road() as road:
                    await travel(bus, store)
                found[name] = road

    with recorder.watching():
        asyncio.run(travel_all())
    return found


@pytest.mark.parametrize("name", TRAVELS)
def test_no_call_climbs_into_a_higher_layer(name: str, roads: dict[str, Road], repository: Path) -> None:
    depths = layers((repository / ".importlinter").read_text())

    climbs = {(step.caller, step.callee) for step in uphill(roads[name], depths)}

    assert climbs <= CALLBACKS


@pytest.mark.parametrize(("name", "most"), MOST_RETURNS.items())
def test_few_modules_are_visited_again(name: str, most: int, roads: dict[str, Road]) -> None:
    returns = roads[name].returns(NOT_COUNTED)

    assert len(returns) <= most, Counter(step.callee for step in returns).most_common()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("publish", "engine.publisher"),
        ("publish", "store.append"),
        ("publish", "handlers.attempt"),
        ("publish", "store.deliveries"),
        ("redispatch", "engine.runner"),
        ("replay", "handlers.attempt"),
        ("tail", "store.change_stream"),
        ("operator", "store.queries.stats"),
    ],
)
def test_each_road_leads_through_its_modules(name: str, module: str, roads: dict[str, Road]) -> None:
    assert module in {step.callee for step in roads[name].steps}


def test_a_module_that_is_entered_twice_counts_as_a_return() -> None:
    road = Road([Step("bus", "store"), Step("bus", "engine"), Step("engine", "store"), Step("store", "model.event")])
    assert road.returns(NOT_COUNTED) == [Step("engine", "store")]


def test_a_call_from_below_and_one_to_a_neighbour_are_uphill() -> None:
    depths = {"bus": 0, "engine": 1, "history": 0}
    road = Road([Step("bus", "engine.x"), Step("engine.x", "bus"), Step("", "bus"), Step("bus", "history")])
    assert uphill(road, depths) == {Step("engine.x", "bus"), Step("bus", "history")}
