import copy
import pickle
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError, model_validator

from craft_easy.core.events.model.event import caused_event, stored_payload
from craft_easy.core.events.types import DomainEvent, PaymentCompleted
from tests.support.events import payment
from tests.unit.event_samples import (
    AT,
    EVENTS,
    Address,
    Aliased,
    BookingCancelled,
    Changed,
    Correlated,
    PostInitBelow,
    Private,
    Rich,
    Strict,
    Untyped,
    record_of,
    rich,
)


class TestFromRecord:
    def test_a_record_is_read_as_the_class_that_claims_its_type(self) -> None:
        event = BookingCancelled(booking_id="b", reason="r", tenant_id="t", actor_id="a", payload={"extra": 1})
        again = DomainEvent.from_record(record_of(event))

        assert type(again) is BookingCancelled
        assert again == event

    @pytest.mark.parametrize(
        "event",
        [each for each in EVENTS if type(each) not in (PostInitBelow, Untyped)],
        ids=lambda event: type(event).__name__,
    )
    def test_every_event_of_a_class_that_claims_its_type_is_read_back_equal(self, event: DomainEvent) -> None:
        again = DomainEvent.from_record(record_of(event))

        assert again == event

    def test_values_come_back_from_their_stored_forms_as_what_they_were(self) -> None:
        event = rich()
        stored = {
            "day": "2026-01-31",
            "at": "10:30:00",
            "took": "P1DT3S",
            "price": "1.10",
            "ref": event.ref,
            "numbers": [1, 2],
            "names": ["a"],
            "pair": [1, "a"],
            "color": "red",
            "line": {"price": Decimal(2), "tags": [], "article": ""},
            "lines": [{"price": "2.5", "tags": ["x"], "article": "a"}],
            "data": b"\x01",
            "moment": AT,
            "maybe": None,
            "made": ["a"],
        }
        again = DomainEvent.from_record(record_of(event, **stored))

        assert again == event
        assert again.payload == stored_payload(again) == stored

    def test_a_strict_class_reads_stored_forms_too(self) -> None:
        event = Strict(day=date(2026, 1, 31), numbers={1})

        assert DomainEvent.from_record(record_of(event, day="2026-01-31", numbers=[1])) == event

    def test_a_nested_model_is_read_back_by_the_names_of_its_fields(self) -> None:
        class Sent(DomainEvent):
            event_type: str = "types.sent"
            to: Address

        event = Sent(to=Address(street="s", zip="z"))

        assert DomainEvent.from_record(record_of(event, to={"street": "s", "zip_code": "z"})) == event

    def test_an_unknown_type_is_a_plain_event(self) -> None:
        event = DomainEvent.from_record(record_of(DomainEvent(event_type="type.unknown", payload={"payment_id": 1})))

        assert type(event) is DomainEvent
        assert event.payload == {"payment_id": 1}

    @pytest.mark.parametrize(
        "payload", [{"payment_id": "p"}, {"payment_id": "p", "amount": "much", "currency": "EUR"}, {"other": [1, {}]}]
    )
    def test_a_payload_that_no_longer_fits_is_a_plain_event_with_the_payload_intact(self, payload: Any) -> None:
        event = DomainEvent.from_record(record_of(payment(), **payload))

        assert type(event) is DomainEvent
        assert event.event_type == "payment.completed"
        assert event.payload == stored_payload(event) == payload

    def test_a_validator_that_raises_anything_loses_no_event(self) -> None:
        record = record_of(DomainEvent(event_type="types.raising"), error="e")

        assert type(DomainEvent.from_record(record)) is DomainEvent

    def test_a_validator_that_returns_something_else_loses_no_event(self) -> None:
        class Odd(DomainEvent):
            event_type: str = "types.odd"

            @model_validator(mode="wrap")
            @classmethod
            def _other(cls, value: Any, handler: Any) -> Any:
                return "no event"

        assert type(DomainEvent.from_record(record_of(DomainEvent(event_type="types.odd")))) is DomainEvent

    def test_a_payload_written_before_a_field_was_added_is_completed_but_stored_as_it_was(self) -> None:
        event = DomainEvent.from_record(record_of(Aliased.model_validate({"payment_id": "p"}), payment_id="p", old="o"))

        assert isinstance(event, Aliased)
        assert event.count == 1
        assert event.payload == stored_payload(event) == {"payment_id": "p", "old": "o"}

    def test_a_subclass_reads_every_type(self) -> None:
        assert type(PaymentCompleted.from_record(record_of(rich()))) is Rich

    def test_a_record_is_not_changed_by_reading_it(self) -> None:
        record = record_of(payment(payload={"more": 1}))
        before = copy.deepcopy(record)
        event = DomainEvent.from_record(record)
        plain = DomainEvent.from_record({**record, "event_type": "x"})

        assert record == before
        assert event.payload is not record["payload"]
        assert plain.payload is not record["payload"]

    def test_an_event_of_a_generic_class_is_read_as_the_class_itself(self) -> None:
        event = Changed[int](value=1)

        assert DomainEvent.from_record(record_of(event)) == event

    def test_any_record_can_be_read_as_an_event(self) -> None:
        event = DomainEvent.from_record({"_id": 7})

        assert (event.event_id, event.event_type, event.payload) == ("", "", {})
        assert DomainEvent.from_record({}).event_id == ""
        assert event.model_copy(update={"event_type": "mended"}).event_type == "mended"


class TestCauses:
    def test_an_event_made_here_has_no_cause_until_one_is_set(self) -> None:
        event = payment()
        assert (event.causation_id, event.correlation_id) == (None, None)

        child = caused_event(event, causation_id="parent", correlation_id="first")

        assert (child.causation_id, child.correlation_id) == ("parent", "first")
        assert child == event
        assert (event.causation_id, event.correlation_id) == (None, None)

    def test_a_derived_id_does_not_change_the_caller_s_event(self) -> None:
        event = payment(event_id="mine")
        child = caused_event(event, causation_id="parent", correlation_id="first", event_id="derived")

        assert (event.event_id, child.event_id) == ("mine", "derived")
        assert child.payload == event.payload

    def test_causes_are_read_from_the_record_and_are_not_fields(self) -> None:
        event = DomainEvent.from_record({**record_of(payment()), "causation_id": "c", "correlation_id": "d"})

        assert (event.causation_id, event.correlation_id) == ("c", "d")
        assert not {"causation_id", "correlation_id"} & event.model_dump().keys()
        assert event == DomainEvent.from_record(record_of(event))

    def test_a_cause_does_not_touch_private_attributes(self) -> None:
        own = Private(number=1)
        own._seen = 8
        event = caused_event(own, causation_id="c", correlation_id="d")

        assert isinstance(event, Private)
        assert (event._seen, event.causation_id) == (8, "c")
        assert pickle.loads(pickle.dumps(event)).causation_id == "c"

    def test_a_field_of_that_name_is_the_users_own(self) -> None:
        event = caused_event(Correlated(correlation_id="mine"), causation_id="c", correlation_id="d")

        assert (event.correlation_id, event.causation_id) == ("mine", "c")
        assert event.payload == {"correlation_id": "mine"}
        with pytest.raises(ValidationError):
            Correlated()  # type: ignore[call-arg]

    def test_other_missing_attributes_are_errors(self) -> None:
        with pytest.raises(AttributeError, match="nothing"):
            _ = payment().nothing  # type: ignore[attr-defined]
