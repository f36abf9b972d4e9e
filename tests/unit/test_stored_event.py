"""With a store, handlers get the stored event: the way of an event through its stored form."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field, HttpUrl, field_serializer, field_validator

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store import documents
from craft_easy.core.events.store.documents import new_record, stored_event
from craft_easy.core.events.types import DomainEvent, PaymentCompleted

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _forget_earlier_warnings() -> None:
    documents._warned.clear()


class Box(BaseModel, Generic[T]):
    content: T


class Part(BaseModel):
    number: int


def test_the_event_that_runs_is_the_one_that_a_redispatch_reads() -> None:
    event = PaymentCompleted(payment_id="p", amount=1, currency="EUR", payload={"on": date(2026, 1, 31)})
    record, back = stored_event(event)

    assert record == new_record(event)
    assert type(back) is PaymentCompleted
    assert (
        back.payload == record["payload"] == {"payment_id": "p", "amount": 1.0, "currency": "EUR", "on": "2026-01-31"}
    )
    assert stored_event(back) == (record, back)


def test_a_url_and_a_dict_of_numbers_are_stored_as_pydantic_writes_them(caplog: pytest.LogCaptureFixture) -> None:
    class Visited(DomainEvent):
        event_type: str = "stored.visited"
        url: HttpUrl
        visits: dict[int, int]

    event = Visited(url=HttpUrl("https://example.org/a"), visits={1: 2})
    record, back = stored_event(event)

    assert record["payload"] == {"url": "https://example.org/a", "visits": {"1": 2}}
    assert isinstance(back, Visited)
    assert (back.url, back.visits) == (event.url, event.visits)
    assert not caplog.records


def test_a_field_is_stored_as_its_own_serializer_gives_it() -> None:
    class Scheduled(DomainEvent):
        event_type: str = "stored.scheduled"
        at: datetime

        @field_serializer("at")
        def _seconds(self, at: datetime) -> int:
            return int(at.timestamp())

    event = Scheduled(at=datetime(2026, 1, 31, 10, tzinfo=UTC))
    record, back = stored_event(event)

    assert record["payload"] == {"at": 1769853600}
    assert back == event


def test_a_validator_that_is_not_idempotent_shows_in_the_first_run(caplog: pytest.LogCaptureFixture) -> None:
    class Priced(DomainEvent):
        event_type: str = "stored.priced"
        cents: int

        @field_validator("cents")
        @classmethod
        def _to_cents(cls, value: int) -> int:
            return value * 100

    record, back = stored_event(Priced(cents=1250))
    stored_event(Priced(cents=1))

    assert record["payload"] == {"cents": 125_000}
    assert isinstance(back, Priced)
    assert back.cents == 12_500_000
    assert back.payload == {"cents": 125_000}
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "Priced: cents change" in warning.getMessage()


def test_a_generic_that_is_read_back_as_a_dict_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Packed(DomainEvent, Generic[T]):
        event_type: str = "stored.packed"
        box: T

    _, back = stored_event(Packed[Box[Part]](box=Box(content=Part(number=1))))

    assert back.payload == {"box": {"content": {"number": 1}}}
    assert "box change" in caplog.text


def test_a_set_in_a_payload_is_named(caplog: pytest.LogCaptureFixture) -> None:
    _, back = stored_event(DomainEvent(event_type="stored.plain", payload={"tags": {"b", "a"}}))

    assert back.payload == {"tags": ["a", "b"]}
    assert "tags change" in caplog.text


def test_an_excluded_field_that_is_required_is_refused_before_anything_is_written() -> None:
    class Hiding(DomainEvent):
        event_type: str = "stored.hiding"
        needed: int = Field(exclude=True)

    with pytest.raises(InvalidEvent, match=r"Hiding comes back from the log as .*DomainEvent"):
        stored_event(Hiding(needed=1))


def test_a_field_that_cannot_be_validated_again_is_refused() -> None:
    class Once(DomainEvent):
        event_type: str = "stored.once"
        code: str

        @field_validator("code")
        @classmethod
        def _mark(cls, value: str) -> str:
            if value.startswith("#"):
                raise ValueError("marked already")
            return f"#{value}"

    with pytest.raises(InvalidEvent, match="Once comes back"):
        stored_event(Once(code="x"))


def test_a_class_that_states_no_type_of_its_own_is_refused() -> None:
    class Refunded(PaymentCompleted):
        reason: str

    with pytest.raises(InvalidEvent, match="must state an event_type of its own"):
        stored_event(Refunded(payment_id="p", amount=1, currency="EUR", reason="r"))


def test_a_plain_event_may_come_back_as_the_class_of_its_type() -> None:
    payload = {"payment_id": "p", "amount": 1.5, "currency": "EUR"}

    assert type(stored_event(DomainEvent(event_type="payment.completed", payload=payload))[1]) is PaymentCompleted
    assert type(stored_event(DomainEvent(event_type="payment.completed", payload={"amount": 2}))[1]) is DomainEvent


def test_an_instance_of_a_redefined_class_is_read_as_the_new_class() -> None:
    def define() -> type[DomainEvent]:
        class Made(DomainEvent):
            event_type: str = "stored.made"

        return Made

    old = define()()  # type: ignore[call-arg]  # the class sets the type
    new = define()

    assert type(stored_event(old)[1]) is new


def test_a_serializer_that_raises_is_an_invalid_event() -> None:
    class Broken(DomainEvent):
        event_type: str = "stored.broken"
        value: Any

        @field_serializer("value")
        def _fail(self, value: Any) -> Any:
            raise KeyError("tenant")

    with pytest.raises(InvalidEvent, match="cannot be serialized"):
        stored_event(Broken(value=1))


def test_a_cycle_in_a_field_is_named_by_its_path() -> None:
    class Nested(DomainEvent):
        event_type: str = "stored.nested"
        value: dict[str, Any]

    event = Nested(value={})
    event.value["self"] = event.value
    with pytest.raises(InvalidEvent, match=r"payload\.value\.self.*: a cycle"):
        stored_event(event)
