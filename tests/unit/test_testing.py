import threading
from contextlib import suppress

import pytest

from craft_easy.core.events import DomainEvent, event_handler, get_event_bus
from craft_easy.core.events.testing import fresh_bus


async def test_a_fresh_bus_stands_in_for_the_process_s_and_is_empty() -> None:
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


async def test_what_is_no_event_was_not_published() -> None:
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


def test_other_threads_see_it_too() -> None:
    with fresh_bus() as bus:
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append(get_event_bus()))
        thread.start()
        thread.join()
    assert seen == [bus]
