"""A stored value is read back unchanged, and stored again in the same form."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.documents import new_record, record_id, same_content
from craft_easy.core.events.store.encoding import CODEC, canonical, stored_form
from craft_easy.core.events.types import DomainEvent

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(lambda key: key[:1] != "$")
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.builds(bson.ObjectId)
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEY, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(SCALAR, max_size=4)
    ),
    max_leaves=20,
)


def through_bson(value: Any) -> Any:
    return bson.decode(bson.encode({"": value}, codec_options=CODEC), CODEC)[""]


@given(VALUE)
def test_a_value_is_read_from_the_log_in_its_stored_form(value: Any) -> None:
    stored = stored_form(value)
    assert canonical(stored_form(through_bson(stored))) == canonical(stored)


@given(st.dictionaries(KEY, VALUE, max_size=5), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_event_that_went_through_the_log_is_equal(payload: dict[str, Any], tenant: str) -> None:
    event = DomainEvent(event_type="x.y", payload=payload, tenant_id=tenant)
    record = new_record(event)
    stored = bson.decode(bson.encode(record, codec_options=CODEC), CODEC)
    assert same_content(record, stored)
    again = new_record(DomainEvent.from_record(stored))
    assert same_content(again, stored)
    assert again["_id"] == record["_id"]
    assert again["timestamp"] == record["timestamp"]


@given(VALUE, VALUE)
def test_canonical_bytes_differ_if_stored_values_differ(one: Any, other: Any) -> None:
    first, second = stored_form(one), stored_form(other)
    if canonical(first) == canonical(second):
        assert through_bson(first) == through_bson(second)


@given(st.floats() | st.integers() | st.decimals() | st.text() | st.datetimes())
def test_a_value_is_kept_exactly_or_refused(value: Any) -> None:
    try:
        stored = stored_form(value)
    except InvalidEvent:
        return
    back = through_bson(stored)
    if isinstance(value, Decimal):
        back = Decimal(back)
        assert back.as_tuple() == value.as_tuple() or (value.is_nan() and back.is_nan())
    elif isinstance(value, datetime):
        assert back == value.replace(microsecond=value.microsecond // 1000 * 1000)
    else:
        assert back == value
        assert not isinstance(value, float) or math.copysign(1, back) == math.copysign(1, value)


@given(st.text())
def test_a_record_id_is_a_function_of_the_event_id(event_id: str) -> None:
    assert record_id(event_id) == record_id(str(event_id))
    assert record_id(event_id) != record_id(event_id + "x")


@given(st.uuids(version=4) | st.uuids(version=1))
def test_only_a_uuid_of_version_7_puts_its_seconds_first(event_id: Any) -> None:
    seven = str(event_id)[:14] + "7" + str(event_id)[15:]
    seconds = int(seven[:8] + seven[9:13], 16) // 1000
    if seconds < 2**32:
        assert int(record_id(seven).generation_time.timestamp()) == seconds
