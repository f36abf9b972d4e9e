import asyncio
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest

from craft_easy.core.events.engine import lease as module
from craft_easy.core.events.engine.lease import MAX_RUNNING, Worker
from craft_easy.core.events.engine.watchdog import RunningHandler
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.pause import Pause
from craft_easy.core.events.store.worker_registry import RunningDelivery
from tests.unit.fake_registry import LEASE, START, FakeClock, FakeRegistry


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(module, "steady", clock)
    return clock


@pytest.fixture
def registry(clock: FakeClock) -> FakeRegistry:
    return FakeRegistry(clock)


async def test_a_worker_registers_when_it_is_first_needed(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    assert registry.entered == []
    assert not worker.may_start
    owner = await worker.ready()
    assert registry.entered == [owner]
    assert worker.may_start
    assert await worker.ready() == owner
    assert len(registry.entered) == 1
    await worker.stop()
    assert registry.removed == [owner]
    assert registry.closed.is_set()


async def test_an_identity_names_host_and_process_and_is_new_each_time(registry: FakeRegistry) -> None:
    one, other = Worker(registry, lease=LEASE), Worker(registry, lease=LEASE)
    assert one.owner != other.owner
    assert one.owner.rsplit(":", 2)[0] == other.owner.rsplit(":", 2)[0]


async def test_concurrent_callers_register_once(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    await asyncio.gather(*(worker.ready() for _ in range(5)))
    assert len(registry.entered) == 1
    await worker.stop()


async def test_the_databases_time_is_reckoned_from_the_last_beat(registry: FakeRegistry, clock: FakeClock) -> None:
    worker = Worker(registry, lease=LEASE)
    with pytest.raises(RuntimeError, match="not registered"):
        worker.now()
    await worker.ready()
    clock.time += 1.23456
    assert worker.now() == START + timedelta(milliseconds=1234)
    await worker.stop()


async def test_a_silent_worker_starts_nothing_until_a_heartbeat_is_acknowledged(
    registry: FakeRegistry, clock: FakeClock
) -> None:
    worker = Worker(registry, lease=LEASE)
    owner = await worker.ready()
    clock.time += LEASE + 0.1
    assert not worker.may_start
    assert await worker.ready() == owner
    assert (worker.may_start, registry.beats, registry.entered) == (True, 1, [owner])
    await worker.stop()


async def test_an_outage_longer_than_the_lease_fails_everybody_who_waits_with_one_attempt(
    registry: FakeRegistry, clock: FakeClock
) -> None:
    worker = Worker(registry, lease=LEASE)
    owner = await worker.ready()
    clock.time += LEASE + 0.1
    registry.fails = True
    results = await asyncio.gather(*(worker.ready() for _ in range(100)), return_exceptions=True)
    assert [type(one) for one in results] == [ConnectionError] * 100
    assert registry.beats == 1
    registry.fails = False
    assert await worker.ready() == owner
    await worker.stop()


async def test_a_beat_counts_from_when_it_was_sent(registry: FakeRegistry, clock: FakeClock) -> None:
    worker = Worker(registry, lease=LEASE)
    owner = await worker.ready()
    clock.time += 100
    worker.on_heartbeat(owner, clock.time - LEASE - 1, registry.time())
    assert not worker.may_start
    await worker.stop()


async def test_a_worker_whose_heartbeat_is_refused_registers_again(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    first = await worker.ready()
    registry.refused.add(first)
    assert not await worker.confirm()
    assert not worker.may_start
    second = await worker.ready()
    assert second != first
    assert registry.entered == [first, second]
    await worker.stop()


async def test_a_late_reply_about_an_old_identity_changes_nothing(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    first = await worker.ready()
    registry.refused.add(first)
    await worker.confirm()
    await worker.ready()
    worker.on_heartbeat(first, 5.0, None)
    assert worker.may_start
    await worker.stop()


def beat_while_the_loop_is_blocked(worker: Worker) -> bool:
    assert worker._thread is not None
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(worker._thread.beat()))  # type: ignore[union-attr]  # seen above
    thread.start()
    thread.join()
    return results[0]


async def test_the_thread_beats_while_a_handler_blocks_the_loop(registry: FakeRegistry, clock: FakeClock) -> None:
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    clock.time += LEASE + 1
    assert not worker.may_start
    assert beat_while_the_loop_is_blocked(worker)
    assert worker.may_start, "no turn of the loop was needed"
    await worker.stop()


async def test_a_heartbeat_names_what_has_run_for_the_longest_and_since_when(
    registry: FakeRegistry, clock: FakeClock
) -> None:
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    since = registry.time()
    with ExitStack() as running:
        for number in range(MAX_RUNNING + 2):
            handler = RunningHandler(f"shop:{number}", None, 60, f"e{number}", clock.time)
            running.enter_context(worker.running_handlers.including(number, handler))
            clock.time += 1
        assert beat_while_the_loop_is_blocked(worker)
    assert registry.running[0] == RunningDelivery("shop:0", "e0", since)
    assert registry.running[3] == RunningDelivery("shop:3", "e3", since + timedelta(seconds=3))
    assert len(registry.running) == MAX_RUNNING
    assert beat_while_the_loop_is_blocked(worker)
    assert registry.running == []
    await worker.stop()


async def test_the_time_never_goes_back_even_after_a_failover(registry: FakeRegistry, clock: FakeClock) -> None:
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    before = worker.now()
    clock.time += 1
    worker.on_heartbeat(worker.owner, clock.time, before - timedelta(minutes=1))
    assert worker.now() == before
    clock.time += 120
    assert worker.now() > before
    await worker.stop()


async def test_a_beat_that_fails_is_tried_again(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    registry.fails = True
    assert not beat_while_the_loop_is_blocked(worker)
    assert worker.may_start, "one failure is not a refusal"
    await worker.stop()
    assert registry.closed.is_set(), "an unreachable registry does not keep the thread alive"


def test_a_closed_loop_ends_its_worker(clock: FakeClock) -> None:
    registry = FakeRegistry(clock)
    worker: list[Worker] = []

    async def main() -> None:
        worker.append(Worker(registry, lease=LEASE))
        await worker[0].ready()

    asyncio.run(main())
    assert not worker[0].is_current
    thread = worker[0]._thread
    assert thread is not None
    assert not worker[0].watchdog.ask()
    thread.stop()
    thread.join(timeout=60)
    assert registry.removed == [worker[0].owner]


# the paused handlers


async def test_a_worker_knows_the_pauses_before_it_is_ready(registry: FakeRegistry) -> None:
    registry.paused = (Pause("a"),)
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    assert worker.pauses.current() == (Pause("a"),)
    await worker.stop()


async def test_each_heartbeat_reads_the_pauses(registry: FakeRegistry) -> None:
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    assert worker.pauses.current() == ()
    registry.paused = (Pause("a"),)
    thread = module.HeartbeatThread(worker, registry.channel(timeout=LEASE / 10))
    assert await asyncio.to_thread(thread.beat)
    assert worker.pauses.current() == (Pause("a"),)
    await worker.stop()


async def test_the_last_known_pauses_hold_where_they_cannot_be_read(registry: FakeRegistry, clock: FakeClock) -> None:
    registry.paused = (Pause("a"),)
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    registry.paused, registry.pauses_error = (), StoreUnavailable("gone")
    thread = module.HeartbeatThread(worker, registry.channel(timeout=LEASE / 10))
    assert await asyncio.to_thread(thread.beat), "the heartbeat itself was answered"
    worker.on_heartbeat(worker.owner, clock(), None)
    await worker.ready()
    assert len(registry.entered) == 2
    assert worker.pauses.current() == (Pause("a"),)
    await worker.stop()


async def test_a_worker_that_never_read_the_pauses_is_not_ready(registry: FakeRegistry) -> None:
    registry.pauses_error = StoreUnavailable("gone")
    worker = Worker(registry, lease=LEASE)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await worker.ready()
    registry.pauses_error = None
    await worker.ready()
    assert len(registry.entered) == 1, "it was registered at the first try"
    await worker.stop()


async def test_a_pause_ends_by_the_databases_time(registry: FakeRegistry, clock: FakeClock) -> None:
    registry.paused = (Pause("a", until=START + timedelta(seconds=5)),)
    worker = Worker(registry, lease=LEASE)
    await worker.ready()
    clock.time += 4.9
    assert worker.pauses.current()
    clock.time += 0.2
    assert worker.pauses.current() == ()
    await worker.stop()
