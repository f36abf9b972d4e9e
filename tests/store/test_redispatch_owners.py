"""A redispatch and the records of other workers: silent, fenced, unknown or alive."""

import asyncio
from datetime import timedelta

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.deliveries import delivery_of, own
from tests.support.redispatches import deliver, events
from tests.support.runs import Ran, Recorder

DRIVERS = ("a URI",)
LEASE = 0.6


async def test_a_silent_worker_is_taken_over_after_its_lease(bus: EventBus, store: EventStore, ran: Ran) -> None:
    [event] = published = events(1)
    await store.append_many(published, handlers=["a"])
    await own(store, "elsewhere:1:dead", lease=LEASE)
    bus.subscribe("*", ran.handler("a"), id="a")
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert (summary.taken_over, summary.claimed, summary.done) == (1, 1, 1)
    assert summary.elapsed_s > LEASE
    assert recorder.waiting[0].worker.owner == "elsewhere:1:dead"
    assert (recorder.waiting[0].events, 0 <= recorder.waiting[0].left <= LEASE) == (1, True)
    assert (await delivery_of(store, event)).takeovers == 1
    assert (await WorkerRegistry(store).entries())["elsewhere:1:dead"].fenced


async def test_without_wait_the_records_of_a_silent_worker_are_not_touched(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(events(2), handlers=["a"])
    await own(store, "elsewhere:1:dead", lease=60)
    bus.subscribe("*", ran.handler("a"), id="a")
    summary = await deliver(bus, wait=False)
    assert (summary.claimed, summary.owned, summary.taken_over) == (0, 2, 0)


async def test_records_of_an_unregistered_owner_are_freed_at_once(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(2), handlers=["a"])
    await own(store, "elsewhere:1:unknown", register=False)
    bus.subscribe("*", ran.handler("a"), id="a")
    summary = await deliver(bus, wait=False)
    assert (summary.taken_over, summary.done) == (2, 2)


async def test_records_that_land_after_the_fence_are_freed_too(bus: EventBus, store: EventStore, ran: Ran) -> None:
    workers = WorkerRegistry(store)
    await workers.register("elsewhere:1:fenced", lease=60)
    await workers.fence((await workers.entries())["elsewhere:1:fenced"])
    await store.append_many(events(1), handlers=["a"])
    await own(store, "elsewhere:1:fenced", register=False)
    bus.subscribe("*", ran.handler("a"), id="a")
    assert (await deliver(bus, wait=False)).done == 1


async def test_a_living_worker_is_waited_for_until_it_has_beaten_and_keeps_its_records(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(events(2), handlers=["a"])
    await own(store, "elsewhere:1:alive", lease=5)
    bus.subscribe("*", ran.handler("a"), id="a")
    recorder = Recorder()
    running = asyncio.create_task(deliver(bus, observer=recorder))
    while not recorder.waiting:  # noqa: ASYNC110 - set by a callback of the run
        await asyncio.sleep(0.01)
    await WorkerRegistry(store).beat("elsewhere:1:alive")
    summary = await running
    assert (summary.owned, summary.claimed, summary.taken_over) == (2, 0, 0)


async def test_records_that_a_live_worker_frees_during_the_run_are_delivered(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(events(1), handlers=["a"])
    await own(store, "elsewhere:1:alive", lease=5)
    before_the_run = {"delivery.claimed_at": await store.now() - timedelta(minutes=1)}
    bus.subscribe("*", ran.handler("a"), id="a")
    recorder = Recorder()
    running = asyncio.create_task(deliver(bus, observer=recorder))
    while not recorder.waiting:  # noqa: ASYNC110 - set by a callback of the run
        await asyncio.sleep(0.01)
    await (await store.collection()).update_many({}, {"$set": {"delivery.owner": None, **before_the_run}})
    assert (await running).done == 1


async def test_two_runs_at_the_same_time_deliver_everything_once(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await store.append_many(events(CLAIM_SIZE + 20), handlers=["a"])
    bus.subscribe("*", ran.handler("a"), id="a")
    async with EventBus() as other:
        other.subscribe("*", ran.handler("a"), id="a")
        other.configure_store(store, lease=LEASE)
        first, second = await asyncio.gather(deliver(bus), deliver(other))
    assert first.done + second.done == CLAIM_SIZE + 20
    assert set(ran.runs.values()) == {1}


async def test_a_count_includes_what_a_silent_worker_owns_and_the_run_delivers_it(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    bus.subscribe("*", ran.handler("a"), id="a")
    await store.append_many(events(3), handlers=["a"])
    await own(store, "elsewhere:1:silent", lease=0.2)
    await store.append_many(events(2), handlers=["a"])
    await asyncio.sleep(0.3)  # the database's clock decides which worker is silent
    counts = await count(bus, Selection(), RedispatchOptions())
    assert (counts.events, counts.after_take_over, counts.take_over_s) == (5, 3, 0.2)
    summary = await deliver(bus)
    assert (summary.events, summary.taken_over) == (5, 3)


async def test_an_outcome_on_a_record_that_was_taken_over_is_reported_as_lost(bus: EventBus, store: EventStore) -> None:
    async def robbed(event: DomainEvent) -> None:
        await own(store, "elsewhere:1:other", lease=60)
        await WorkerRegistry(store).beat("elsewhere:1:other")
        raise ValueError("no")

    [event] = published = events(1)
    await store.append_many(published, handlers=["a"])
    bus.subscribe("*", robbed, id="a")
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder, wait=False)
    assert (summary.claimed, summary.lost, summary.failed, summary.owned) == (1, 1, 0, 1)
    assert [report.outcome for report in recorder.reports] == ["lost"]
    assert (await delivery_of(store, event)).handlers[0].attempts == 0
