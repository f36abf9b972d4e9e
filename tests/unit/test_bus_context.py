import asyncio
import gc
import logging
import tracemalloc
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus, current_delivery
from craft_easy.core.events.handlers import registry
from craft_easy.core.events.handlers.context import open_delivery
from tests.support.conditions import becomes
from tests.unit.noting import Seen, event, notes, raises

# The running delivery


async def test_each_handler_sees_its_own_delivery(bus: EventBus, seen: Seen) -> None:
    def asks(name: str) -> Callable[[DomainEvent], Any]:
        async def handler(event: DomainEvent) -> None:
            before = current_delivery()
            await asyncio.sleep(0)
            (inherited,) = await asyncio.gather(asyncio.to_thread(current_delivery))
            assert before is current_delivery() is inherited
            assert before is not None
            seen.append((before.handler_id, before.event.event_id, before.attempt, before.is_replay, before.replay_id))

        return handler

    for name in ("1", "2"):
        bus.subscribe("*", asks(name), id=name)
    bus.subscribe("*", asks("3"), id="3", background=True)
    published = event()
    await bus.publish(published)
    await bus.drain()
    assert seen == [(name, published.event_id, 1, False, None) for name in ("1", "2", "3")]
    assert open_delivery() is None


async def test_a_background_handler_sets_context_variables_for_itself_and_a_foreground_one_for_the_publisher(
    bus: EventBus, seen: Seen
) -> None:
    variable = ContextVar("variable", default="unset")

    def sets(name: str) -> Callable[[DomainEvent], Any]:
        async def handler(event: DomainEvent) -> None:
            seen.append((name, variable.get()))
            variable.set(name)

        return handler

    bus.subscribe("*", sets("background"), id="1", background=True)
    await bus.publish(event())
    await bus.publish(event())
    await bus.drain()
    bus.subscribe("*", sets("foreground"), id="2")
    await bus.publish(event())
    assert seen[:2] == [("background", "unset")] * 2
    assert seen[2:] == [("foreground", "unset")]
    assert variable.get() == "foreground"


async def test_a_handler_that_publishes_is_itself_again_afterwards(bus: EventBus, seen: Seen) -> None:
    async def parent(event: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="child"))
        seen.append(current_delivery())
        await bus.publish(DomainEvent(event_type="failing child"))
        seen.append(current_delivery())

    async def child(event: DomainEvent) -> None:
        seen.append(current_delivery())

    bus.subscribe("parent", parent, id="parent")
    bus.subscribe("child", child, id="child")
    bus.subscribe("failing child", raises(ValueError("no")), id="fails")
    await bus.publish(event("parent"))
    assert [one.handler_id for one in seen] == ["child", "parent", "parent"]
    assert not any(one.is_open for one in seen)


async def test_a_task_left_behind_is_outside_once_its_delivery_has_ended(bus: EventBus, seen: Seen) -> None:
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        seen.append(open_delivery())

    async def leaves_a_task(event: DomainEvent) -> None:
        seen.append(asyncio.create_task(later()))

    bus.subscribe("*", leaves_a_task, id="leaves")
    await bus.publish(event())
    go.set()
    await seen[0]
    assert seen[1:] == [None]


async def test_a_task_left_behind_never_gets_the_delivery_of_the_next_handler(seen: Seen) -> None:
    bus, looked = EventBus(), asyncio.Event()

    async def later() -> None:
        seen.append(open_delivery())
        looked.set()

    async def leaves_a_task(event: DomainEvent) -> None:
        seen.append(asyncio.create_task(later()))

    async def waits(event: DomainEvent) -> None:
        await looked.wait()

    bus.subscribe("*", leaves_a_task, id="leaves")
    bus.subscribe("*", waits, id="waits")
    await bus.publish(event())
    assert seen[1:] == [None]


async def test_a_publish_inside_a_delivery_of_another_bus_never_waits() -> None:
    plain, full, go = EventBus(), EventBus(), asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        await go.wait()

    async def hands_on(event: DomainEvent) -> None:
        await full.publish(event)

    full.tasks()._limit = 1
    full.tasks().start(go.wait())
    full.subscribe("*", waits, id="waits", background=True)
    plain.subscribe("*", hands_on, id="hands on")
    await asyncio.wait_for(plain.publish(event()), 60)
    assert len(full.tasks()) == 2
    go.set()
    await full.drain()


# Memory


async def test_no_event_is_kept_alive(bus: EventBus, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    class Content:
        """An object that a weak reference can point to."""

    async def fails(event: DomainEvent) -> None:
        raise ValueError("no")

    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)  # pytest keeps the tracebacks
    bus.subscribe("*", notes(seen, "foreground"), id="1")
    bus.subscribe("*", fails, id="2")
    bus.subscribe("a", notes(seen, "background"), id="3", background=True)
    bus.subscribe("brief", notes(seen, "foreground"), id="4")
    gc.disable()
    try:
        for event_type in ("a", "brief"):
            content = Content()
            reference = weakref.ref(content)
            await bus.publish(DomainEvent(event_type=event_type, payload={"content": content}))
            await bus.drain()
            await asyncio.sleep(0)
            del content
            assert reference() is None
    finally:
        gc.enable()


async def test_an_error_in_a_thread_keeps_no_object_of_its_handler_alive(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Attachment:
        """An object that a weak reference can point to."""

    kept: list[weakref.ref[Attachment]] = []

    def fails(event: DomainEvent) -> None:
        attachment = Attachment()
        kept.append(weakref.ref(attachment))
        raise ValueError("no")

    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)  # pytest keeps the tracebacks
    bus.subscribe("*", fails, id="fails", background=True)
    gc.disable()
    try:
        await bus.publish(event())
        await bus.drain()
        await becomes(lambda: kept[0]() is None)  # once the thread has ended
    finally:
        gc.enable()


async def test_publishing_leaves_nothing_behind(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = 100
    monkeypatch.setattr(registry, "MAX_PLANS", kept)

    async def works(event: DomainEvent) -> None:
        str(event)

    bus.subscribe("*", works, id="foreground")
    bus.subscribe("a.*", works, id="background", background=True)

    async def publish(first: int, last: int) -> None:
        for number in range(first, last):
            await bus.publish(event(f"{'ab'[number % 2]}.{number}"))
        await bus.drain()

    tracemalloc.start()
    await publish(0, kept)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    await publish(kept, 10 * kept)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert abs(after - before) < 2**18
    assert len(bus.registry.plans) <= kept
    assert asyncio.all_tasks() == {asyncio.current_task()}
