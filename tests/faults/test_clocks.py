"""No clock matters: not a worker's, not a server's, and not the time for which a process was suspended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.model.retry import RetryPolicy
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.worker_registry import WorkerEntry, WorkerRegistry
from tests.faults.application import (
    Gate,
    Ran,
    application,
    deliver,
    delivery,
    events,
    fails,
    freed,
    own,
    passes,
    states,
)
from tests.support.server import Server

PATIENT: Final = 2.0
"""A lease that is long enough for a driver that looks for its server every half second."""
YEAR_S: Final = 365 * 24 * 3600
MINUTE_S: Final = 60
WORKER: Final = """
import asyncio
import sys
from pathlib import Path

from craft_easy.core.events import EventBus
from craft_easy.core.events.redispatch import RedispatchOptions
from craft_easy.core.events.redispatch import redispatch
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore

async def handler(event):
    print(event.event_type, flush=True)
    while event.event_type != "after" and not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.02)
    if event.event_type == "fails":
        raise ValueError("too late")

async def main():
    async with EventStore() as store, EventBus() as bus:
        bus.subscribe("*", handler, id="a")
        bus.configure_store(store, lease=1)
        await redispatch(bus, Selection(), RedispatchOptions(watch=True))

asyncio.run(main())
"""


# a suspended worker


@asynccontextmanager
async def worker(uri: str, database: str, gate: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a process that redispatches until the block ends; it prints each event that it starts."""
    environment = {**os.environ, "CRAFT_EVENTS_URI": uri, "CRAFT_EVENTS_DATABASE": database}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(gate), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


async def test_a_worker_that_was_paused_past_its_lease_keeps_its_successes_and_drops_its_failures(
    embedded_uri: str, database_name: str, tmp_path: Path
) -> None:
    succeeding, failing = (DomainEvent(event_type=one) for one in ("succeeds", "fails"))
    async with application(embedded_uri, database_name) as bus:
        store = bus.publisher.store
        bus.subscribe("*", fails, id="a", retry=RetryPolicy(delay=3600))
        await store.append_many([succeeding, failing], handlers=["a"])
        async with worker(embedded_uri, database_name, gate := tmp_path / "gate") as process:
            assert {await said(process), await said(process)} == {"succeeds", "fails"}
            process.send_signal(signal.SIGSTOP)
            summary = await deliver(bus)
            assert (summary.taken_over, summary.failed) == (2, 2)
            gate.touch()
            process.send_signal(signal.SIGCONT)
            await store.append(DomainEvent(event_type="after"), handlers=["a"])
            assert await said(process) == "after", "it continues"
            await becomes_done(store, succeeding)
            [succeeded] = (await delivery(store, succeeding)).handlers
            [failed] = (await delivery(store, failing)).handlers
            entries = [one for one in (await WorkerRegistry(store).entries()).values() if one.pid == process.pid]
    assert (succeeded.state, succeeded.attempts) == ("done", 2)
    assert (failed.state, [error.message for error in failed.errors]) == ("pending", ["no"])
    assert sorted(one.fenced for one in entries) == [False, True], "under a new identity"


async def becomes_done(store: EventStore, event: DomainEvent) -> None:
    """Wait until an event's record is done."""
    async with asyncio.timeout(60):
        while (await delivery(store, event)).state != "done":  # noqa: ASYNC110 - each poll is a round trip
            await asyncio.sleep(0)


# a worker's clock


@pytest.mark.parametrize("years", [-1, 1])
async def test_a_worker_whose_clock_is_a_year_off_writes_the_databases_time(
    years: int, embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    skew(monkeypatch, years * YEAR_S)
    async with application(embedded_uri, database_name) as bus:
        store = bus.publisher.store
        bus.subscribe("*", fails, id="a")
        before = await store.now()
        await bus.publish(event := events(1)[0])
        assert abs(event.timestamp - before) > timedelta(days=364), "its clock is wrong"
        await bus.drain()
        [first] = (await delivery(store, event)).handlers
        assert_within(first.due_at, before, before + timedelta(seconds=30))
        assert_within(first.errors[0].at, before - timedelta(seconds=1), await store.now() + timedelta(seconds=1))
        assert (await deliver(bus, now=False)).claimed == 0, "its back-off is not over"
        assert (await deliver(bus)).failed == 1
        left = await delivery(store, event)
        assert_within(left.claimed_at, before, await store.now() + timedelta(seconds=1))


@pytest.mark.parametrize("years", [-1, 1])
async def test_a_worker_whose_clock_is_a_year_off_takes_over_silent_workers_only(
    years: int, embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, gate = Ran(), Gate()
    async with application(embedded_uri, database_name) as living:
        store = living.publisher.store
        await store.append_many(abandoned := events(3), handlers=["a"])
        await own(store, "elsewhere:1:silent", lease=PATIENT)
        living.subscribe("held", gate, id="held")
        publishing = asyncio.create_task(living.publish(held := DomainEvent(event_type="held")))
        await gate.entered.wait()
        async with application(embedded_uri, database_name) as bus:
            bus.subscribe("*", ran.handler("a"), id="a")
            bus.subscribe("held", ran.handler("held"), id="held")
            await bus.publisher.record_owner().worker.ready()
            take_over = TakeOver(bus.publisher.record_owner())
            assert await take_over.once() == 0, "a worker that is seen for the first time is not silent yet"
            skew(monkeypatch, years * YEAR_S)
            assert await take_over.once() == 0, "no lease has passed"
            assert await freed(take_over) == 3
            summary = await deliver(bus)
        assert (summary.done, summary.owned) == (3, 1)
        assert await states(store, abandoned) == {("done", None): 3}
        assert (await delivery(store, held)).takeovers == 0
        gate.opened.set()
        await publishing


def skew(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Set the time of day of this process."""
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + seconds * 10**9)


def assert_within(moment: datetime | None, first: datetime, last: datetime) -> None:
    """Return whether a time is between two others."""
    assert moment is not None
    assert first <= moment <= last


# a server's clock


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_a_failover_to_a_server_with_a_clock_a_minute_off_takes_over_no_live_worker(
    minutes: int, server: Server, database_name: str
) -> None:
    held, seen = DomainEvent(event_type="held"), DomainEvent(event_type="seen")
    gate, watching, stop = Gate(), Gate(), asyncio.Event()
    async with (
        application(server.uri, database_name, lease=PATIENT) as bus,
        application(f"{server.uri}&appName=other", database_name, lease=PATIENT) as other,
    ):
        store = bus.publisher.store
        bus.subscribe("held", gate, id="held")
        other.subscribe("seen", watching, id="seen")
        publishing = asyncio.create_task(bus.publish(held))
        redispatching = asyncio.create_task(deliver(other, watch=True, stop=stop))
        await gate.entered.wait()
        before = await store.now()
        began = time.monotonic()
        await asyncio.to_thread(server.restart, skew_s=minutes * MINUTE_S)
        down = timedelta(seconds=time.monotonic() - began)
        await passes(2.5 * PATIENT)
        jump = await store.now() - before
        assert abs(jump) > timedelta(seconds=MINUTE_S / 2)
        assert await fenced(store) == []
        await store.append(seen, handlers=["seen"])
        await watching.entered.wait()
        claimed_at = (await delivery(store, seen)).claimed_at
        second = timedelta(seconds=1)
        assert_within(claimed_at, before - second, max(before + down, await store.now()) + second)
        for one in (gate, watching):
            one.opened.set()
        await publishing
        stop.set()
        assert (await redispatching).taken_over == 0
        await bus.drain()
        assert await states(store, [held, seen]) == {("done", None): 2}


async def fenced(store: EventStore) -> list[WorkerEntry]:
    """Return the workers that were taken over."""
    return [one for one in (await WorkerRegistry(store).entries()).values() if one.fenced]


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_a_run_that_begins_right_after_a_failover_runs_each_once_and_waits_for_no_clock(
    minutes: int, server: Server, database_name: str
) -> None:
    ran = Ran()
    async with application(server.uri, database_name, lease=9) as bus:
        store = bus.publisher.store
        bus.subscribe("*", ran.handler("a", fails), id="a")
        await store.append_many(events(3), handlers=["a"])
        worker = bus.publisher.record_owner().worker
        await worker.ready()
        worker.now()
        await asyncio.to_thread(server.restart, skew_s=minutes * MINUTE_S)
        if minutes < 0:
            await worker.confirm()
        async with asyncio.timeout(MINUTE_S / 2):
            await deliver(bus)
        assert (ran.total, set(ran.runs.values())) == (3, {1})
