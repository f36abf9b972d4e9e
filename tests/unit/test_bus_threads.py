import asyncio
import gc
import threading

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from tests.support.conditions import becomes
from tests.unit.noting import Seen, event, notes


async def test_plain_code_in_another_thread_can_publish(bus: EventBus, seen: Seen) -> None:
    async def handler(event: DomainEvent) -> None:
        seen.append((event.event_type, threading.current_thread() is threading.main_thread()))

    bus.subscribe("*", handler, id="h")
    await asyncio.to_thread(bus.publish_from_thread, event("from a thread"))
    assert seen == [("from a thread", True)]


async def test_a_plain_background_handler_can_publish(bus: EventBus, seen: Seen) -> None:
    def parent(event: DomainEvent) -> None:
        bus.publish_from_thread(DomainEvent(event_type="child"))
        seen.append("parent")

    bus.subscribe("parent", parent, id="parent", background=True)
    bus.subscribe("child", notes(seen, "child"), id="child")
    await bus.publish(event("parent"))
    await bus.drain(timeout=60)
    assert seen == ["child", "parent"]


async def test_an_exception_of_publish_reaches_the_thread(bus: EventBus) -> None:
    bus.subscribe("*", notes([], ""), id="h")
    with pytest.raises(TypeError, match="publish takes a DomainEvent"):
        await asyncio.to_thread(bus.publish_from_thread, "no event")  # type: ignore[arg-type]


async def test_a_time_out_that_publish_raises_is_not_taken_for_a_wait(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish(event: DomainEvent) -> None:
        raise TimeoutError("the store is slow")

    bus.subscribe("*", notes([], ""), id="h")
    monkeypatch.setattr(bus, "publish", publish)
    with pytest.raises(TimeoutError, match="the store is slow"):
        await asyncio.to_thread(bus.publish_from_thread, event())


async def test_in_the_thread_of_the_loop_publish_from_thread_is_refused(bus: EventBus) -> None:
    with pytest.raises(RuntimeError, match=r"use `await bus.publish\(event\)`"):
        bus.publish_from_thread(event())


def test_without_a_loop_publish_from_thread_shows_the_fix(bus: EventBus) -> None:
    with pytest.raises(RuntimeError, match="async with bus"):
        bus.publish_from_thread(event())


def test_a_thread_does_not_wait_for_a_loop_that_has_ended(
    bus: EventBus, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("craft_easy.core.events.handlers.loops.POLL_S", 0.01)
    begun = threading.Event()

    async def hangs(event: DomainEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    def publish() -> None:
        try:
            bus.publish_from_thread(event())
        except RuntimeError as error:
            seen.append(str(error))

    async def main() -> None:
        bus.subscribe("*", hangs, id="hangs")
        thread.start()
        await becomes(begun.is_set)

    thread = threading.Thread(target=publish)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    thread.join(60)
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    assert seen == ["the event loop ended before the event was published"]


def test_the_bus_finds_a_later_loop(seen: Seen) -> None:
    bus = EventBus()
    bus.subscribe("*", notes(seen, "handled"), id="h")

    async def main() -> None:
        await bus.publish(event())
        await asyncio.to_thread(bus.publish_from_thread, event())

    asyncio.run(main())
    gc.collect()
    asyncio.run(main())
    assert seen == ["handled"] * 4
