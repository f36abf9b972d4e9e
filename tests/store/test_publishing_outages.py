"""Publishing while the log is away, or while its replies are lost."""

import asyncio
import logging
from contextlib import nullcontext
from typing import Any, Literal

import pytest

from craft_easy.core.events import DomainEvent, EventBus, StoreUnavailable
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import UNOWNED
from craft_easy.core.events.store.documents import record_id
from tests.support.deliveries import delivery_of
from tests.support.events import payment

DRIVERS = ("a URI",)

LEASE = 3.0


@pytest.fixture
def outage(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "insert", fail)


@pytest.mark.usefixtures("outage")
async def test_an_event_that_cannot_be_stored_is_refused_and_no_handler_runs(bus: EventBus) -> None:
    ran: list[DomainEvent] = []

    async def handler(event: DomainEvent) -> None:
        ran.append(event)

    bus.subscribe("*", handler, id="handler")
    with pytest.raises(StoreUnavailable):
        await bus.publish(payment())
    assert ran == []


@pytest.mark.usefixtures("outage")
async def test_on_error_log_runs_the_handlers_of_what_could_not_be_stored(
    bus: EventBus, store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[DomainEvent] = []

    async def handler(event: DomainEvent) -> None:
        ran.append(event)

    bus.subscribe("*", handler, id="handler")
    bus.configure_store(store, on_error="log")
    with caplog.at_level(logging.ERROR):
        await bus.publish(event := payment())
    assert ran == [event]
    assert "dispatched and not stored" in caplog.text


async def test_a_record_whose_insert_lost_its_reply_is_given_back_by_the_next_publish(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_: DomainEvent) -> None:
        return

    bus.subscribe("*", handler, id="handler")
    insert = store.insert

    async def lose_the_reply(records: Any) -> Any:
        await insert(records)
        raise StoreUnavailable("the reply was lost")

    monkeypatch.setattr(store, "insert", lose_the_reply)
    with pytest.raises(StoreUnavailable):
        await bus.publish(forgotten := payment(1))
    assert (await delivery_of(store, forgotten)).owner is not None
    monkeypatch.setattr(store, "insert", insert)
    await bus.publish(payment(2))
    await bus.drain()
    left = await delivery_of(store, forgotten)
    assert (left.state, left.owner, left.claimed_at) == ("open", None, None)


async def test_a_bus_can_be_closed_while_the_log_is_away(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("gone")

    bus.subscribe("*", lambda event: None, id="a")
    record_owner = bus.publisher.record_owner()
    monkeypatch.setattr("craft_easy.core.events.engine.owner.WRITING_S", 0.1)
    monkeypatch.setattr(record_owner.deliveries, "change", away)
    await bus.publish(payment())
    await bus.aclose()
    assert "run again elsewhere" in caplog.text


async def test_reconciling_never_frees_a_record_that_was_claimed_in_between(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_owner = bus.publisher.record_owner()
    await store.append(event := payment(), handlers=["a"])
    await record_owner.claim([record_id(event.event_id)], UNOWNED)
    record_owner.writer.owned.clear()  # as if the reply had been lost
    change = record_owner.deliveries.change

    async def change_after_others(changes: Any) -> None:
        monkeypatch.setattr(record_owner.deliveries, "change", change)
        free = {"$set": {"delivery.owner": None}, "$inc": {"delivery.rev": 1}}
        await (await store.collection()).update_one({"_id": record_id(event.event_id)}, free)
        assert await record_owner.claim([record_id(event.event_id)], UNOWNED)
        await change(changes)

    monkeypatch.setattr(record_owner.deliveries, "change", change_after_others)
    await record_owner.reconcile()
    assert (await delivery_of(store, event)).owner == record_owner.worker.owner


@pytest.mark.parametrize("on_error", ["raise", "log"])
async def test_an_outage_longer_than_the_lease_ends_a_publish_and_a_close(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch, on_error: Literal["raise", "log"]
) -> None:
    ran: list[DomainEvent] = []

    async def handler(event: DomainEvent) -> None:
        ran.append(event)

    async def no_answer(_: str) -> None:
        raise StoreUnavailable("no answer")

    bus.configure_store(store, lease=30, on_error=on_error)
    await bus.publish(payment())
    bus.subscribe("*", handler, id="handler")
    monkeypatch.setattr(bus.publisher.record_owner().registry, "beat", no_answer)
    monkeypatch.setattr(bus.publisher.record_owner().worker, "lease", -1)
    event = payment(2)
    async with asyncio.timeout(60):
        with nullcontext() if on_error == "log" else pytest.raises(StoreUnavailable):
            await bus.publish(event)
        await bus.aclose()
    assert ran == ([event] if on_error == "log" else [])
