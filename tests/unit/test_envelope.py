from collections import UserDict
from datetime import UTC, datetime, timedelta, timezone
from time import tzset
from typing import Any
from uuid import UUID

import bson
import pytest

from craft_easy.core.events.model.envelope import (
    EPOCH,
    Envelope,
    cut_to_milliseconds,
    is_malformed,
    read_envelope,
)

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "_id": 5,
    "event_id": "e",
    "event_type": "a.b",
    "timestamp": AT,
    "tenant_id": "t",
    "actor_id": None,
    "payload": {"n": 1},
}


def read(**changes: Any) -> Envelope:
    return read_envelope({**RECORD, **changes})


def read_without(*names: str) -> Envelope:
    return read_envelope({name: value for name, value in RECORD.items() if name not in names})


def test_our_own_record_is_read_as_it_is() -> None:
    assert read() == Envelope("e", "a.b", AT, "t", None, {"n": 1}, None, None)
    assert read(causation_id="c", correlation_id="d", delivery={"rev": 1}) == Envelope(
        "e", "a.b", AT, "t", None, {"n": 1}, "c", "d"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"), (True, "True")]
)
@pytest.mark.parametrize("name", ["event_id", "event_type", "tenant_id", "actor_id", "causation_id", "correlation_id"])
def test_ids_that_are_not_text_are_converted_to_text(name: str, value: object, text: str) -> None:
    assert getattr(read(**{name: value}), name) == text


def test_a_missing_id_or_type_is_empty() -> None:
    assert read(event_id=None).event_id == read_without("event_id").event_id == ""
    assert read(event_type=None).event_type == read_without("event_type").event_type == ""


@pytest.mark.parametrize("value", [None, "2026-01-31T10:00:00Z", 1_700_000_000, 1.5, {}, bson.DatetimeMS(2**60)])
def test_a_time_that_is_not_a_datetime_is_the_epoch(value: object) -> None:
    assert read(timestamp=value).timestamp == EPOCH
    assert read_without("timestamp").timestamp == EPOCH


def test_a_datetime_outside_of_utc_is_the_epoch() -> None:
    east, west = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))

    assert read(timestamp=datetime.min.replace(tzinfo=east)).timestamp == EPOCH
    assert read(timestamp=datetime.max.replace(tzinfo=west)).timestamp == EPOCH


def test_a_naive_date_is_utc_in_any_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    tzset()
    envelope = read(timestamp=AT.replace(tzinfo=None))

    monkeypatch.undo()
    tzset()
    assert envelope.timestamp == AT
    assert envelope.timestamp.tzinfo is UTC


@pytest.mark.parametrize("value", [5, "text", [1, 2]])
def test_a_payload_that_is_not_an_object_is_wrapped_in_one(value: object) -> None:
    assert read(payload=value).payload == {"value": value}


def test_a_missing_payload_is_empty() -> None:
    assert read_without("payload").payload == {}


def test_any_mapping_is_an_object() -> None:
    envelope = read(payload=UserDict(a=1))

    assert envelope.payload == {"a": 1}
    assert type(envelope.payload) is dict
    assert read_envelope(UserDict(RECORD)) == read()


def test_milliseconds_are_cut_and_not_rounded() -> None:
    assert cut_to_milliseconds(AT.replace(microsecond=1999)) == AT.replace(microsecond=1000)
    before = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert cut_to_milliseconds(before) == before.replace(microsecond=999_000)
    assert cut_to_milliseconds(AT.astimezone(timezone(timedelta(hours=2)))).tzinfo is UTC


@pytest.mark.parametrize("name", ["event_id", "event_type", "timestamp"])
def test_a_record_without_id_type_or_time_is_malformed(name: str) -> None:
    record = {"event_id": "e", "event_type": "a.b", "timestamp": AT}

    assert not is_malformed(record)
    assert not is_malformed({**record, "tenant_id": 5, "extra": 1})
    assert is_malformed({key: value for key, value in record.items() if key != name})
    assert is_malformed({**record, name: 5})
