import copy
import pickle
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from craft_easy.core.events.model.event import stored_payload
from craft_easy.core.events.types import DomainEvent, PaymentCompleted, UserRegistered
from tests.support.events import payment
from tests.unit.conftest import Load
from tests.unit.event_samples import (
    Aliased,
    BookingCancelled,
    Changed,
    Computing,
    Later,
    Leaf,
    Line,
    Mixed,
    PostInit,
    PostInitBelow,
    Private,
    Tree,
    each_event,
    record_of,
    rich,
)


class TestFolding:
    def test_fields_are_payload(self) -> None:
        event = BookingCancelled(booking_id="b", reason="rain", tenant_id="t")

        assert event.payload == {"booking_id": "b", "reason": "rain"}
        assert event.payload["booking_id"] == event.booking_id
        assert event.tenant_id == "t"

    def test_extra_payload_keys_are_kept(self) -> None:
        assert payment(payload={"note": "n"}).payload == {
            "payment_id": "p_1",
            "amount": 12.5,
            "currency": "EUR",
            "note": "n",
        }

    def test_a_payload_that_was_given_is_not_changed(self) -> None:
        given: dict[str, Any] = {}
        event = payment(payload=given)

        assert given == {}
        assert event.payload is not given

    def test_a_field_wins_over_a_payload_key_of_the_same_name(self) -> None:
        assert payment(payload={"amount": 2, "note": "n"}).payload == {**payment().payload, "note": "n"}

    def test_braces_in_a_name_do_not_disturb_the_message(self) -> None:
        with pytest.raises(ValidationError, match="An instance of PaymentCompleted"):
            payment(event_type="{event_class}")

    @each_event
    def test_a_dump_validates_to_an_equal_event(self, event: DomainEvent) -> None:
        cls = type(event)

        assert cls.model_validate(event.model_dump(round_trip=True)) == event
        assert cls.model_validate(event.model_dump(round_trip=True, by_alias=True)) == event
        assert cls.model_validate_json(event.model_dump_json(round_trip=True)) == event
        assert cls.model_validate_json(event.model_dump_json(round_trip=True, by_alias=True)) == event

    @each_event
    def test_every_own_field_is_in_the_payload(self, event: DomainEvent) -> None:
        own = type(event).model_fields.keys() - DomainEvent.model_fields.keys()

        assert {name: getattr(event, name) for name in own} == {name: event.payload[name] for name in own}

    def test_the_payload_holds_the_values_of_the_fields_themselves(self) -> None:
        event = rich()

        assert event.payload["line"] is event.line
        assert event.payload["day"] == date(2026, 1, 31)
        assert event.payload["numbers"] == {1, 2}

    def test_a_model_as_a_payload_value_stays_usable(self) -> None:
        event = DomainEvent(event_type="a.b", payload={"line": Line(price=Decimal(1))})

        assert event.payload["line"].price == 1

    def test_unknown_arguments_are_an_error(self) -> None:
        with pytest.raises(ValidationError, match="valid dictionary"):
            Computing.model_validate([1])
        with pytest.raises(ValidationError, match="Extra inputs"):
            Computing(net=1, brutto=2)  # type: ignore[call-arg]
        with pytest.raises(ValidationError, match="Extra inputs"):
            payment(gross=2)

    def test_fields_are_accepted_by_name_and_by_alias_and_folded_by_name(self) -> None:
        by_alias = Aliased(paymentId="p", n=2)  # type: ignore[call-arg]  # a type checker supports one alias only

        assert by_alias.payload == {"payment_id": "p", "count": 2}
        assert Aliased.model_validate({"payment_id": "p", "number": 2}).payload == by_alias.payload
        assert Aliased.model_validate({"payment_id": "p", "count": 2}).payload == by_alias.payload

    def test_a_post_init_of_the_user_runs_and_its_changes_are_in_the_payload(self) -> None:
        event = PostInit(number=1, name="b", payload={"more": True})

        assert event.payload == {"number": 1, "name": "B", "more": True}
        assert PostInitBelow(number=1, more=2).payload == {"number": 1, "name": "A", "more": 2}
        assert Mixed(number=1).payload == {"word": "A", "number": 1}

    def test_private_attributes_are_kept_next_to_it(self) -> None:
        event = Private(number=1)
        event._seen = 9

        assert (event._seen, event.payload) == (9, {"number": 1})
        assert Private(number=1)._seen == 4

    def test_an_event_is_folded_as_a_part_of_another_model(self) -> None:
        class Holder(BaseModel):
            payment: PaymentCompleted
            either: PaymentCompleted | UserRegistered

        holder = Holder.model_validate({"payment": payment().model_dump(), "either": payment()})
        assert holder.payment.payload == payment().payload
        assert TypeAdapter(list[PaymentCompleted]).validate_python([payment().model_dump()])[0].amount == 12.5
        assert Holder.model_json_schema()["$defs"]["PaymentCompleted"]["required"] == [
            "payment_id",
            "amount",
            "currency",
        ]

    def test_generics_self_references_and_late_annotations_fold(self) -> None:
        assert Changed[int](value=1).payload == {"value": 1}
        assert Tree(left=Tree(leaf=Leaf())).payload["left"].payload == {"left": None, "leaf": Leaf()}
        assert Later(number=1).payload == {"number": 1}

    def test_future_annotations_of_a_users_module_are_understood(self, load: Load) -> None:
        module = load(
            "future_events",
            "from __future__ import annotations\n"
            "from craft_easy.core.events.types import DomainEvent\n"
            "class Moved(DomainEvent):\n    event_type: str = 'types.moved'\n"
            "    place: Place\n    parts: list[Place] = []\n"
            "from pydantic import BaseModel\n"
            "class Place(BaseModel):\n    name: str\n",
        )
        event = module.Moved(place={"name": "x"})

        assert event.payload == {"place": module.Place(name="x"), "parts": []}
        assert DomainEvent.from_record(record_of(event, place={"name": "x"}, parts=[])) == event

    def test_a_construct_of_trusted_values_is_folded(self) -> None:
        event = PaymentCompleted.model_construct(payment_id="p", amount=1.5, currency="EUR", payload={"more": 1})

        assert event.payload == {"payment_id": "p", "amount": 1.5, "currency": "EUR", "more": 1}
        assert PaymentCompleted.model_construct(payment_id="p").payload == {"payment_id": "p"}


class TestCopies:
    def test_a_copy_with_changes_is_folded_again(self) -> None:
        event = payment(payload={"note": "n"})
        changed = event.model_copy(update={"amount": 2.0, "tenant_id": "t"})

        assert changed.payload == {"payment_id": "p_1", "amount": 2.0, "currency": "EUR", "note": "n"}
        assert (changed.amount, changed.tenant_id, changed.event_id) == (2.0, "t", event.event_id)
        assert event.payload["amount"] == 12.5

    def test_a_new_payload_replaces_the_extra_keys(self) -> None:
        assert payment(payload={"a": 1}).model_copy(update={"payload": {"b": 2}}).payload == {
            **payment().payload,
            "b": 2,
        }

    def test_a_copy_has_the_set_of_given_fields(self) -> None:
        changed = payment().model_copy(update={"tenant_id": "t", "payment_id": "q"})

        assert changed.model_fields_set == {"payment_id", "amount", "currency", "tenant_id"}
        assert "event_id" not in changed.model_fields_set

    @each_event
    def test_copies_and_pickles_are_equal(self, event: DomainEvent) -> None:
        assert event.model_copy() == event
        assert event.model_copy(deep=True) == event
        assert event.model_copy(update={"tenant_id": "other"}).payload == event.payload
        assert copy.copy(event) == event
        assert copy.deepcopy(event) == event
        assert pickle.loads(pickle.dumps(event)) == event

    def test_a_copy_of_an_event_from_the_log_keeps_its_stored_payload(self) -> None:
        event = DomainEvent.from_record({**record_of(payment(), payment_id="p", amount="1", currency="E"), "extra": 1})

        for twin in (event.model_copy(), copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
            assert stored_payload(twin) == {"payment_id": "p", "amount": "1", "currency": "E"}

    def test_a_changed_copy_is_another_event_but_has_the_same_cause(self) -> None:
        record = {**record_of(payment()), "causation_id": "c", "correlation_id": "d", "extra": 1}
        changed = DomainEvent.from_record(record).model_copy(update={"amount": 2.0})

        assert stored_payload(changed)["amount"] == 2.0
        assert (changed.causation_id, changed.correlation_id) == ("c", "d")
