"""Stored events are read through their classes, the newest of each type, and what a class refuses is counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import field_validator

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.handlers.registry import Registry
from craft_easy.core.events.operations.schema import stored
from craft_easy.core.events.operations.schema.entries import entries
from craft_easy.core.events.operations.schema.stored import TypeSample, check_stored, number_stored, unclaimed_types
from craft_easy.core.events.store import EventStore
from tests.unit.event_samples import AT, Rich, rich


class Counted(DomainEvent):
    event_type: str = "schema.counted"
    left: int
    note: str = ""

    @field_validator("note")
    @classmethod
    def _fail(cls, value: str) -> str:
        if value == "raise":
            raise KeyError(value)
        return value


def plain(minute: int, **payload: Any) -> DomainEvent:
    """Return an event as another program, or an earlier version of the class, stored it."""
    at = AT + timedelta(minutes=minute)
    return DomainEvent.model_construct(event_type="schema.counted", timestamp=at, payload=payload)


async def checked(store: EventStore, *, sample: int = 1_000) -> TypeSample:
    found = entries(Registry(), types=["schema.counted"])
    (only,) = [one async for one in check_stored(store, found, sample=sample)]
    return only


async def test_what_a_class_writes_it_reads(real_store: EventStore) -> None:
    await real_store.append_many([rich(), Counted(left=1, note="a")])
    found = entries(Registry(), types=["schema.counted", "types.rich"])
    samples = [one async for one in check_stored(real_store, found)]
    assert [(one.event_type, one.read, one.untyped) for one in samples] == [
        ("schema.counted", 1, 0), (Rich.model_fields["event_type"].default, 1, 0),
    ]  # fmt: skip


async def test_each_reason_is_counted_once_an_event_with_the_newest_as_example(store: EventStore) -> None:
    old, new = plain(1, left="many", note=1), plain(2, left="few")
    await store.append_many([old, new, plain(3, left=1), plain(4, left=1, note="raise")])
    sample = await checked(store)
    assert (sample.read, sample.untyped) == (4, 3)
    reasons = {(one.field, one.reason.split(",")[0]): (number, one.event_id) for one, number in sample.refusals.items()}
    assert reasons["left", "Input should be a valid integer"] == (2, new.event_id)
    assert reasons["note", "Input should be a valid string"] == (1, old.event_id)
    assert reasons[None, "KeyError: 'raise'"][0] == 1


async def test_only_the_newest_events_of_a_type_are_read(store: EventStore) -> None:
    await store.append_many([plain(1), plain(2), plain(3, left=1), plain(4, left=1)])
    assert [(await checked(store, sample=number)).untyped for number in (1, 2, 3, 9)] == [0, 0, 1, 2]


async def test_redacted_and_malformed_records_do_not_count(store: EventStore) -> None:
    await store.append_many([plain(1), plain(2)])
    async with store.call() as connection:
        newest = await connection.events.find_one({}, sort=[("timestamp", -1)])
        assert newest is not None
        await connection.events.update_one(
            {"_id": newest["_id"]},
            {"$set": {"payload": {}, "redacted": {"at": datetime(2026, 2, 1), "by": "ann"}}},  # noqa: DTZ001 - as BSON has it
        )
        await connection.events.update_many({"_id": {"$ne": newest["_id"]}}, {"$set": {"timestamp": "yesterday"}})
    sample = await checked(store)
    assert (sample.read, sample.untyped, sample.redacted) == (0, 0, 1)


async def test_reasons_of_any_number_need_a_bounded_memory(store: EventStore) -> None:
    class Prices(DomainEvent):
        event_type: str = "schema.prices"
        of: dict[str, int]

    prices = {f"p{number}": "x" for number in range(80)}
    await store.append(DomainEvent.model_construct(event_type="schema.prices", timestamp=AT, payload={"of": prices}))
    (sample,) = [one async for one in check_stored(store, entries(Registry(), types=["schema.prices"]))]
    assert (sample.untyped, len(sample.refusals)) == (1, stored.MAX_REFUSALS)


async def test_stored_events_are_counted_by_type_and_types_without_a_class_are_named(store: EventStore) -> None:
    await store.append_many([plain(1), plain(2), DomainEvent(event_type="schema.unknown")])
    assert await number_stored(store, ["schema.counted", "schema.none"]) == {"schema.counted": 2, "schema.none": 0}
    assert await unclaimed_types(store, entries(Registry())) == ["schema.unknown"]
