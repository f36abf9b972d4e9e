"""Every code example of the documentation runs unchanged, given its imports: in memory, and with the store."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any

import pytest

from craft_easy.core.events import EventBus
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.testing import fresh_bus
from tests.acceptance import examples

PACKAGE = "tests.acceptance.documentation"
REACTING = ("receipts", "accounting", "analytics")


@pytest.fixture
def environment(embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the log in the environment, as a deployment does."""
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)


@pytest.fixture
async def fresh() -> AsyncIterator[EventBus]:
    """The bus of a new process."""
    with fresh_bus() as bus:
        async with bus:
            yield bus


@pytest.fixture
async def store(environment: None) -> AsyncIterator[EventStore]:
    """The log that the environment names."""
    async with EventStore() as store:
        yield store


@pytest.fixture(params=["in memory", "with the store"])
async def bus(request: pytest.FixtureRequest, fresh: EventBus) -> AsyncIterator[EventBus]:
    """The bus of a new process, in memory and with the store in turn."""
    if request.param == "in memory":
        yield fresh
        return
    request.getfixturevalue("environment")
    async with EventStore() as store:
        fresh.configure_store(store, lease=3)
        yield fresh
        await fresh.drain()
        await assert_that_all_is_done(store)
        await fresh.aclose()


async def assert_that_all_is_done(store: EventStore) -> None:
    """Check that the log contains the published events, with each handler done."""
    records = [record async for page in store.batches(Selection()) for record in page]
    assert records, "nothing was stored"
    for record in records:
        states = {handler["id"]: handler["state"] for handler in record["delivery"]["handlers"]}
        assert set(states.values()) <= {"done"}, f"{record['event_type']}: {states}"


PUBLISHING = """
    from craft_easy.core.events import get_event_bus
    from craft_easy.core.events.types import PaymentCompleted

    bus = get_event_bus()
    await bus.publish(
        PaymentCompleted(
            payment_id="pay_123",
            amount=129.0,
            currency="EUR",
            tenant_id="tenant_123",
            actor_id="user_456",
        )
    )
"""


async def test_a_subclass_has_its_own_fields_in_its_payload(bus: EventBus) -> None:
    seen: list[Any] = []
    bus.subscribe("booking.*", seen.append, id="documentation.see")

    found = await examples.run("""
        from craft_easy.core.events import DomainEvent, get_event_bus


        class BookingCancelled(DomainEvent):
            event_type: str = "booking.cancelled"
            booking_id: str
            reason: str


        event = BookingCancelled(booking_id="booking_1", reason="rain", tenant_id="tenant_123")
        await get_event_bus().publish(event)
    """)

    assert seen == [found["event"]]
    assert seen[0].payload == {"booking_id": "booking_1", "reason": "rain"}
    assert (seen[0].booking_id, seen[0].event_type) == ("booking_1", "booking.cancelled")


async def test_publishing_reaches_a_handler_that_reads_the_payload(bus: EventBus, capsys: Any) -> None:
    await examples.run("""
        from craft_easy.core.events import event_handler


        @event_handler("payment.completed")
        async def send_receipt(event):
            payment_id = event.payload.get("payment_id")
            print(f"receipt for {payment_id}")
    """)

    await examples.run(PUBLISHING)

    assert capsys.readouterr().out == "receipt for pay_123\n"


async def test_a_background_handler_runs_while_the_publisher_continues(bus: EventBus, capsys: Any) -> None:
    await examples.run("""
        from craft_easy.core.events import event_handler, get_event_bus
        from craft_easy.core.events.types import UserRegistered


        @event_handler("user.registered", background=True)
        async def send_welcome_email(event):
            print(f"welcome, {event.payload['email']}")


        bus = get_event_bus()
        await bus.publish(UserRegistered(user_id="user_456", email="ada@example.com", tenant_id="tenant_123"))
        print("published")
        await bus.drain()
    """)

    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["published", "welcome, ada@example.com"]


async def test_a_wildcard_in_the_background_is_an_audit_sink(bus: EventBus) -> None:
    found = await examples.run("""
        from craft_easy.core.events import event_handler

        audit_log = []


        @event_handler("*", background=True)
        async def audit(event):
            audit_log.append((event.event_type, event.tenant_id, event.actor_id, event.payload))
    """)

    await examples.run(PUBLISHING)
    await bus.drain()

    payload = {"payment_id": "pay_123", "amount": 129.0, "currency": "EUR"}
    assert found["audit_log"] == [("payment.completed", "tenant_123", "user_456", payload)]


async def test_configuring_the_store_makes_every_publish_durable(fresh: EventBus, store: EventStore) -> None:
    await examples.run("""
        from craft_easy.core.events import get_event_bus
        from craft_easy.core.events.store import EventStore

        bus = get_event_bus()
        bus.configure_store(EventStore())
    """)
    await examples.run(PUBLISHING)

    [stored] = await store.replay()
    assert stored.event_type == "payment.completed"
    assert stored.payload == {"payment_id": "pay_123", "amount": 129.0, "currency": "EUR"}
    assert (stored.tenant_id, stored.actor_id) == ("tenant_123", "user_456")
    await fresh.aclose()
    await fresh.publisher.store.aclose()


async def test_replay_returns_what_happened_at_a_tenant(fresh: EventBus, store: EventStore) -> None:
    fresh.configure_store(store, lease=3)
    await examples.run(PUBLISHING)
    await examples.run(PUBLISHING.replace("tenant_123", "tenant_9"))

    found = await examples.run("""
        from craft_easy.core.events.store import EventStore

        store = EventStore()
        events = await store.replay(tenant_id="tenant_123", limit=500)
        await store.aclose()
    """)

    assert [event.tenant_id for event in found["events"]] == ["tenant_123"]


async def test_replay_returns_what_happened_of_a_type_as_its_class(fresh: EventBus, store: EventStore) -> None:
    fresh.configure_store(store, lease=3)
    await examples.run(PUBLISHING)

    found = await examples.run("""
        from craft_easy.core.events.store import EventStore

        store = EventStore()
        events = await store.replay(event_type="payment.completed", limit=100)
        await store.aclose()
    """)

    [event] = found["events"]
    assert (type(event).__name__, event.payment_id, event.amount) == ("PaymentCompleted", "pay_123", 129.0)


@pytest.fixture
def reacting(bus: EventBus) -> Iterator[dict[str, Any]]:
    """The three modules with handlers, imported as in a new process."""
    names = [f"{PACKAGE}.{name}" for name in REACTING]
    for name in names:
        sys.modules.pop(name, None)
    yield {name.rpartition(".")[2]: import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


async def test_a_service_publishes_and_three_modules_react(bus: EventBus, reacting: dict[str, Any]) -> None:
    found = await examples.run("""
        from tests.acceptance.documentation.payments import complete_payment

        event_id = await complete_payment("pay_7", 80.0, "SEK", tenant_id="tenant_123", actor_id="user_456")
    """)
    await bus.drain()

    assert found["event_id"]
    assert reacting["receipts"].sent == ["user_456: receipt for pay_7"]
    assert reacting["accounting"].booked == [("pay_7", 80.0, "SEK")]
    assert reacting["analytics"].counted == {("tenant_123", "payment.completed"): 1}
