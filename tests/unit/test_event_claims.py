import json
from typing import Any, Literal

import pytest
from pydantic import ConfigDict, Field, ValidationError

from craft_easy.core.events.model import event_class
from craft_easy.core.events.types import DomainEvent, PaymentCompleted
from tests.support.events import payment
from tests.unit.event_samples import BookingCancelled, Changed, Kind, Shipped, Untyped, record_of


class TestClaiming:
    def test_an_instance_cannot_state_another_type_than_its_class(self) -> None:
        class Below(PaymentCompleted):
            more: int = 0

        for make in (payment, lambda **values: Below(payment_id="p", amount=1, currency="E", **values)):
            assert make(event_type="payment.completed").event_type == "payment.completed"
            with pytest.raises(ValidationError, match="cannot state another type") as caught:
                make(event_type="payment.failed")
            assert caught.value.errors()[0]["loc"] == ("event_type",)
        with pytest.raises(ValidationError, match="cannot state another type"):
            Changed[int](value=1, event_type="x")

    def test_a_class_that_inherits_its_type_is_not_registered(self) -> None:
        class Below(BookingCancelled):
            more: int = 0

        assert event_class.class_of("types.booking_cancelled") is BookingCancelled
        assert type(DomainEvent.from_record(record_of(Below(booking_id="b", reason="r")))) is BookingCancelled

    def test_a_parametrised_generic_is_not_registered(self) -> None:
        assert Changed[int].__event_type__ == "types.changed"
        assert event_class.class_of("types.changed") is Changed

    def test_a_class_without_a_type_of_its_own_claims_none(self) -> None:
        assert Untyped.__event_type__ is None
        assert event_class.class_of("") is None

    def test_a_literal_or_a_field_states_a_type_too(self) -> None:
        class Literally(DomainEvent):
            event_type: Literal["types.literally"] = "types.literally"

        class Fielded(DomainEvent):
            event_type: str = Field("types.fielded", description="d")

        assert event_class.class_of("types.literally") is Literally
        assert event_class.class_of("types.fielded") is Fielded

    def test_a_member_of_an_enum_becomes_plain_text(self) -> None:
        assert type(Shipped().event_type) is str
        assert Shipped().event_type == Shipped(event_type=Kind.SHIPPED).event_type == "types.shipped"
        assert event_class.class_of("types.shipped") is Shipped
        assert json.loads(Shipped().model_dump_json())["event_type"] == "types.shipped"

    @pytest.mark.parametrize("value", ["", 5, None])
    def test_a_class_must_state_a_type_that_can_be_one(self, value: Any) -> None:
        with pytest.raises(TypeError, match="must be a text and not empty"):

            class Wrong(DomainEvent):
                event_type: str = value

    @pytest.mark.parametrize("config", [{"extra": "allow"}, {"extra": "ignore"}, {"frozen": False}])
    def test_a_class_cannot_loosen_what_every_event_promises(self, config: Any) -> None:
        with pytest.raises(TypeError, match="leave `frozen` and `extra` out"):

            class Wrong(DomainEvent):
                model_config = ConfigDict(**config)  # type: ignore[typeddict-item]

        with pytest.raises(TypeError, match="leave `frozen` and `extra` out"):

            class WrongToo(DomainEvent, **config):
                pass
