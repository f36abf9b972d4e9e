"""The server is killed with SIGKILL in the middle of its work, and restarted on its data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine import outcomes
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.store import deliveries, sessions
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.faults.application import (
    DEADLINE,
    SHORT_DEADLINE,
    Gate,
    Ran,
    Recorder,
    application,
    deliver,
    delivery,
    events,
    passes,
    states,
)
from tests.support import proxy as commands
from tests.support.proxy import Command, Proxy
from tests.support.server import Server

MANY: Final = 500
GONE_S: Final = 0.3
PATIENT: Final = 3.0
"""A lease long enough for a driver that looks for its server every half second, on a busy machine."""


async def restart_later(server: Server) -> None:
    """Restart a killed server after a moment."""
    await passes(GONE_S)
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("in_the_middle_of", [commands.claim, commands.more, commands.outcome])
async def test_a_redispatch_continues_after_the_server_was_killed(
    in_the_middle_of: Callable[[Command], bool], server: Server, database_name: str
) -> None:
    """Check that nothing is lost, that every acknowledged outcome is stored, and that nothing runs twice."""
    ran, recorder, returns = Ran(), Recorder(), []

    def kill() -> None:
        server.kill()
        returns.append(asyncio.create_task(restart_later(server)))

    async with Proxy(server.uri) as proxy, application(proxy.uri, database_name) as bus:
        for name in ("a", "b"):
            bus.subscribe("*", ran.handler(name), id=name)
        store = bus.publisher.store
        await store.append_many(published := events(MANY), handlers=["a", "b"])
        proxy.when(_third(in_the_middle_of), kill)
        summary = await deliver(bus, observer=recorder)
        assert len(returns) == 1
        assert (summary.claimed, summary.done, len(recorder.reports)) == (MANY, 2 * MANY, 2 * MANY)
        assert set(ran.runs.values()) == {1}
        assert await states(store, published) == {("done", None): MANY}
        if in_the_middle_of is commands.claim:  # a listing is reopened, and outcomes wait, without a notice
            assert recorder.lost_at, "the run has reported it"


def _third(meant: Callable[[Command], bool]) -> Callable[[Command], bool]:
    """Match the third command of a kind."""
    met = 0

    def is_third(command: Command) -> bool:
        nonlocal met
        met += meant(command)
        return met == 3 and meant(command)

    return is_third


async def test_events_published_before_a_kill_of_the_server_are_there_after_it(
    server: Server, database_name: str
) -> None:
    ran = Ran()
    published = events(100)
    async with application(server.uri, database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        await bus.publish_many(published[:50])
        await asyncio.gather(*map(bus.publish, published[50:]))
        server.kill()
        bus.publisher.store.timeout = SHORT_DEADLINE
        with pytest.raises(StoreUnavailable):
            await bus.publish(events(1)[0])
        bus.publisher.store.timeout = DEADLINE
        await asyncio.to_thread(server.start)
        await bus.drain()
        assert await states(bus.publisher.store, published) == {("done", None): 100}
        assert ran.total == 100


async def test_outcomes_of_an_outage_are_written_when_it_is_over(
    server: Server, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, limit in ((outcomes, "BULK_WRITE_S"), (deliveries, "APART_S"), (sessions, "TRY_S")):
        monkeypatch.setattr(module, limit, 0.3)
    gate = Gate()
    async with application(server.uri, database_name, lease=30) as bus:
        bus.subscribe("*", gate, id="a", background=True)
        await bus.publish_many(published := events(50))
        await gate.entered.wait()
        bus.publisher.store.timeout = 0.5
        server.kill()
        gate.opened.set()
        await passes(2)
        bus.publisher.store.timeout = DEADLINE
        await asyncio.to_thread(server.start)
        await bus.drain()
        assert await states(bus.publisher.store, published) == {("done", None): 50}


async def test_an_outage_of_three_leases_takes_over_none_of_four_live_workers(
    server: Server, database_name: str
) -> None:
    gates = [Gate() for _ in range(4)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as living:
        for number, gate in enumerate(gates):
            uri = f"{server.uri}&appName=worker-{number}"
            living.create_task(_live(uri, database_name, number, gate, stop))
        for gate in gates:
            await gate.entered.wait()
        server.kill()
        await passes(3 * PATIENT)
        await asyncio.to_thread(server.start)
        await passes(1.5 * PATIENT)
        for gate in gates:
            gate.opened.set()
        stop.set()


async def test_an_outage_without_an_observer_takes_over_no_worker(server: Server, database_name: str) -> None:
    """A busy worker polls seldom: the outage falls between two polls, both of which are answered."""
    async with (
        application(server.uri, database_name, lease=PATIENT) as bus,
        application(f"{server.uri}&appName=other", database_name, lease=PATIENT) as other,
    ):
        bus.subscribe("*", gate := Gate(), id="held", background=True)
        await bus.publish(events(1)[0])
        await gate.entered.wait()
        await other.publisher.record_owner().worker.ready()
        take_over = TakeOver(other.publisher.record_owner())
        await take_over.once()
        server.kill()
        await passes(1.2 * PATIENT)
        await asyncio.to_thread(server.start)
        assert await take_over.once() == 0
        await passes(1.2 * PATIENT)
        assert await take_over.once() == 0
        gate.opened.set()


async def _live(uri: str, database: str, number: int, gate: Gate, stop: asyncio.Event) -> None:
    """Act as a worker that runs a handler of its own and watches the others."""
    async with application(uri, database, lease=PATIENT) as bus:
        store = bus.publisher.store
        bus.subscribe(f"held.{number}", gate, id="held")
        watching = asyncio.create_task(deliver(bus, watch=True, stop=stop))
        await bus.publish(event := DomainEvent(event_type=f"held.{number}"))
        await stop.wait()
        assert (await watching).taken_over == 0
        await bus.drain()
        left = await delivery(store, event)
        assert (left.state, left.takeovers) == ("done", 0)
        assert not [one for one in (await WorkerRegistry(store).entries()).values() if one.fenced]
