"""Each operation of the product asks what an index answers, by the rules of MongoDB's planner, and what is in the table
of docs/explanation/architecture.md.

Where the server is a real one (CRAFT_EVENTS_TEST_URI), it is asked too: no plan may have a COLLSCAN or a SORT.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final

import pytest
from pymongo import AsyncMongoClient

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import HandlerNotInLog
from craft_easy.core.events.history.trace import trace
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead, handlers, pauses, pending, prune, redact
from craft_easy.core.events.operations.backlog import backlog
from craft_easy.core.events.operations.export import blocks
from craft_easy.core.events.operations.schema.entries import entries
from craft_easy.core.events.operations.schema.stored import check_stored, number_stored, unclaimed_types
from craft_easy.core.events.operations.stats import stats
from craft_easy.core.events.operations.workers import workers
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch, redispatching
from craft_easy.core.events.redispatch.backlog import count as count_backlog
from craft_easy.core.events.redispatch.event_ids import look_up
from craft_easy.core.events.store import EventStore, drivers
from craft_easy.core.events.store.queries import doctor, replay
from craft_easy.core.events.store.read import whole_ids
from tests.conftest import TEST_URI
from tests.support.conditions import becomes
from tests.support.deliveries import own
from tests.support.planner import READS, Command, Recorder, rows

Operation = Callable[[EventBus, DomainEvent], Awaitable[Any]]


async def drained(batches: Any) -> None:
    """Read an asynchronous generator to its end."""
    async with aclosing(batches):
        async for _ in batches:
            pass


async def watched(bus: EventBus, _: DomainEvent) -> None:
    import asyncio

    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    await redispatch(bus, Selection(), RedispatchOptions(watch=True), stop=stop)


def without_some(bus: EventBus) -> tuple[Selection, RedispatchOptions]:
    """Leave out a handler and some event types."""
    bus.subscribe("order.*", lambda _: None, id="b")
    return Selection(except_types=("stock.*", "order.paid")), RedispatchOptions(exclude_handlers=("b",), rate=50)


def chosen(bus: EventBus, **values: Any) -> Awaitable[None]:
    """Read the events of a selection."""
    return drained(bus.publisher.store.batches(Selection(**values)))


async def tallied(bus: EventBus) -> None:
    """Count a range as a replay through handlers does before it begins."""
    store = bus.publisher.store
    await replay.tally(store, replay.within(Selection(), None, await replay.last_position(store)))


async def unknown(store: EventStore) -> None:
    """Search the log for a handler that it does not name."""
    with pytest.raises(HandlerNotInLog):
        await handlers.require_in_log(store, ["nobody"])


async def checked(bus: EventBus) -> None:
    """Read the newest events of each type that a class claims, and look for the types that none does."""
    store = bus.publisher.store
    found = entries(bus.registry, types=["payment.completed"])
    await drained(check_stored(store, found, sample=5))
    await unclaimed_types(store, found)


async def pruned(bus: EventBus, *, is_dry: bool) -> None:
    store = bus.publisher.store
    old = prune.Old(await store.now() + timedelta(days=1))
    await (prune.count(store, old) if is_dry else prune.prune(store, old, None))


OPERATIONS: Final[dict[str, Operation]] = {
    "publish": lambda bus, _: bus.publish(DomainEvent(event_type="order.placed")),
    "publish again": lambda bus, event: bus.publish(event),
    "get": lambda bus, event: bus.publisher.store.get(event.event_id),
    "replay": lambda bus, _: bus.publisher.store.replay(),
    "replay --tenant": lambda bus, _: chosen(bus, tenants=("acme", "other")),
    "replay --type": lambda bus, _: chosen(bus, types=("order.placed", "order.paid")),
    "replay --type '*'": lambda bus, _: chosen(bus, types=("order.*",)),
    "replay --actor": lambda bus, _: chosen(bus, actors=("ann",)),
    "replay --reverse": lambda bus, _: chosen(bus, reverse=True, limit=5),
    "replay --state open": lambda bus, _: chosen(bus, states=("open",)),
    "replay --state dead": lambda bus, _: chosen(bus, states=("dead",)),
    "replay --state done": lambda bus, _: chosen(bus, states=("done",)),
    "replay --tenant --state open": lambda bus, _: chosen(bus, tenants=("acme",), states=("open",)),
    "replay through handlers": lambda bus, _: tallied(bus),
    "the beginning of an id": lambda bus, event: whole_ids(bus.publisher.store, [event.event_id[:12]]),
    "trace": lambda bus, event: trace(bus.publisher.store, event.event_id),
    "export": lambda bus, _: drained(blocks(bus.publisher.store)),
    "dead list": lambda bus, _: drained(dead.deliveries(bus.publisher.store)),
    "dead list --by": lambda bus, _: dead.groups(bus.publisher.store, by="handler"),
    "dead retry": lambda bus, _: dead.retry(bus.publisher.store),
    "dead retry --handler, pending": lambda bus, _: handlers.require_in_log(bus.publisher.store, ["gone"]),
    "dead retry --handler, unknown": lambda bus, _: unknown(bus.publisher.store),
    "pending": lambda bus, _: drained(pending.deliveries(bus.publisher.store)),
    "handlers show": lambda bus, _: handlers.counts_of(bus.publisher.store, bus.registry.subscriptions()[0].handler),
    "dead discard --pending": lambda bus, _: dead.discard(
        bus.publisher.store, dead.Choice(handlers=("gone",)), reason="x", by="y", pending=True
    ),
    "handlers pause": lambda bus, _: pauses.pause(bus.publisher.store, "a", by="me"),
    "stats": lambda bus, _: stats(bus.publisher.store),
    "metrics": lambda bus, _: backlog(bus.publisher.store),
    "workers": lambda bus, _: workers(bus.publisher.store),
    "handlers check": lambda bus, _: handlers.coverage(bus.publisher.store, bus.registry),
    "schema check --log": lambda bus, _: checked(bus),
    "schema check": lambda bus, _: number_stored(bus.publisher.store, ["order.placed"]),
    "doctor: owned": lambda bus, _: doctor.held(bus.publisher.store),
    "doctor: dead": lambda bus, _: doctor.dead(bus.publisher.store),
    "take-over": lambda bus, _: TakeOver(bus.publisher.record_owner()).once(),
    "reconcile": lambda bus, _: bus.publisher.record_owner().reconcile(),
    "redispatch": lambda bus, _: redispatch(bus, Selection()),
    "redispatch --now": lambda bus, _: redispatch(bus, Selection(), RedispatchOptions(now=True)),
    "redispatch --dry-run": lambda bus, _: count_backlog(bus, Selection(), RedispatchOptions()),
    "redispatch --exclude-handler --exclude-type": lambda bus, _: redispatch(bus, *without_some(bus)),
    "redispatch --exclude-handler --exclude-type --dry-run": lambda bus, _: count_backlog(bus, *without_some(bus)),
    "redispatch --watch": watched,
    "redispatch --ids-from": lambda bus, event: look_up(bus.publisher.store, Selection(), [event.event_id]),
    "prune --dry-run": lambda bus, _: pruned(bus, is_dry=True),
    "prune": lambda bus, _: pruned(bus, is_dry=False),
    "redact --dry-run": lambda bus, _: redact.count(bus.publisher.store, Selection(tenants=("acme",))),
    "redact": lambda bus, _: redact.redact(bus.publisher.store, Selection(actors=("ann",)), reason="x", by="y"),
}


@pytest.fixture
async def recorder(embedded_uri: str, database_name: str) -> AsyncIterator[tuple[EventBus, Recorder]]:
    """A bus on a log with some events in each state, whose client records what it sends."""
    recorder = Recorder("event_log")
    client: AsyncMongoClient[Any] = AsyncMongoClient(embedded_uri, event_listeners=[recorder])
    async with EventStore(client[database_name], uri=embedded_uri) as store, EventBus() as bus:
        bus.configure_store(store)
        await store.ensure_indexes()
        yield bus, recorder
    await client.close()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_index_answers_every_query(
    recorder: tuple[EventBus, Recorder], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "is_embedded", lambda _: False)
    bus, recorded = recorder
    bus.subscribe("order.*", lambda _: None, id="a")
    await bus.publish(event := DomainEvent(event_type="order.placed", tenant_id="acme"))
    events = [DomainEvent(event_type="order.placed", tenant_id="acme") for _ in range(4)]
    await bus.publisher.store.append_many(events, handlers=["a", "gone"])
    await bus.drain()
    recorded.commands.clear()
    await OPERATIONS[name](bus, event)
    await bus.drain()
    asked = [(query.problem(), command) for command, query in recorded.queries()]
    assert asked or name == "publish"
    assert [(problem, command) for problem, command in asked if problem] == []
    assert [query for _, query in recorded.queries() if not query.is_in(rows())] == []
    if TEST_URI:
        await explained(bus, [command for _, command in asked])


async def test_taking_over_and_reconciling_read_no_payload_and_sort_nothing_on_the_server(
    recorder: tuple[EventBus, Recorder],
) -> None:
    bus, recorded = recorder
    await bus.publisher.store.append_many([DomainEvent(event_type="order.placed") for _ in range(4)], handlers=["a"])
    await own(bus.publisher.store, "elsewhere:1:unknown", register=False)
    await bus.publisher.record_owner().worker.ready()
    recorded.commands.clear()
    assert await TakeOver(bus.publisher.record_owner()).once() == 4
    await own(bus.publisher.store, bus.publisher.record_owner().worker.owner, register=False)
    assert await bus.publisher.record_owner().reconcile() == 4
    finds = [command for command in recorded.commands if "find" in command]
    assert len(finds) >= 2
    assert [find for find in finds if "sort" in find or "payload" in find.get("projection", ["payload"])] == []


async def explained(bus: EventBus, commands: list[Any]) -> None:
    """Fail where the server plans a scan or a sort."""
    collection = await bus.publisher.store.collection()
    for command in commands:
        plan = str(await collection.database.command({"explain": plain(command), "verbosity": "queryPlanner"}))
        assert "COLLSCAN" not in plan, command
        assert "'stage': 'SORT'" not in plan, command


def plain(command: Command) -> dict[str, Any]:
    """Return a command without what the driver adds to it."""
    return {name: value for name, value in command.items() if not name.startswith("$") and name != "lsid"}


async def test_a_poll_reads_nothing_of_handlers_that_are_not_loaded(recorder: tuple[EventBus, Recorder]) -> None:
    bus, recorded = recorder
    store = bus.publisher.store
    events = [DomainEvent(event_type="billing.made") for _ in range(300)]
    await store.append_many(events, handlers=["billing:charge", "billing:book"])
    bus.subscribe("mail.*", lambda _: None, id="mail:send")
    bus.subscribe("post.*", lambda _: None, id="mail:archive")
    async with redispatching(bus):
        await becomes(lambda: len(recorded.commands) > 10)
        recorded.commands.clear()
        await becomes(lambda: sum(next(iter(one)) in READS for one in recorded.commands) >= 4)
        polls = list(recorded.commands)
    examined = [(await _examined(bus, command), command) for command in polls]
    assert [one for one in examined if one[0] > 10] == []


async def _examined(bus: EventBus, command: Command) -> int:
    """Return how many index keys or records the server examines for a command."""
    if next(iter(command)) not in READS or command.get("filter") == {}:
        return 0
    collection = await bus.publisher.store.collection()
    plan = await collection.database.command({"explain": plain(command), "verbosity": "executionStats"})
    return max(_numbers(plan, {"totalKeysExamined", "totalDocsExamined"}))


def _numbers(value: Any, names: set[str]) -> list[int]:
    """Return the numbers with these names, at any depth."""
    if isinstance(value, dict):
        found = [number for name, number in value.items() if name in names]
        return found + [number for inner in value.values() for number in _numbers(inner, names)]
    return [number for inner in value for number in _numbers(inner, names)] if isinstance(value, list) else []
