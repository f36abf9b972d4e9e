import asyncio
import logging
from typing import Any

import pytest

from craft_easy.core.events import Discard, DomainEvent, EventBus, Retry, event_handler, get_event_bus
from craft_easy.core.events.handlers.context import open_delivery
from craft_easy.core.events.testing import fresh_bus
from craft_easy.core.events.types import PaymentCompleted
from tests.unit import handlers_of_a_module as shop
from tests.unit.noting import Seen, event, notes, raises

# Foreground


async def test_foreground_handlers_run_in_registration_order_exact_and_wildcard_together(
    bus: EventBus, seen: Seen
) -> None:
    bus.subscribe("*", notes(seen, "first"), id="1")
    bus.subscribe("payment.completed", notes(seen, "second"), id="2")
    bus.subscribe("payment.*", notes(seen, "third"), id="3")
    bus.subscribe("user.*", notes(seen, "another type"), id="4")
    await bus.publish(event())
    assert seen == ["first", "second", "third"]


async def test_publish_returns_when_the_foreground_handlers_have_ended(bus: EventBus, seen: Seen) -> None:
    async def slow(event: DomainEvent) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append("slow")

    bus.subscribe("*", slow, id="slow")
    bus.subscribe("*", notes(seen, "after"), id="after")
    await bus.publish(event())
    assert seen == ["slow", "after"]


async def test_a_typed_handler_gets_the_event_as_it_was_published(bus: EventBus, seen: Seen) -> None:
    async def typed(event: PaymentCompleted) -> None:
        seen.append((event, event.payment_id, event.payload["payment_id"]))

    bus.subscribe("payment.completed", typed, id="typed")
    published = PaymentCompleted(payment_id="p_1", amount=1.5, currency="EUR")
    await bus.publish(published)
    assert seen == [(published, "p_1", "p_1")]
    assert seen[0][0] is published


async def test_an_event_without_handlers_can_be_published(bus: EventBus) -> None:
    await bus.publish(event())


async def test_a_handler_subscribed_between_two_publishes_gets_the_second(bus: EventBus, seen: Seen) -> None:
    await bus.publish(event())
    bus.subscribe("*", notes(seen, "late"), id="late")
    await bus.publish(event())
    assert seen == ["late"]


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(1), asyncio.CancelledError(), GeneratorExit(), RecursionError()]
)
async def test_a_handler_that_raises_is_logged_and_the_rest_still_run(
    bus: EventBus, seen: Seen, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe("*", notes(seen, "before"), id="before")
    bus.subscribe("*", raises(error), id="fails")
    bus.subscribe("*", notes(seen, "between"), id="between")
    bus.subscribe("*", raises(error), id="fails too")
    published = event()
    await bus.publish(published)

    assert seen == ["before", "between"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    record = caplog.records[0]
    assert record.name == "craft_easy.core.events"
    assert (record.handler_id, record.event_type) == ("fails", "payment.completed")  # type: ignore[attr-defined]
    assert record.event_id == published.event_id  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_handler_that_calls_nothing_and_fails_is_logged_too(
    bus: EventBus, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(event: DomainEvent) -> None: ...

    async def fails(event: DomainEvent) -> None:
        del event
        return event  # type: ignore[return-value]  # noqa: F821 - an UnboundLocalError without a call

    bus.subscribe("*", nothing, id="nothing")
    bus.subscribe("*", fails, id="fails")
    await bus.publish(event())
    assert [record.handler_id for record in caplog.records] == ["fails"]  # type: ignore[attr-defined]


async def test_an_exception_whose_text_cannot_be_read_stops_no_handler(bus: EventBus, seen: Seen) -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    bus.subscribe("*", raises(Unreadable()), id="fails")
    bus.subscribe("*", notes(seen, "after"), id="after")
    await bus.publish(event())
    assert seen == ["after"]


async def test_without_a_store_retry_is_a_warning_and_discard_is_quiet(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "craft_easy.core.events")
    bus.subscribe("*", raises(Retry(after=5)), id="retries")
    bus.subscribe("*", raises(Discard("gone")), id="discards")
    await bus.publish(event())
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
    assert "configure_store" in caplog.records[0].message
    assert caplog.records[1].message.endswith("gone")


@pytest.mark.parametrize("background", [False, True])
def test_a_keyboard_interrupt_is_raised_on(background: bool) -> None:
    bus = EventBus()
    bus.subscribe("*", raises(KeyboardInterrupt()), id="interrupted", background=background)

    async def main() -> None:
        await bus.publish(event())
        await bus.drain()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


async def test_a_publisher_that_is_cancelled_leaves_later_foreground_handlers_undone_and_starts_background_ones(
    bus: EventBus, seen: Seen
) -> None:
    begun = asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    bus.subscribe("*", notes(seen, "background before"), id="0", background=True)
    bus.subscribe("*", waits, id="1")
    bus.subscribe("*", notes(seen, "foreground after"), id="2")
    bus.subscribe("*", notes(seen, "background after"), id="3", background=True)
    publisher = asyncio.create_task(bus.publish(event()))
    await begun.wait()
    publisher.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publisher
    await bus.drain()
    assert seen == ["background before", "background after"]


async def test_a_publisher_that_is_cancelled_between_foreground_handlers_alone_is_cancelled(
    bus: EventBus, seen: Seen
) -> None:
    async def waits(event: DomainEvent) -> None:
        await asyncio.Event().wait()

    bus.subscribe("*", raises(ValueError("first")), id="0")
    bus.subscribe("*", waits, id="1")
    bus.subscribe("*", notes(seen, "after"), id="2")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bus.publish(event())
    assert seen == []
    assert open_delivery() is None


async def test_a_publish_that_is_closed_ends_in_silence(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    async def waits(event: DomainEvent) -> None:
        await asyncio.Event().wait()

    bus.subscribe("*", waits, id="waits")
    publishing = bus.publish(event())
    publishing.send(None)
    publishing.close()
    assert caplog.records == []


@pytest.mark.parametrize("what", ["payment.completed", {"event_type": "payment.completed"}, None, DomainEvent])
async def test_a_value_that_is_not_an_event_is_refused(bus: EventBus, seen: Seen, what: Any) -> None:
    bus.subscribe("*", notes(seen, "never"), id="never")
    with pytest.raises(TypeError, match="publish takes a DomainEvent"):
        await bus.publish(what)
    with pytest.raises(TypeError, match="publish takes a DomainEvent"):
        await bus.publish_many([event(), what])
    assert seen == []


async def test_publish_many_publishes_in_order(bus: EventBus, seen: Seen) -> None:
    async def handler(event: DomainEvent) -> None:
        seen.append(event.event_type)

    bus.subscribe("*", handler, id="h")
    await bus.publish_many(event(name) for name in ("a", "b", "a"))
    assert seen == ["a", "b", "a"]


async def test_a_limit_of_a_handler_holds_without_a_store_too(
    bus: EventBus, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def hangs(event: DomainEvent) -> None:
        await asyncio.Event().wait()

    bus.subscribe("*", hangs, id="hangs", timeout=0.01)
    bus.subscribe("*", notes(seen, "after"), id="after")
    await bus.publish(event())
    assert seen == ["after"]
    assert "ran past its limit" in caplog.text


# Subscriptions


async def test_subscribe_returns_the_subscription_and_subscriptions_lists_it() -> None:
    bus = EventBus()
    added = bus.subscribe("*", shop.charge, background=True)

    assert bus.subscriptions() == (added,)
    assert (added.pattern, added.order, added.handler.background) == ("*", 1, True)


async def test_unsubscribe_takes_a_handler_or_a_pattern_and_a_handler() -> None:
    bus = EventBus()
    bus.subscribe("a", shop.charge)
    bus.subscribe("b", shop.charge)
    bus.subscribe("c", shop.audit)

    assert bus.unsubscribe("a", shop.charge) == 1
    assert bus.unsubscribe(shop.charge) == 1
    assert bus.unsubscribe("tests.unit.handlers_of_a_module:audit") == 1
    assert bus.unsubscribe(shop.charge) == 0
    assert bus.subscriptions() == ()
    with pytest.raises(TypeError, match=r"unsubscribe\(handler\)"):
        bus.unsubscribe()


async def test_an_unsubscribed_handler_runs_no_more(bus: EventBus, seen: Seen) -> None:
    handler = notes(seen, "once")
    bus.subscribe("*", handler, id="once")
    await bus.publish(event())
    bus.unsubscribe(handler)
    await bus.publish(event())
    assert seen == ["once"]


def test_event_handler_subscribes_on_the_bus_of_the_process_and_returns_the_function() -> None:
    async def charge(event: PaymentCompleted) -> None: ...

    with fresh_bus() as bus:
        decorated = event_handler("payment.completed", background=True, id="shop:charge", timeout=5)(charge)

    assert decorated is charge
    (one,) = bus.subscriptions()
    assert (one.handler.function, one.handler.background, one.handler.timeout) == (charge, True, 5)
    assert get_event_bus() is not bus


def test_event_handler_without_a_pattern_shows_the_fix() -> None:
    with pytest.raises(TypeError, match=r'@event_handler\("payment.completed"\)'):
        event_handler(shop.charge)  # type: ignore[arg-type]
