"""A line and its record: keys that are kept or filled in, and every refused line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import pytest

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery, take_in
from craft_easy.core.events.store.documents import new_record, record_id, to_document
from craft_easy.core.events.store.encoding import CODEC, MAX_LEVELS
from craft_easy.core.events.store.formats import event_json
from craft_easy.core.events.store.formats.event_json import line as event_line
from craft_easy.core.events.store.formats.extended_json import parse, record_line
from craft_easy.core.events.store.formats.incoming import Reading, new_event, record_of
from craft_easy.core.events.types import DomainEvent, PaymentCompleted

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 26, tzinfo=UTC)
READING = Reading(NOW)
WITH_DELIVERY = Reading(NOW, with_delivery=True)
OID = {"$oid": "65b9f1a0" + "00" * 8}

EVENT_JSON: dict[str, Any] = {
    "event_id": "e",
    "event_type": "order.placed",
    "timestamp": "2026-01-31T10:00:00.000Z",
    "tenant_id": "acme",
    "actor_id": None,
    "payload": {"total": 80.0},
}
EXTENDED_JSON = EVENT_JSON | {"timestamp": {"$date": "2026-01-31T10:00:00Z"}}


def read(line: Any, reading: Reading = READING) -> dict[str, Any]:
    return record_of(parse(json.dumps(line)), reading)


def stored(record: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(bson.encode(record, codec_options=CODEC), event_json.CODEC)


def handler(**fields: Any) -> dict[str, Any]:
    return {"id": "shop:mail", "state": "pending"} | fields


# ------------------------------------------------------------------ kept


def test_both_forms_become_the_record_that_a_publish_writes() -> None:
    event = DomainEvent(
        event_id="e", event_type="order.placed", timestamp=AT, tenant_id="acme", payload={"total": 80.0}
    )
    for line in (EVENT_JSON, EXTENDED_JSON):
        record = read(line)
        assert record == new_record(event)
        assert sorted(record) == sorted(new_record(event))
    assert list(read(EVENT_JSON)) == list(new_record(event))


def test_keys_missing_in_event_json_are_null_or_empty() -> None:
    record = read({"event_id": "e", "event_type": "t", "timestamp": "2026-01-31T10:00:00Z"})
    assert (record["tenant_id"], record["actor_id"], record["payload"]) == (None, None, {})
    assert "delivery" not in record
    assert "causation_id" not in record


def test_event_json_of_the_log_itself_is_read_again() -> None:
    delivery = to_document(Delivery.new(["a", "b"], at=AT))
    record = stored({**read(EVENT_JSON), "causation_id": "c", "correlation_id": "r", "delivery": delivery})
    again = record_of(parse(event_line(record)), WITH_DELIVERY)
    assert event_line(stored(again)) == event_line(record)


@pytest.mark.parametrize("canonical", [False, True])
def test_a_record_of_another_writer_stays_as_it_is(canonical: bool) -> None:
    foreign = {
        "seen": True,
        "event_id": bson.ObjectId(OID["$oid"]),
        "event_type": "t",
        "tenant_id": bson.Int64(7),
        "timestamp": bson.DatetimeMS(2**55),
        "actor_id": UUID(int=5),
        "nested": {"a": [bson.Regex("x"), b"y"]},
    }
    line = record_line(stored(foreign), canonical=canonical)
    record = record_of(parse(line), READING)
    assert record_line(stored(record), canonical=canonical) == line
    assert record["_id"] == record_id(OID["$oid"])


def test_the_id_of_a_line_is_not_taken_over() -> None:
    assert read({"_id": OID, **EXTENDED_JSON})["_id"] == record_id("e")
    assert read({"_id": OID, **EVENT_JSON})["_id"] == record_id("e")


def test_deliveries_are_imported_only_with_the_option() -> None:
    line = EXTENDED_JSON | {"delivery": {"handlers": [handler()]}}
    assert "delivery" not in read(line)
    assert read(line, WITH_DELIVERY)["delivery"]["state"] == "open"


def test_a_removed_payload_stays_removed() -> None:
    line = EVENT_JSON | {"payload": {}, "redacted": {"at": "2026-01-31T10:00:00.000Z", "by": "ada", "reason": "r"}}
    assert read(line)["redacted"] == {"at": AT, "by": "ada", "reason": "r"}


# ------------------------------------------------------------------ deliveries


def test_an_imported_record_is_unowned_and_its_former_owner_cannot_overwrite_it() -> None:
    before = Delivery.new(["a"], at=AT, owner="host:1:ab")
    after = take_in(before, at=NOW)
    assert (after.owner, after.running, after.claimed_at, after.rev) == (None, None, None, before.rev + 1)
    assert (after.state, after.due_at) == ("open", AT)


def test_a_delivery_that_is_as_it_would_be_derived_stays_as_it_is() -> None:
    for before in (Delivery.new(["a"], at=AT), Delivery.new([], at=AT), Delivery(rev=7, state="done", finished_at=AT)):
        assert take_in(before, at=NOW) is before


@pytest.mark.parametrize(
    ("states", "said", "derived"),
    [
        (["done"], "open", "done"),
        (["dead", "done"], "done", "dead"),
        (["pending", "dead"], "dead", "open"),
        ([], "open", "done"),
        (["skipped"], "nonsense", "done"),
    ],
)
def test_the_state_is_derived_from_the_handlers(states: list[str], said: str, derived: str) -> None:
    handlers = [handler(id=str(index), state=state) for index, state in enumerate(states)]
    document = read(EXTENDED_JSON | {"delivery": {"state": said, "rev": 3, "handlers": handlers}}, WITH_DELIVERY)
    delivery = document["delivery"]
    assert delivery["state"] == derived
    assert (delivery["due_at"] == NOW) == (derived == "open")


def test_the_next_time_is_that_of_the_earliest_pending_handler() -> None:
    times = [{"$date": "2026-01-31T12:00:00Z"}, {"$date": "2026-01-31T11:00:00Z"}]
    handlers = [handler(id=str(index), due_at=at) for index, at in enumerate(times)]
    delivery = {"due_at": {"$date": "1990-01-01T00:00:00Z"}, "handlers": handlers}
    assert read(EXTENDED_JSON | {"delivery": delivery}, WITH_DELIVERY)["delivery"]["due_at"] == AT + timedelta(hours=1)


def test_a_pending_handler_without_a_time_is_due_now() -> None:
    taken = take_in(Delivery(handlers=(HandlerDelivery("a"),)), at=NOW)
    assert (taken.due_at, taken.handlers[0].due_at) == (NOW, NOW)


BAD_DELIVERIES = {
    "text": ("x", "delivery: is not an object"),
    "handlers": ({"handlers": {}}, "delivery.handlers: is not an array"),
    "handler text": ({"handlers": ["x"]}, "delivery.handlers.0: is not an object"),
    "handler without id": ({"handlers": [{"state": "done"}]}, "delivery.handlers.0.id: is missing"),
    "handler id empty": ({"handlers": [handler(id="")]}, "delivery.handlers.0.id: is empty"),
    "handler id object": ({"handlers": [handler(id={})]}, "delivery.handlers.0.id: is not text"),
    "handler twice": ({"handlers": [handler(), handler()]}, "lists a handler twice"),
    "handler state": ({"handlers": [handler(state="x")]}, "is not one of pending, done, dead, skipped"),
    "handler state list": ({"handlers": [handler(state=[])]}, "is not one of pending, done, dead, skipped"),
    "attempts": ({"handlers": [handler(attempts=-1)]}, "delivery.handlers.0.attempts: is not a count"),
    "attempts true": ({"handlers": [handler(attempts=True)]}, "is not a count"),
    "rev past every count": ({"rev": 2**63 - 1, "handlers": []}, "delivery.rev: is not a count"),
    "rev text": ({"rev": "1", "handlers": []}, "delivery.rev: is not a count"),
    "took_ms": ({"handlers": [handler(took_ms="x")]}, "is not a number of milliseconds"),
    "took_ms NaN": ({"handlers": [handler(took_ms={"$numberDouble": "NaN"})]}, "is not a number of milliseconds"),
    "due_at text": ({"handlers": [handler(due_at="2026-01-31T10:00:00Z")]}, "due_at: is not a time"),
    "errors": ({"handlers": [handler(errors={})]}, "errors: is not an array"),
    "error": ({"handlers": [handler(errors=[{"type": 5}])]}, "errors.0.type: is not text"),
    "owner": ({"owner": 5, "handlers": []}, "delivery.owner: is not text"),
    "surrogate": ({"handlers": [handler(reason="\ud800")]}, "a lone surrogate"),
}


def test_keys_of_a_later_version_are_kept() -> None:
    error = {"type": "E", "message": "m", "at": {"$date": "2026-01-31T10:00:00Z"}, "attempt": 1}
    error |= {"where": "shop/mail.py:31 in send", "frames": ["shop/mail.py:31 in send"]}
    delivery = {"priority": 1, "handlers": [handler(paused_by="ops", errors=[error])]}
    document = read(EXTENDED_JSON | {"delivery": delivery}, WITH_DELIVERY)["delivery"]

    assert (document["priority"], document["handlers"][0]["paused_by"]) == (1, "ops")
    assert document["handlers"][0]["errors"][0]["where"] == "shop/mail.py:31 in send"


@pytest.mark.parametrize("name", BAD_DELIVERIES)
def test_an_invalid_delivery_is_refused_and_ignored_without_with_delivery(name: str) -> None:
    delivery, reason = BAD_DELIVERIES[name]
    line = EXTENDED_JSON | {"delivery": delivery}
    with pytest.raises(InvalidEvent) as caught:
        read(line, WITH_DELIVERY)
    assert reason in str(caught.value)
    assert "delivery" not in read(line)


# ------------------------------------------------------------------ refused


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "id missing": ({"event_id": None}, "event_id: is missing"),
    "id empty": ({"event_id": ""}, "event_id: is empty"),
    "id array": ({"event_id": ["e"]}, "event_id: is not text but an array"),
    "id object": ({"event_id": {"a": 1}}, "event_id: is not text but an object"),
    "id true": ({"event_id": True}, "event_id: is not text but a boolean"),
    "id surrogate": ({"event_id": "\ud800"}, "event_id: a lone surrogate"),
    "type missing": ({"event_type": None}, "event_type: is missing"),
    "type empty": ({"event_type": ""}, "event_type: is empty"),
    "type array": ({"event_type": []}, "event_type: is not text but an array"),
    "type object": ({"event_type": OID}, "event_type: is not text but of type ObjectId"),
    "type number": ({"event_type": 5}, "event_type: is not text but a number"),
    "tenant array": ({"tenant_id": ["acme"]}, "tenant_id: is not text but an array"),
    "tenant object": ({"tenant_id": {}}, "tenant_id: is not text but an object"),
    "tenant surrogate": ({"tenant_id": "a\udfff"}, "tenant_id: a lone surrogate"),
    "actor float": ({"actor_id": 1.5}, "actor_id: is not text but a number"),
    "cause object": ({"causation_id": {}}, "causation_id: is not text but an object"),
    "payload array": ({"payload": [1]}, "payload: is not an object but an array"),
    "payload text": ({"payload": "x"}, "payload: is not an object"),
    "payload of 98 levels": ({"payload": nested(MAX_LEVELS + 1)}, "more than 97 levels"),
    "payload of 101 levels": ({"payload": nested(101)}, "more than 97 levels"),
    "NUL in a key": ({"payload": {"a\0b": 1}}, "payload.a\\x00b: a key that holds NUL"),
    "surrogate in a key": ({"payload": {"\ud800": 1}}, "a lone surrogate"),
    "surrogate in a value": ({"payload": {"a": ["\ud800"]}}, "payload.a.0: a lone surrogate"),
    "NaN said outright": ({"payload": {"a": {"$numberDouble": "NaN"}}}, "payload.a: a float that is not finite"),
    "record of 16 MB": ({"payload": {"a": "x" * 16_000_000}}, "15,728,640 are allowed"),
}
TIMES: dict[str, tuple[Any, str]] = {
    "missing": (None, "timestamp: is missing"),
    "naive": ("2026-01-31T10:00:00", 'timestamp: "2026-01-31T10:00:00" has no zone'),
    "impossible": ("2026-02-30T10:00:00Z", "is not an existing time"),
    "before year 1": ("0000-12-31T10:00:00Z", "is not an existing time"),
    "before year 1 in UTC": ("0001-01-01T00:00:00+01:00", "is not an existing time"),
    "year 10000": ("10000-01-01T00:00:00Z", "is not a time like"),
    "empty": ("", "is not a time like"),
    "number": (1769853600, "timestamp: is not a time"),
    "array": ([], "timestamp: is not a time"),
}


@pytest.mark.parametrize("form", [EVENT_JSON, EXTENDED_JSON], ids=["Event JSON", "Extended JSON"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_line_that_is_not_an_event_is_refused_with_its_path(name: str, form: dict[str, Any]) -> None:
    changes, reason = REFUSED[name]
    with pytest.raises(InvalidEvent) as caught:
        read(form | changes)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", TIMES)
def test_an_invalid_time_is_refused(name: str) -> None:
    time, reason = TIMES[name]
    with pytest.raises(InvalidEvent) as caught:
        read(EVENT_JSON | {"timestamp": time})
    assert reason in str(caught.value)


@pytest.mark.parametrize("line", [[], [EVENT_JSON], "x", 5, None, True])
def test_a_value_that_is_not_an_object_is_refused(line: Any) -> None:
    with pytest.raises(InvalidEvent, match="an event is an object"):
        read(line)


def test_extreme_values_are_kept() -> None:
    extreme = {"payload": nested(MAX_LEVELS), "event_type": "t" * 1_000_000, "tenant_id": "", "event_id": "i\0" * 500}
    record = read(EVENT_JSON | extreme)
    assert record["event_type"] == "t" * 1_000_000
    for year in ("0001", "9999"):
        assert read(EVENT_JSON | {"timestamp": f"{year}-01-01T00:00:00Z"})["timestamp"].year == int(year)


def test_a_key_that_event_json_does_not_have_is_refused_and_one_of_a_record_is_kept() -> None:
    with pytest.raises(InvalidEvent, match="tennant_id: Event JSON has no such key"):
        read(EVENT_JSON | {"tennant_id": "acme"})
    assert read(EXTENDED_JSON | {"seen": True})["seen"] is True
    with pytest.raises(InvalidEvent, match="NUL"):
        read(EXTENDED_JSON | {"a\0b": True})


# ------------------------------------------------------------------ new events


def test_a_new_event_needs_no_more_than_its_type() -> None:
    event = new_event({"event_type": "order.placed"}, at=AT)
    assert (event.event_type, event.timestamp, event.payload) == ("order.placed", AT, {})
    assert UUID(event.event_id).version == 7
    assert new_event({"event_type": "t"}, at=AT).event_id != event.event_id


def test_a_new_event_is_of_its_class_and_holds_what_it_would_after_a_trip_through_the_log() -> None:
    payload = {"payment_id": "p", "amount": 1.5, "currency": "EUR", "fee": {"$numberDecimal": "0.10"}}
    event = new_event(parse(json.dumps({"event_type": "payment.completed", "payload": payload})), at=AT)
    assert isinstance(event, PaymentCompleted)
    assert event.payload["fee"] == Decimal("0.10")
    plain = new_event({"event_type": "payment.completed", "payload": {"amount": "much"}}, at=AT)
    assert type(plain) is DomainEvent


@pytest.mark.parametrize("line", [[], {}, {"event_type": "t", "timestamp": AT}, {"event_type": "t", "more": 1}])
def test_a_line_that_is_not_event_json_is_not_published(line: Any) -> None:
    with pytest.raises(InvalidEvent):
        new_event(line, at=AT)
