"""Appending: once, again, with other content, many at a time, with handlers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import ObjectId
from pydantic import BaseModel

from craft_easy.core.events.errors import EventConflict, InvalidEvent, RecordRefused
from craft_easy.core.events.model.event import caused_event
from craft_easy.core.events.store import AppendResult, EventLog, EventStore, append, documents
from craft_easy.core.events.types import DomainEvent
from tests.support.events import payment

SIX = ["event_id", "event_type", "tenant_id", "actor_id", "payload", "timestamp"]


def plain(number: int, **changes: Any) -> DomainEvent:
    return DomainEvent(event_type="thing.counted", payload={"number": number}, **changes)


async def record_of(store: EventStore, event: DomainEvent) -> dict[str, Any]:
    found = await (await store.collection()).find_one({"event_id": event.event_id})
    assert found is not None
    return dict(found)


async def test_an_event_is_read_back_unchanged(store: EventStore) -> None:
    event = payment(actor_id="user_77")
    assert await store.append(event) is True
    assert await store.get(event.event_id) == event
    assert await store.replay() == [event]


async def test_a_record_has_the_six_fields_and_a_derived_id(store: EventStore) -> None:
    event = payment()
    await store.append(event)
    record = await record_of(store, event)
    assert list(record) == ["_id", *SIX]
    assert record["_id"] == documents.record_id(event.event_id)
    assert record["payload"] == {"payment_id": "p_1", "amount": 12.5, "currency": "EUR"}


async def test_a_cause_is_stored_if_there_is_one(store: EventStore) -> None:
    event = caused_event(payment(), causation_id="parent", correlation_id="first")
    await store.append(event)
    record = await record_of(store, event)
    assert list(record) == ["_id", *SIX, "causation_id", "correlation_id"]
    found = await store.get(event.event_id)
    assert found is not None
    assert (found.causation_id, found.correlation_id) == ("parent", "first")


async def test_the_same_event_again_changes_nothing(store: EventStore) -> None:
    event = payment()
    await store.append(event)
    before = await record_of(store, event)
    assert await store.append(event) is False
    assert await store.append(event.model_copy(update={"timestamp": datetime(2020, 1, 1, tzinfo=UTC)})) is False
    assert await record_of(store, event) == before
    assert len(await store.replay()) == 1


@pytest.mark.parametrize(
    "change",
    [{"amount": 13.0}, {"tenant_id": "umbrella"}, {"actor_id": "user_1"}, {"tenant_id": None}],
    ids=["payload", "tenant", "actor", "no tenant"],
)
async def test_the_same_id_with_other_content_is_a_conflict(store: EventStore, change: dict[str, Any]) -> None:
    event = payment(tenant_id="acme")
    await store.append(event)
    with pytest.raises(EventConflict) as caught:
        await store.append(payment(**{"event_id": event.event_id, "tenant_id": "acme"} | change))
    assert caught.value.event_id == event.event_id
    assert await store.replay() == [event]


async def test_an_event_that_was_read_may_be_appended_again(store: EventStore) -> None:
    await store.append(payment())
    (event,) = await store.replay()
    assert await store.append(event) is False


async def test_an_integer_is_another_content_than_a_float_or_a_boolean(store: EventStore) -> None:
    event = plain(1)
    await store.append(event)
    for other in (1.0, True):
        with pytest.raises(EventConflict):
            await store.append(event.model_copy(update={"payload": {"number": other}}))


async def test_many_events_are_stored_in_one_call(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "MAX_RECORDS", 100)
    events = [plain(number) for number in range(110)]
    assert await store.append_many(events) == AppendResult(stored=110, present=0)
    assert await store.append_many(iter(events[:50])) == AppendResult(stored=0, present=50)
    assert await store.append_many([events[0], plain(-1)]) == AppendResult(stored=1, present=1)
    assert len(await store.replay(limit=None)) == 111


async def test_an_empty_list_may_be_appended(store: EventStore) -> None:
    assert await store.append_many([]) == AppendResult(stored=0, present=0)


async def test_an_event_twice_in_one_call_is_stored_once(store: EventStore) -> None:
    event = plain(1)
    assert await store.append_many([event, event]) == AppendResult(stored=1, present=1)


async def test_no_event_of_a_list_is_stored_if_one_is_invalid(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "MAX_RECORDS", 100)
    events = [*(plain(number) for number in range(110)), DomainEvent(event_type="x", payload={"a": {"b": 2**63}})]
    with pytest.raises(InvalidEvent) as caught:
        await store.append_many(events)
    assert caught.value.path == "payload.a.b"
    assert await store.replay() == []


async def test_a_conflict_among_many_leaves_the_others_stored(store: EventStore) -> None:
    first, second = plain(1), plain(2)
    await store.append(first)
    with pytest.raises(EventConflict):
        await store.append_many([first.model_copy(update={"payload": {"number": 9}}), second])
    assert {event.payload["number"] for event in await store.replay()} == {1, 2}


async def test_with_handlers_a_record_is_tracked_open_unowned_and_due(store: EventStore) -> None:
    event = payment()
    await store.append(event, handlers=["shop.mail:send", "shop.stock:reserve"])
    record = await record_of(store, event)
    assert list(record) == ["_id", *SIX, "delivery"]
    delivery = record["delivery"]
    assert list(delivery) == [
        *("rev", "state", "owner", "claimed_at", "due_at", "takeovers", "running", "finished_at", "handlers")
    ]
    assert (delivery["state"], delivery["owner"], delivery["claimed_at"]) == ("open", None, None)
    assert abs(delivery["due_at"] - await store.now()) < timedelta(minutes=1)
    assert [(one["id"], one["state"]) for one in delivery["handlers"]] == [
        ("shop.mail:send", "pending"),
        ("shop.stock:reserve", "pending"),
    ]


async def test_without_any_handler_a_tracked_record_is_done(store: EventStore) -> None:
    event = payment()
    await store.append(event, handlers=[])
    assert (await record_of(store, event))["delivery"]["state"] == "done"


async def test_handlers_are_added_to_a_record_that_was_untracked_and_to_no_other(store: EventStore) -> None:
    event = payment()
    await store.append(event)
    assert await store.append(event, handlers=["a"]) is False
    assert await store.append(event, handlers=["b"]) is False
    assert [one["id"] for one in (await record_of(store, event))["delivery"]["handlers"]] == ["a"]


async def test_append_serves_as_a_handler(store: EventStore) -> None:
    event = payment()
    handler = store.append
    await handler(event)
    assert await store.replay() == [event]


async def test_the_document_of_an_event_is_a_model(store: EventStore) -> None:
    event = payment()
    await store.append(event)
    document = EventLog.model_validate(await record_of(store, event))
    assert document == EventLog.from_event(event)
    assert (EventLog.collection, EventLog.tenant_scoped) == ("event_log", False)
    assert isinstance(document.id, ObjectId)


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    sku: str
    price: Decimal


class OrderPlaced(DomainEvent):
    event_type: str = "test.order.placed"
    order_id: UUID
    total: Decimal
    long: Decimal
    day: date
    at: datetime
    clock: time
    wait: timedelta
    colour: Colour
    pair: tuple[int, str]
    tags: set[str]
    lines: list[Line]
    seal: bytes


async def test_a_typed_event_gets_back_what_it_was_made_of(real_store: EventStore) -> None:
    event = OrderPlaced(
        order_id=uuid4(),
        total=Decimal("12.50"),
        long=Decimal("1." + "3" * 60),
        day=date(2026, 1, 31),
        at=datetime(2026, 1, 31, 10, 0, 0, 123_000, tzinfo=UTC),
        clock=time(10, 30, 0, 1),
        wait=timedelta(days=-2, microseconds=5),
        colour=Colour.RED,
        pair=(1, "a"),
        tags={"c", "a", "b"},
        lines=[Line(sku="s", price=Decimal("0.10"))],
        seal=b"\x00\xff",
    )
    await real_store.append(event)
    again = await real_store.get(event.event_id)
    assert again == event
    assert await real_store.append(event) is False
    record = await record_of(real_store, event)
    assert record["payload"]["tags"] == ["a", "b", "c"]
    assert record["payload"]["day"] == "2026-01-31"
    assert isinstance(record["payload"]["order_id"], UUID)


@pytest.mark.mongod
async def test_a_record_that_the_server_refuses_stops_no_other(real_store: EventStore, real_database: Any) -> None:
    await real_store.append(plain(0))
    await real_database.command("collMod", "event_log", validator={"payload.number": {"$lt": 10}})
    good, bad = documents.new_record(plain(1)), documents.new_record(plain(99))
    try:
        results = await real_store.insert([bad, good])
    finally:
        await real_database.command("collMod", "event_log", validator={})
    assert isinstance(results[0].error, RecordRefused)
    assert results[1].is_inserted
    with pytest.raises(RecordRefused, match="refused event"):
        results[0].check()
