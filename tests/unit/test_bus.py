import asyncio
import gc
import logging
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from craft_easy.core.events import Discard, DomainEvent, EventBus, Retry, current_delivery, event_handler, get_event_bus
from craft_easy.core.events.handlers import registry
from craft_easy.core.events.handlers.context import open_delivery
from craft_easy.core.events.testing import fresh_bus
from craft_easy.core.events.types import PaymentCompleted
from tests.support.conditions import becomes
from tests.unit import handlers_of_a_module as shop

Seen = list[Any]


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def seen() -> Seen:
    return []


def event(event_type: str = "payment.completed") -> DomainEvent:
    return DomainEvent(event_type=event_type)


def notes(seen: Seen, name: str) -> Callable[[DomainEvent], Any]:
    async def handler(event: DomainEvent) -> None:
        seen.append(name)

    return handler


def raises(error: BaseException) -> Callable[[DomainEvent], Any]:
    async def handler(event: DomainEvent) -> None:
        raise error

    return handler


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


async def test_an_event_without_handlers_is_published_to_nobody(bus: EventBus) -> None:
    await bus.publish(event())


async def test_what_is_subscribed_between_two_publishes_gets_the_second(bus: EventBus, seen: Seen) -> None:
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


async def test_an_exception_whose_text_cannot_be_read_is_survived(bus: EventBus, seen: Seen) -> None:
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
async def test_what_is_no_event_is_refused(bus: EventBus, seen: Seen, what: Any) -> None:
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


# Background


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
        go.wait(20)
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


async def test_drain_says_after_its_timeout_how_many_still_run(bus: EventBus) -> None:
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
    await asyncio.wait_for(bus.publish(event("parent")), 5)
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
        thread.join(20)
    assert sorted(seen) == ["a", "b"]


# The delivery that runs


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


async def test_a_task_left_behind_never_sees_the_delivery_of_the_next_handler(seen: Seen) -> None:
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
    await asyncio.wait_for(plain.publish(event()), 5)
    assert len(full.tasks()) == 2
    go.set()
    await full.drain()


# Memory


async def test_no_event_is_kept_alive(bus: EventBus, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    class Content:
        """Something that a weak reference can point to."""

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


# Threads


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
    await bus.drain(timeout=5)
    assert seen == ["child", "parent"]


async def test_what_publish_raises_reaches_the_thread(bus: EventBus) -> None:
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


def test_without_a_loop_publish_from_thread_says_what_to_do(bus: EventBus) -> None:
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
    thread.join(20)
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    assert seen == ["the event loop ended before the event was published"]


def test_the_bus_finds_the_loop_that_comes_after_the_first(seen: Seen) -> None:
    bus = EventBus()
    bus.subscribe("*", notes(seen, "handled"), id="h")

    async def main() -> None:
        await bus.publish(event())
        await asyncio.to_thread(bus.publish_from_thread, event())

    asyncio.run(main())
    gc.collect()
    asyncio.run(main())
    assert seen == ["handled"] * 4


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


# With a store


class FakePublisher:
    """Stands in for the publisher, and notes its calls."""

    def __init__(self, *noted: Any, **options: Any) -> None:
        self.options = options
        self.asked: list[tuple[str, Any]] = []

    async def publish(self, event: DomainEvent, plan: Any) -> None:
        self.asked.append(("publish", (event.event_type, len(plan.handlers))))

    async def publish_many(self, events: Sequence[DomainEvent], plans: Sequence[Any]) -> None:
        self.asked.append(
            ("publish_many", [(one.event_type, len(p.handlers)) for one, p in zip(events, plans, strict=True)])
        )

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as the publisher has it
        self.asked.append(("flush", timeout))

    async def aclose(self) -> None:
        self.asked.append(("aclose", None))


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("craft_easy.core.events.Publisher", FakePublisher)


STORE: Any = object()


async def test_with_a_store_publish_is_handed_to_the_publisher(bus: EventBus, seen: Seen, publisher: None) -> None:
    bus.subscribe("a", notes(seen, "never here"), id="h")
    bus.subscribe("a", notes(seen, "never here"), id="b", background=True)
    await bus.publish(event("untracked"))
    bus.configure_store(STORE, on_error="log", lease=3)
    await bus.publish(event("a"))
    await bus.publish(event("untracked"))
    await bus.publish_many([event("a"), event("b")])

    kept: Any = bus.publisher
    assert kept.asked == [
        ("publish", ("a", 2)),
        ("publish", ("untracked", 0)),
        ("publish_many", [("a", 2), ("b", 0)]),
    ]
    assert (kept.options["on_error"], kept.options["lease"]) == ("log", 3)
    assert kept.options["tasks"]() is bus.tasks()
    assert seen == []


async def test_drain_flushes_and_aclose_closes_every_publisher_there_was(bus: EventBus, publisher: None) -> None:
    bus.configure_store(STORE)
    first: Any = bus.publisher
    bus.configure_store(STORE)
    second: Any = bus.publisher
    async with bus:
        await bus.drain()
    assert first.asked == second.asked == [("flush", None), ("aclose", None)]
    await bus.aclose()
    assert len(first.asked) == 2
    assert bus.publisher is second


async def test_past_the_limit_publish_many_waits_before_anything_is_stored(
    bus: EventBus, seen: Seen, publisher: None
) -> None:
    go = asyncio.Event()
    bus.tasks()._limit = 1
    bus.tasks().start(go.wait())
    bus.subscribe("a", notes(seen, ""), id="b", background=True)
    bus.configure_store(STORE)
    kept: Any = bus.publisher
    waiting = [asyncio.create_task(bus.publish_many([event("a")])), asyncio.create_task(bus.publish(event("a")))]
    await asyncio.sleep(0)
    assert kept.asked == []
    go.set()
    await asyncio.gather(*waiting)
    assert len(kept.asked) == 2


async def test_a_time_out_of_the_store_is_not_drains_own(bus: EventBus, publisher: None) -> None:
    async def slow() -> None:
        raise TimeoutError("the store is slow")

    bus.configure_store(STORE)
    bus.publisher.flush = slow  # type: ignore[assignment,method-assign]
    with pytest.raises(TimeoutError, match="the store is slow"):
        await bus.drain(timeout=60)


async def test_without_a_store_there_is_no_publisher(bus: EventBus, publisher: None) -> None:
    bus.configure_store(STORE)
    bus.configure_store(None)
    with pytest.raises(RuntimeError, match="has no store"):
        _ = bus.publisher


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"lease": 0}, {"lease": float("nan")}])
def test_a_store_cannot_be_configured_with_what_makes_no_sense(bus: EventBus, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"on_error|lease"):
        bus.configure_store(STORE, **options)
