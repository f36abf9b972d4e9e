"""`trace`: from any event of a chain up to its first, and down to all events that it caused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from craft_easy.core.events import DomainEvent, EventBus, current_delivery
from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.history.trace import Trace, trace
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore

DRIVERS = ("a URI",)
LEASE = 3.0
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
async def store(store: EventStore) -> EventStore:
    await store.ensure_indexes()
    return store


def uuid7(number: int, at: datetime = BEGAN) -> str:
    """Return an id of version 7 with a millisecond of its own."""
    digits = f"{int(at.timestamp() * 1000) + number:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{number:012x}"


def record(number: int, cause: int | str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a record of another program: with an id of its own, caused by another number."""
    own = {
        "_id": bson.ObjectId(f"{number:024x}"),
        "event_id": f"e{number}",
        "event_type": "made.up",
        "tenant_id": None,
        "actor_id": None,
        "payload": {},
        "timestamp": BEGAN + timedelta(milliseconds=number),
    }
    if cause is not None:
        own |= {"causation_id": f"e{cause}" if isinstance(cause, int) else cause, "correlation_id": "e0"}
    return own | fields


async def insert(store: EventStore, *records: dict[str, Any]) -> None:
    await (await store.collection()).insert_many(list(records))


async def traced(store: EventStore, event_id: str, **options: Any) -> Trace:
    found = await trace(store, event_id, **options)
    assert found is not None
    return found


def drawn(found: Trace) -> list[str]:
    """Return the steps as an outline, each under the handler that published it."""
    lines = []
    for step in found.steps:
        what = step.event_id if step.link is None else step.link.event_type
        by = f" by {step.handler}" if step.handler else ""
        lines.append("  " * step.depth + what + by)
    return lines


def ids(found: Trace) -> list[tuple[int, str]]:
    return [(step.depth, step.event_id) for step in found.steps]


# ---------------------------------------------------------------- chains that the bus stores


async def shop(bus: EventBus) -> DomainEvent:
    """Publish an order with handlers of each kind, and return it."""

    async def reserve(_: DomainEvent) -> None:
        await bus.publish_many([DomainEvent(event_type="stock.reserved"), DomainEvent(event_type="stock.counted")])

    async def confirm(_: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="mail.sent"))

    def bill(_: DomainEvent) -> None:
        bus.publish_from_thread(DomainEvent(event_type="bill.printed"))

    async def pick(_: DomainEvent) -> None:
        await asyncio.create_task(_packed(bus))

    bus.subscribe("order.placed", reserve, id="reserve")
    bus.subscribe("order.placed", confirm, id="confirm", background=True)
    bus.subscribe("order.placed", bill, id="bill", background=True)
    bus.subscribe("stock.reserved", pick, id="pick")
    await bus.publish(order := DomainEvent(event_type="order.placed", tenant_id="acme"))
    await bus.drain()
    return order


async def _packed(bus: EventBus) -> None:
    await bus.publish(DomainEvent(event_type="parcel.packed"))


SHOP = [
    "order.placed",
    "  stock.reserved by reserve",
    "    parcel.packed by pick",
    "  stock.counted by reserve",
    "  mail.sent by confirm",
    "  bill.printed by bill",
]


async def test_a_tree_shows_what_each_handler_published(bus: EventBus, store: EventStore) -> None:
    found = await traced(store, (await shop(bus)).event_id)
    assert sorted(drawn(found)[1:4]) == sorted(SHOP[1:4]), "the two events of one batch have the same millisecond"
    assert [line for line in drawn(found) if line not in SHOP[1:4]] == [SHOP[0], *SHOP[4:]]
    assert (found.events, found.shown, found.missing, found.is_whole) == (6, 6, (), True)
    order = found.steps[0]
    assert order.is_asked
    assert order.children == 4
    assert order.delivery is not None
    assert [entry.state for entry in order.delivery.handlers] == ["done", "done", "done"]


async def test_any_event_of_a_chain_leads_to_the_same_tree(bus: EventBus, store: EventStore) -> None:
    first = await traced(store, (await shop(bus)).event_id)
    for step in first.steps:
        found = await traced(store, step.event_id)
        assert drawn(found) == drawn(first)
        assert [one.event_id for one in found.steps if one.is_asked] == [step.event_id]
        assert found.root_id == first.root_id


async def test_events_published_in_a_redispatch_an_outbox_and_a_transaction_have_their_cause(
    bus: EventBus, store: EventStore
) -> None:
    client = (await store.connection()).database.client
    fails = [True]

    async def late(_: DomainEvent) -> None:
        if fails:
            fails.clear()
            raise ValueError("not yet")
        await bus.publish(DomainEvent(event_type="by.redispatch"))

    async def outbox(_: DomainEvent) -> None:
        async with bus.transaction(client) as tx:
            await tx.publish(DomainEvent(event_type="by.outbox"))

    async def once(_: DomainEvent) -> None:
        delivery = current_delivery()
        assert delivery is not None
        async with delivery.transaction(client):
            await bus.publish(DomainEvent(event_type="by.transaction"))

    bus.subscribe("order.placed", late, id="late")
    bus.subscribe("order.placed", outbox, id="outbox")
    bus.subscribe("order.placed", once, id="once")
    await bus.publish(order := DomainEvent(event_type="order.placed"))
    await bus.drain()
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1
    assert drawn(await traced(store, order.event_id)) == [
        "order.placed",
        "  by.redispatch by late",
        "  by.outbox by outbox",
        "  by.transaction by once",
    ]


async def test_an_event_published_outside_a_delivery_or_appended_has_no_cause(bus: EventBus, store: EventStore) -> None:
    async def stores(event: DomainEvent) -> None:
        if event.event_type == "order.placed":
            await store.append(DomainEvent(event_type="plain.append", event_id="plain"))

    bus.subscribe("order.placed", stores, id="stores")
    await bus.publish(order := DomainEvent(event_type="order.placed"))
    await bus.publish(DomainEvent(event_type="outside", event_id="out"))
    for event_id in (order.event_id, "plain", "out"):
        assert ids(await traced(store, event_id)) == [(0, event_id)]


async def test_a_child_with_an_id_of_its_own_is_found(bus: EventBus, store: EventStore) -> None:
    async def mail(_: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="mail.sent", event_id="mail-1"))

    async def count(_: DomainEvent) -> None:
        await bus.publish(DomainEvent(event_type="mail.counted"))

    bus.subscribe("order.placed", mail, id="mail")
    bus.subscribe("mail.sent", count, id="count")
    await bus.publish(order := DomainEvent(event_type="order.placed"))
    found = await traced(store, order.event_id)
    assert drawn(found) == ["order.placed", "  mail.sent", "    mail.counted by count"], "a given id has no handler"
    assert drawn(await traced(store, "mail-1")) == drawn(found)


async def test_either_driver_finds_the_chain(real_store: EventStore) -> None:
    await real_store.ensure_indexes()
    await insert(real_store, record(0, event_id=uuid7(0)), record(1, uuid7(0)), record(2, 1))
    assert ids(await traced(real_store, "e2")) == [(0, uuid7(0)), (1, "e1"), (2, "e2")]


async def test_equal_events_of_a_handler_are_all_its_own(bus: EventBus, store: EventStore) -> None:
    async def one(_: DomainEvent) -> None:
        await bus.publish_many([DomainEvent(event_type="tick", payload={"at": BEGAN}) for _ in range(40)])

    async def other(_: DomainEvent) -> None:
        await bus.publish_many([DomainEvent(event_type="tick", payload={"at": BEGAN}) for _ in range(3)])

    bus.subscribe("order.placed", one, id="one")
    bus.subscribe("order.placed", other, id="other")
    await bus.publish(order := DomainEvent(event_type="order.placed", event_id="no-uuid"))
    found = await traced(store, order.event_id)
    assert [step.handler for step in found.steps] == [None, *["one"] * 40, *["other"] * 3]


# ---------------------------------------------------------------- odd chains


async def test_there_may_be_no_such_event(store: EventStore) -> None:
    for event_id in ("nowhere", "", "\ud800", uuid7(1)):
        assert await trace(store, event_id) is None


async def test_a_cause_that_is_not_in_the_log_is_named_and_its_other_children_are_found(store: EventStore) -> None:
    await insert(store, record(1, "gone"), record(2, "gone"), record(3, 2))
    found = await traced(store, "e3")
    assert ids(found) == [(0, "gone"), (1, "e1"), (1, "e2"), (2, "e3")]
    assert found.steps[0].kind == "missing"
    assert found.missing == ("gone",)
    assert not found.is_whole


async def test_events_below_a_gap_are_shown_next_to_the_tree(store: EventStore) -> None:
    await insert(store, record(0), record(1, 0), record(3, 2), record(4, 3))
    found = await traced(store, "e0")
    assert ids(found) == [(0, "e0"), (1, "e1"), (0, "e2"), (1, "e3"), (2, "e4")]
    assert found.missing == ("e2",)


async def test_an_event_whose_clock_was_days_behind_is_in_its_place(store: EventStore) -> None:
    await insert(store, record(0), record(1, 0, timestamp=BEGAN - timedelta(days=3)), record(2, 1))
    assert ids(await traced(store, "e0")) == [(0, "e0"), (1, "e1"), (2, "e2")]


@pytest.mark.parametrize("asked", ["e1", "e2", "e3", "e4"])
async def test_a_chain_with_a_cycle_ends(store: EventStore, asked: str) -> None:
    await insert(store, record(1, 3), record(2, 1), record(3, 2), record(4, 3))
    found = await traced(store, asked)
    assert found.is_cyclic
    assert sorted(step.event_id for step in found.steps if step.kind == "event") == ["e1", "e2", "e3", "e4"]
    assert [step.kind for step in found.steps].count("again") == 1


async def test_an_event_that_names_itself_as_its_cause_ends(store: EventStore) -> None:
    await insert(store, record(1, 1))
    found = await traced(store, "e1")
    assert [(step.kind, step.event_id) for step in found.steps] == [("event", "e1"), ("again", "e1")]


async def test_a_chain_of_a_thousand_levels_is_walked_from_its_end(store: EventStore) -> None:
    await insert(store, record(0), *(record(number, number - 1) for number in range(1, 1_001)))
    found = await traced(store, "e1000", limit=2_000)
    assert ids(found) == [(number, f"e{number}") for number in range(1_001)]


async def test_levels_are_cut_but_for_the_way_to_the_event_itself(store: EventStore) -> None:
    await insert(store, record(0), record(1, 0), record(2, 1), record(3, 2), record(4, 0), record(5, 4), record(6, 2))
    found = await traced(store, "e3", depth=1)
    assert ids(found) == [(0, "e0"), (1, "e1"), (2, "e2"), (3, "e3"), (1, "e4")]
    assert [dict(step.left_out) for step in found.steps] == [{}, {}, {"made.up": 1}, {}, {"made.up": 1}]
    assert (found.events, found.shown) == (7, 5)


async def test_a_limit_leaves_the_rest_out_and_counts_it(store: EventStore) -> None:
    await insert(store, record(0), *(record(number, 0) for number in range(1, 101)))
    found = await traced(store, "e0", limit=11)
    assert ids(found)[0] == (0, "e0")
    assert (found.shown, found.events, found.left_out, found.is_whole) == (11, 101, 90, False)


async def test_the_way_to_an_event_beyond_the_limit_is_looked_up(store: EventStore) -> None:
    await insert(store, record(0), *(record(number, number - 1) for number in range(1, 31)))
    found = await traced(store, "e30", limit=5)
    assert ids(found) == [(number, f"e{number}") for number in range(31)]
    assert found.left_out == 0


async def test_a_log_without_the_index_names_the_command_that_creates_it(store: EventStore) -> None:
    await insert(store, record(0), record(1, 0))
    await (await store.collection()).drop_index("correlation_id_1")
    with pytest.raises(StoreError, match="no index on correlation_id") as caught:
        await trace(store, "e1")
    assert caught.value.hint == "create it: craft-events doctor --fix"


async def test_odd_records_of_other_programs_stop_no_trace(store: EventStore) -> None:
    await insert(
        store,
        record(0, payload=[1], delivery="x"),
        record(1, 0, event_type=7, tenant_id={"a": 1}, delivery={"state": 1}),
        record(2, 1, event_id=77, payload={"x": float("nan")}, delivery={"handlers": 3}),
        record(3, "77", _id={"a": 1}, timestamp="yesterday"),
    )
    assert sorted(ids(await traced(store, "e0"))) == [(0, "e0"), (1, "e1"), (2, "77"), (3, "e3")]
    assert len(ids(await traced(store, "e3"))) == 4


async def test_a_cause_that_was_given_without_a_chain_is_followed(store: EventStore) -> None:
    def loose(number: int, cause: int, **fields: Any) -> dict[str, Any]:
        return record(number, cause, correlation_id=None, **fields)

    await insert(store, record(0), loose(1, 0), loose(2, 1), record(3, 2, correlation_id="e2"), record(4, 3))
    assert ids(await traced(store, "e0")) == [(0, "e0"), (1, "e1"), (2, "e2"), (3, "e3"), (4, "e4")]


async def test_it_changes_nothing(bus: EventBus, store: EventStore) -> None:
    order = await shop(bus)
    events = await store.collection()
    before: Sequence[Any] = await events.find({}).sort("_id").to_list(None)
    await traced(store, order.event_id)
    assert await events.find({}).sort("_id").to_list(None) == before
