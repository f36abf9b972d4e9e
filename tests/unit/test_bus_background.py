import asyncio
import gc
import threading

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from tests.support.conditions import becomes
from tests.unit.noting import Seen, event, notes, raises


async def test_publish_does_not_wait_for_background_handlers_and_drain_does(bus: EventBus, seen: Seen) -> None:
    go = asyncio.Event()

    async def slow(event: DomainEvent) -> None:
        await go.wait()
        seen.append("slow")

    bus.subscribe("*", slow, id="slow", background=True)
    bus.subscribe("*", notes(seen, "foreground"), id="foreground")
    await bus.publish(event())
    gc.collect()
    assert seen == ["foreground"]
    go.set()
    await bus.drain()
    assert seen == ["foreground", "slow"]


async def test_drain_awaits_what_background_handlers_publish(bus: EventBus, seen: Seen) -> None:
    async def parent(event: DomainEvent) -> None:
        await asyncio.sleep(0)
        await bus.publish(DomainEvent(event_type="child"))

    bus.subscribe("parent", parent, id="parent", background=True)
    bus.subscribe("child", notes(seen, "child"), id="child", background=True)
    await bus.publish(event("parent"))
    await bus.drain()
    assert seen == ["child"]


async def test_a_background_handler_that_raises_is_logged_and_nothing_else(
    bus: EventBus, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe("*", raises(SystemExit(2)), id="fails", background=True)
    bus.subscribe("*", notes(seen, "other"), id="other", background=True)
    await bus.publish(event())
    await bus.drain()
    gc.collect()
    assert seen == ["other"]
    assert [record.handler_id for record in caplog.records] == ["fails"]  # type: ignore[attr-defined]


async def test_a_plain_background_handler_does_not_block_the_loop(bus: EventBus, seen: Seen) -> None:
    go = threading.Event()

    def plain(event: DomainEvent) -> None:
        go.wait(60)
        seen.append((threading.current_thread() is threading.main_thread(), event.event_type))

    bus.subscribe("*", plain, id="plain", background=True)
    await bus.publish(event())
    go.set()
    await bus.drain()
    assert seen == [(False, "payment.completed")]


@pytest.mark.parametrize("background", [False, True])
async def test_drain_inside_a_delivery_is_an_error(bus: EventBus, seen: Seen, background: bool) -> None:
    async def drains(event: DomainEvent) -> None:
        with pytest.raises(RuntimeError, match="inside a delivery"):
            await bus.drain()
        seen.append("refused")

    bus.subscribe("*", drains, id="drains", background=background)
    await bus.publish(event())
    await bus.drain()
    assert seen == ["refused"]


async def test_a_drain_that_times_out_counts_the_running_tasks(bus: EventBus) -> None:
    go = asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        await go.wait()

    bus.subscribe("*", waits, id="waits", background=True)
    await bus.publish(event())
    with pytest.raises(TimeoutError, match=r"1 background handlers still run after 0.01 s"):
        await bus.drain(timeout=0.01)
    go.set()
    await bus.drain()


async def test_past_the_limit_a_publish_from_outside_waits_and_one_from_inside_does_not(
    bus: EventBus, seen: Seen
) -> None:
    bus.tasks()._limit = 3
    go = asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        await go.wait()

    async def parent(event: DomainEvent) -> None:
        await asyncio.gather(*(bus.publish(DomainEvent(event_type="child")) for _ in range(5)))
        seen.append("published inside")

    bus.subscribe("child", waits, id="waits", background=True)
    bus.subscribe("parent", parent, id="parent")
    await asyncio.wait_for(bus.publish(event("parent")), 60)
    assert (seen, len(bus.tasks())) == (["published inside"], 5)
    outside = [asyncio.create_task(bus.publish(event("child"))), asyncio.create_task(bus.publish_many([event("none")]))]
    await asyncio.wait(outside[1:])
    assert not outside[0].done()
    go.set()
    await asyncio.gather(*outside)
    await bus.drain()


async def test_ten_thousand_background_handlers_run_at_once_and_no_more(seen: Seen) -> None:
    bus, go = EventBus(), asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        await go.wait()
        seen.append(1)

    bus.subscribe("*", waits, id="waits", background=True)
    published = event()
    publishers = [asyncio.create_task(bus.publish(published)) for _ in range(10_005)]
    await becomes(lambda: sum(publisher.done() for publisher in publishers) >= 10_000)
    assert len(bus.tasks()) == 10_000
    go.set()
    await asyncio.gather(*publishers)
    await bus.drain()
    assert len(seen) == 10_005


def test_a_bus_serves_two_loops_at_once(seen: Seen) -> None:
    bus, together = EventBus(), threading.Barrier(2)

    async def meets(event: DomainEvent) -> None:
        await asyncio.to_thread(together.wait, 20)
        seen.append(event.event_type)

    async def main(name: str) -> None:
        await bus.publish(event(name))
        await bus.drain()

    bus.subscribe("*", meets, id="meets", background=True)
    threads = [threading.Thread(target=lambda name=name: asyncio.run(main(name))) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen) == ["a", "b"]
