import threading
from contextlib import suppress
from typing import Any

import pytest
from pydantic import create_model

from craft_easy.core.events import DomainEvent, InvalidEvent, event_handler, get_event_bus
from craft_easy.core.events.model.event_class import class_of
from craft_easy.core.events.testing import fresh_bus, memory_store


async def test_a_fresh_bus_replaces_that_of_the_process_and_is_empty() -> None:
    before = get_event_bus()
    with fresh_bus() as bus:
        assert get_event_bus() is bus
        assert bus.subscriptions() == ()
    assert get_event_bus() is before


async def test_it_remembers_what_was_published_those_of_handlers_included() -> None:
    with fresh_bus() as bus:

        @event_handler("order.placed", id="shop:reserve")
        async def reserve(event: DomainEvent) -> None:
            await get_event_bus().publish(DomainEvent(event_type="stock.reserved"))

        await get_event_bus().publish(DomainEvent(event_type="order.placed"))
        await bus.publish_many([DomainEvent(event_type="a"), DomainEvent(event_type="b")])
    assert [event.event_type for event in bus.published] == ["order.placed", "stock.reserved", "a", "b"]


async def test_handlers_get_an_event_as_a_log_would_give_it_back() -> None:
    with fresh_bus() as bus:

        class LinesCounted(DomainEvent):
            event_type: str = "lines.counted"
            lines: Any

        seen: list[DomainEvent] = []
        bus.subscribe("*", seen.append, id="seen")
        await bus.publish(event := LinesCounted(lines={3, 1, 2}))
    assert (bus.published[0], type(seen[0])) == (event, LinesCounted)
    assert seen[0].payload == {"lines": [1, 2, 3]}


async def test_an_event_that_a_log_could_not_keep_is_refused() -> None:
    with fresh_bus() as bus, pytest.raises(InvalidEvent):
        await bus.publish(DomainEvent(event_type="a", payload={"weight": float("nan")}))
    assert bus.published == []


def test_event_classes_that_are_defined_inside_are_removed() -> None:
    for _ in range(2):
        with fresh_bus():
            create_model("Local", __base__=DomainEvent, __module__=f"module_{_}", event_type=(str, "local.happened"))
    assert class_of("local.happened") is None


async def test_a_store_in_memory_serves_a_test() -> None:
    with fresh_bus() as bus:
        store = memory_store()
        bus.configure_store(store)
        async with bus:
            await bus.publish(event := DomainEvent(event_type="order.placed"))
            assert await store.get(event.event_id) == event
    await store.aclose()


async def test_a_value_that_is_not_an_event_was_not_published() -> None:
    with fresh_bus() as bus, pytest.raises(TypeError):
        await bus.publish("order.placed")  # type: ignore[arg-type]
    assert bus.published == []


async def test_fresh_buses_may_be_nested() -> None:
    with fresh_bus() as outer:
        with suppress(ValueError), fresh_bus() as inner:
            await get_event_bus().publish(DomainEvent(event_type="a"))
            raise ValueError("inside")
        assert get_event_bus() is outer
    assert (len(inner.published), outer.published) == (1, [])


def test_other_threads_get_it_too() -> None:
    with fresh_bus() as bus:
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append(get_event_bus()))
        thread.start()
        thread.join()
    assert seen == [bus]
