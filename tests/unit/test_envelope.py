from collections import UserDict
from datetime import UTC, datetime, timedelta, timezone
from time import tzset
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from craft_easy.core.events.model.envelope import (
    EARLIEST,
    EPOCH,
    LATEST,
    Envelope,
    cut_to_milliseconds,
    is_malformed,
    read_envelope,
)

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
MADE_AT = datetime(2020, 2, 29, 12, tzinfo=UTC)
UNKNOWN_ID: Any = SimpleNamespace(generation_time=MADE_AT)
RECORD: dict[str, Any] = {
    "_id": UNKNOWN_ID,
    "event_id": "e",
    "event_type": "a.b",
    "timestamp": AT,
    "tenant_id": "t",
    "actor_id": None,
    "payload": {"n": 1},
}


class OutOfRange:
    """What BSON makes of a date that Python has no room for (bson.datetime_ms.DatetimeMS)."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def __int__(self) -> int:
        return self.milliseconds

    def as_datetime(self) -> None: ...


class Instant:
    """BSON's own Timestamp: a counter, no date."""

    def as_datetime(self) -> None: ...


def read(**changes: Any) -> Envelope:
    return read_envelope({**RECORD, **changes})


def read_without(*names: str) -> Envelope:
    return read_envelope({name: value for name, value in RECORD.items() if name not in names})


def test_our_own_record_is_read_as_it_is() -> None:
    assert read() == Envelope("e", "a.b", AT, "t", None, {"n": 1}, None, None, is_foreign=False)
    assert read(causation_id="c", correlation_id="d", delivery={"rev": 1}) == Envelope(
        "e", "a.b", AT, "t", None, {"n": 1}, "c", "d", is_foreign=False
    )
    assert not read_without("_id").is_foreign


def test_an_extra_field_is_another_writers() -> None:
    assert read(version=2).is_foreign
    assert read(version=2).payload == {"n": 1}


@pytest.mark.parametrize("name", ["event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload"])
def test_a_missing_field_is_another_writers(name: str) -> None:
    assert read_without(name).is_foreign


@pytest.mark.parametrize("event_id", [None, "missing"])
def test_a_missing_event_id_is_the_id_of_the_record(event_id: str | None) -> None:
    record = {**RECORD, "_id": 42, "event_id": None}
    if event_id == "missing":
        del record["event_id"]

    assert read_envelope(record).event_id == "42"
    assert read_envelope(record).is_foreign


def test_an_event_without_any_id_has_an_empty_one() -> None:
    assert read_without("_id", "event_id").event_id == ""


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"), (True, "True")]
)
@pytest.mark.parametrize("name", ["event_id", "event_type", "tenant_id", "actor_id", "causation_id", "correlation_id"])
def test_ids_that_are_no_text_are_turned_to_text(name: str, value: object, text: str) -> None:
    envelope = read(**{name: value})

    assert getattr(envelope, name) == text
    assert envelope.is_foreign


def test_a_missing_type_is_empty() -> None:
    assert read(event_type=None).event_type == read_without("event_type").event_type == ""


@pytest.mark.parametrize("value", [None, "2026-01-31T10:00:00Z", 1_700_000_000, 1.5, Instant(), {}])
def test_a_time_that_is_no_date_is_the_time_of_the_id_or_the_epoch(value: object) -> None:
    assert read(timestamp=value).timestamp == MADE_AT
    assert read(timestamp=value, _id="text").timestamp == EPOCH
    assert read(timestamp=value).is_foreign
    assert read_without("timestamp").timestamp == MADE_AT
    assert read_without("timestamp", "_id").timestamp == EPOCH


def test_an_id_that_only_looks_as_if_it_knew_its_time_is_not_believed() -> None:
    assert read(timestamp=None, _id=SimpleNamespace(generation_time="never")).timestamp == EPOCH


@pytest.mark.parametrize(
    ("milliseconds", "moment"),
    [(-(2**62), EARLIEST), (2**62, LATEST), (-62_135_596_800_001, EARLIEST), (253_402_300_800_000, LATEST), (1, None)],
)
def test_dates_out_of_range_become_the_nearest(milliseconds: int, moment: datetime | None) -> None:
    envelope = read(timestamp=OutOfRange(milliseconds))

    assert envelope.timestamp == (moment or EPOCH + timedelta(milliseconds=1))
    assert envelope.is_foreign


def test_a_date_that_utc_has_no_room_for_becomes_the_nearest() -> None:
    east, west = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))

    assert read(timestamp=datetime.min.replace(tzinfo=east)).timestamp == EARLIEST
    assert read(timestamp=datetime.max.replace(tzinfo=west)).timestamp == LATEST


def test_a_naive_date_is_in_utc_as_bson_has_them_wherever_this_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    tzset()
    envelope = read(timestamp=AT.replace(tzinfo=None))

    monkeypatch.undo()
    tzset()
    assert envelope.timestamp == AT
    assert envelope.timestamp.tzinfo is UTC


@pytest.mark.parametrize("value", [None, 5, "text", [1, 2]])
def test_a_payload_that_is_no_object_is_put_into_one(value: object) -> None:
    assert read(payload=value).payload == {"value": value}
    assert read(payload=value).is_foreign


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
