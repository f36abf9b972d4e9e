"""Events that handlers publish: the same at every run, on any path of a run."""

import asyncio
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus, StoreUnavailable, current_delivery
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store import append as append_module

DRIVERS = ("a URI",)
LEASE = 3.0


def child(text: str = "x", **values: Any) -> DomainEvent:
    return DomainEvent(event_type="child.born", payload={"text": text}, **values)


async def children(store: EventStore) -> list[str]:
    return sorted(event.payload["text"] for event in await store.replay(event_type="child.*"))


async def run_twice(bus: EventBus, first: list[DomainEvent], second: list[DomainEvent]) -> DomainEvent:
    """Make a handler fail after it published `first`, and run again and publish `second`."""
    runs = iter((first, second))

    async def parent(_: DomainEvent) -> None:
        batch = next(runs)
        for event in batch:
            await bus.publish(event)
        if batch is first:
            raise ValueError("after the children")

    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(event := DomainEvent(event_type="parent.done"))
    await bus.drain()
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1
    return event


async def test_a_second_run_publishes_the_same_events_and_not_more(bus: EventBus, store: EventStore) -> None:
    first, second = [child("a"), child("b")], [child("a"), child("b")]
    await run_twice(bus, first, second)
    assert await children(store) == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second", "stored"),
    [
        (["a", "b"], ["b", "a"], ["a", "b"]),
        (["a"], ["a", "b"], ["a", "b"]),
        (["a", "b"], ["a"], ["a", "b"]),
        (["a"], ["other"], ["a", "other"]),
        (["a", "a"], ["a", "a"], ["a", "a"]),
        (["a", "a"], ["a", "a", "a"], ["a", "a", "a"]),
        (["a", "a", "a"], ["a"], ["a", "a", "a"]),
        ([], ["a"], ["a"]),
    ],
    ids=["another order", "more", "fewer", "another path", "equal ones", "more equal ones", "fewer equal ones", "late"],
)
async def test_a_second_run_on_another_path_loses_none(
    bus: EventBus, store: EventStore, first: list[str], second: list[str], stored: list[str]
) -> None:
    await run_twice(bus, [child(text) for text in first], [child(text) for text in second])
    assert await children(store) == stored


async def test_a_child_names_its_parent_and_the_first_event_of_its_chain(bus: EventBus, store: EventStore) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish(child("c"))

    async def between(_: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="grandchild.born"))

    bus.subscribe("parent.*", parent, id="parent")
    bus.subscribe("child.*", between, id="between")
    await bus.publish(event := DomainEvent(event_type="parent.done"))
    [born] = await store.replay(event_type="child.*")
    [grandchild] = await store.replay(event_type="grandchild.*")
    assert (born.causation_id, born.correlation_id) == (event.event_id, event.event_id)
    assert (grandchild.causation_id, grandchild.correlation_id) == (born.event_id, event.event_id)
    assert born.event_id[14] == "7", "a UUID of version 7, with the parent's milliseconds"
    assert born.event_id[:13] == event.event_id[:13]


async def test_an_id_that_was_given_stays(bus: EventBus, store: EventStore) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish(child("c", event_id="mine"))

    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(DomainEvent(event_type="parent.done"))
    assert await store.get("mine") is not None


async def test_the_same_object_published_again_is_a_no_op(bus: EventBus, store: EventStore) -> None:
    async def parent(_: DomainEvent) -> None:
        event = child("once")
        await bus.publish(event)
        await bus.publish(event)

    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(DomainEvent(event_type="parent.done"))
    assert await children(store) == ["once"]


async def test_equal_events_of_one_batch_are_numbered(bus: EventBus, store: EventStore) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish_many([child("a"), child("a"), child("b")])
        await asyncio.gather(bus.publish(child("a")), bus.publish(child("b")))

    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(DomainEvent(event_type="parent.done"))
    assert await children(store) == ["a", "a", "a", "b", "b"]


async def test_a_publish_that_raised_may_be_tried_again(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, failures = append_module.insert, [True]

    async def lands_and_loses_its_reply(store: EventStore, chunk: Any) -> Any:
        results = await insert(store, chunk)
        if chunk[0].record["event_type"] == "child.born" and failures:
            failures.clear()
            raise StoreUnavailable("the reply was lost")
        return results

    async def parent(_: DomainEvent) -> None:
        event = child("a")
        with pytest.raises(StoreUnavailable):
            await bus.publish(event)
        await bus.publish(event)

    monkeypatch.setattr(append_module, "insert", lands_and_loses_its_reply)
    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(DomainEvent(event_type="parent.done"))
    assert failures == []
    assert await children(store) == ["a"]


async def test_the_object_that_the_caller_holds_never_changes(bus: EventBus, store: EventStore) -> None:
    held: list[tuple[DomainEvent, bool, DomainEvent]] = []

    async def parent(_: DomainEvent) -> None:
        event = child("a")
        before, known = event.model_copy(), {event}
        await bus.publish(event)
        held.append((event, event in known, before))

    seen: list[DomainEvent] = []

    async def handle(event: DomainEvent) -> None:
        seen.append(event)

    bus.subscribe("parent.*", parent, id="parent")
    bus.subscribe("child.*", handle, id="child")
    await bus.publish(DomainEvent(event_type="parent.done"))
    [(event, is_known, before)] = held
    assert (event, event.causation_id, is_known) == (before, None, True)
    [stored] = await store.replay(event_type="child.*")
    assert seen == [stored], "the handlers get the event with the id that is stored"
    assert stored.event_id != event.event_id


async def test_a_renamed_handler_publishes_under_the_id_in_the_record(bus: EventBus, store: EventStore) -> None:
    async def parent(_: DomainEvent) -> None:
        await bus.publish(child("a"))

    seen: list[CurrentDelivery] = []

    async def renamed(event: DomainEvent) -> None:
        delivery = current_delivery()
        assert delivery is not None
        seen.append(delivery)
        await parent(event)

    async def fails(event: DomainEvent) -> None:
        await parent(event)
        raise ValueError("no")

    bus.subscribe("parent.*", fails, id="old")
    await bus.publish(DomainEvent(event_type="parent.done"))
    await bus.drain()
    bus.unsubscribe("old")
    bus.subscribe("parent.*", renamed, id="new", aliases=["old"])
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1
    assert seen[0].handler_id == "old"
    assert await children(store) == ["a"]


async def test_two_handlers_of_one_event_publish_events_of_their_own(bus: EventBus, store: EventStore) -> None:
    async def one(_: DomainEvent) -> None:
        await bus.publish(child("a"))

    async def other(_: DomainEvent) -> None:
        await bus.publish(child("a"))

    bus.subscribe("parent.*", one, id="one")
    bus.subscribe("parent.*", other, id="other")
    await bus.publish(DomainEvent(event_type="parent.done"))
    assert await children(store) == ["a", "a"]


async def test_a_task_left_behind_publishes_later_as_from_outside(bus: EventBus, store: EventStore) -> None:
    go, left = asyncio.Event(), list[asyncio.Task[None]]()

    async def later() -> None:
        await go.wait()
        await bus.publish(child("late"))

    async def parent(_: DomainEvent) -> None:
        left.append(asyncio.create_task(later()))

    bus.subscribe("parent.*", parent, id="parent")
    await bus.publish(DomainEvent(event_type="parent.done"))
    await bus.drain()
    go.set()
    await left[0]
    [event] = await store.replay(event_type="child.*")
    assert event.causation_id is None
