import copy
import json
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from craft_easy.core.events.model.event import stored_payload
from craft_easy.core.events.store.encoding import CODEC, stored_form
from craft_easy.core.events.types import DomainEvent, PaymentCompleted

NAMES = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
payloads = st.dictionaries(keys, values, max_size=4)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001  # drawn zones
milliseconds = moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
decimals = st.decimals(allow_nan=False, allow_infinity=False)


class Size(Enum):
    SMALL = "s"
    LARGE = 2


class Part(BaseModel):
    price: Decimal
    on: date | None = None


class Everything(DomainEvent):
    event_type: str = "properties.everything"
    day: date
    at: time
    took: timedelta
    price: Decimal
    ref: UUID
    numbers: set[int]
    names: frozenset[str]
    pair: tuple[int, str]
    size: Size
    part: Part
    parts: list[Part]
    data: bytes
    moment: datetime
    text: str
    number: float


parts = st.builds(Part, price=decimals, on=st.none() | st.dates())
everything = st.builds(
    Everything,
    tenant_id=st.none() | texts,
    timestamp=moments,
    day=st.dates(),
    at=st.times(),
    took=st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    price=decimals,
    ref=st.uuids(),
    numbers=st.sets(st.integers(-(2**63), 2**63 - 1), max_size=4),
    names=st.frozensets(texts, max_size=4),
    pair=st.tuples(st.integers(0, 9), texts),
    size=st.sampled_from(Size),
    part=parts,
    parts=st.lists(parts, max_size=2),
    data=st.binary(max_size=9),
    moment=milliseconds,
    text=texts,
    number=st.floats(allow_nan=False, allow_infinity=False),
    payload=payloads.filter(lambda payload: not payload.keys() & Everything.model_fields.keys()),
)
plain = st.builds(
    DomainEvent, event_type=texts.filter(bool), tenant_id=st.none() | texts, timestamp=moments, payload=payloads
)


def through_the_log(event: DomainEvent) -> DomainEvent:
    record = {**{name: getattr(event, name) for name in NAMES}, "payload": stored_form(stored_payload(event))}
    stored: dict[str, Any] = bson.decode(bson.encode(record, codec_options=CODEC), CODEC)
    return DomainEvent.from_record(stored)


@given(everything)
def test_a_typed_event_is_read_from_the_log_unchanged(event: Everything) -> None:
    again = through_the_log(event)

    assert type(again) is Everything
    own = Everything.model_fields.keys() - {"payload"}
    assert {name: getattr(again, name) for name in own} == {name: getattr(event, name) for name in own}
    assert stored_form(stored_payload(again)) == stored_form(stored_payload(event))
    assert through_the_log(again) == again


@given(everything | plain)
def test_a_dump_of_any_event_validates_to_an_equal_one(event: DomainEvent) -> None:
    assert type(event).model_validate(event.model_dump()) == event
    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == event.model_copy() == event


@given(moments)
def test_a_time_is_cut_to_the_milliseconds_that_the_log_keeps(moment: datetime) -> None:
    timestamp = DomainEvent(event_type="a.b", timestamp=moment).timestamp

    assert timestamp.tzinfo is UTC
    assert timedelta(0) <= moment - timestamp < timedelta(milliseconds=1)
    assert bson.decode(bson.encode({"at": timestamp}), CODEC)["at"] == timestamp


@given(payloads, st.floats(allow_nan=False, allow_infinity=False))
def test_a_payload_is_kept_or_refused_but_never_changed(payload: dict[str, Any], amount: float) -> None:
    values = {"payment_id": "p", "amount": amount, "currency": "EUR"}
    try:
        event = PaymentCompleted.model_validate({**values, "payload": payload})
    except ValidationError:
        assert payload.keys() & values.keys()
    else:
        assert event.payload == {**payload, **values}


@given(st.dictionaries(st.sampled_from([*NAMES, "_id", "payload", "causation_id", "more"]), values | moments))
def test_any_record_can_be_read(record: dict[str, Any]) -> None:
    event = DomainEvent.from_record(record)

    assert DomainEvent.from_record(record) == event
    assert type(event.event_id) is type(event.event_type) is str
    assert event.timestamp.tzinfo is UTC
    assert isinstance(event.payload, dict)


@given(payloads)
def test_a_payload_of_any_shape_is_read_back_typed_or_intact(payload: dict[str, Any]) -> None:
    record = {"event_id": "e", "event_type": "payment.completed", "timestamp": datetime.now(UTC), "payload": payload}
    event = DomainEvent.from_record({**record, "tenant_id": None, "actor_id": None})

    assert stored_payload(event) == payload
    assert isinstance(event, PaymentCompleted) or event.payload == payload


@pytest.mark.parametrize("event", [PaymentCompleted(payment_id="p", amount=0.1, currency="EUR")])
def test_json_carries_an_event_both_ways(event: PaymentCompleted) -> None:
    assert PaymentCompleted.model_validate(json.loads(event.model_dump_json())) == event
