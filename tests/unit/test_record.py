"""The record of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import pytest

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.delivery import give_back
from craft_easy.core.events.model.event import caused_event
from craft_easy.core.events.store.documents import (
    EventLog,
    from_document,
    new_record,
    record_event_id,
    record_id,
    same_content,
    to_document,
)
from craft_easy.core.events.types import DomainEvent

EVENT = DomainEvent(event_type="x.y", payload={"a": 1}, tenant_id="t")


def test_the_id_of_a_uuid_7_is_its_seconds_and_eight_bytes_of_blake2b() -> None:
    event_id = "01a20a84-296e-76bc-8c89-90ec84f61bf9"
    seconds = int("01a20a84296e", 16) // 1000
    found = record_id(event_id)
    assert found.generation_time == datetime.fromtimestamp(seconds, UTC)
    assert found.binary[4:] == blake2b(event_id.encode(), digest_size=8).digest()


@pytest.mark.parametrize(
    "other",
    [
        "order-17",
        "",
        "01a20a84-296e-46bc-8c89-90ec84f61bf9",
        "01a20a84-296e-76bc-0c89-90ec84f61bf9",
        "01a20a84296e76bc8c8990ec84f61bf9",
        "{01a20a84-296e-76bc-8c89-90ec84f61bf9}",
        "01a20a84-296e-76bc-8c89-90ec84f61bf9\n",
        "ffffffff-ffff-7fff-8c89-90ec84f61bf9",
    ],
    ids=[
        "a name",
        "empty",
        "version 4",
        "another variant",
        "no hyphens",
        "braces",
        "a newline",
        "past 32 bits of seconds",
    ],
)
def test_an_id_that_is_not_a_uuid_7_is_hashed_whole(other: str) -> None:
    assert record_id(other).binary == blake2b(other.encode(), digest_size=12).digest()


def test_a_record_has_its_fields_in_order_and_nothing_else() -> None:
    record = new_record(EVENT)
    assert list(record) == ["_id", "event_id", "event_type", "tenant_id", "actor_id", "payload", "timestamp"]
    tracked = new_record(EVENT, {"rev": 0})
    assert list(tracked)[-1] == "delivery"
    child = caused_event(EVENT, causation_id="a", correlation_id="b")
    assert list(new_record(child))[-2:] == ["causation_id", "correlation_id"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"event_id": "\udcff"}, "event_id"),
        ({"event_type": "x\ud800"}, "event_type"),
        ({"tenant_id": "\udcff"}, "tenant_id"),
        ({"actor_id": "a\udfff"}, "actor_id"),
        ({"payload": {"a": [{"b": object()}]}}, "payload.a.0.b"),
    ],
)
def test_each_field_is_checked_and_named(values: dict[str, Any], path: str) -> None:
    event = DomainEvent.model_construct(**{**EVENT.model_dump(), **values})
    with pytest.raises(InvalidEvent) as caught:
        new_record(event)
    assert caught.value.path == path


def test_a_record_that_is_too_large_is_refused_with_its_deliveries() -> None:
    large = EVENT.model_copy(update={"payload": {"text": "x" * (15 * 1024 * 1024 - 1000)}})
    new_record(large)
    with pytest.raises(InvalidEvent, match="are allowed"):
        new_record(large, {"handlers": ["x" * 2000]})


def test_a_foreign_record_equals_the_event_that_is_read_from_it() -> None:
    foreign = {"_id": 5, "event_id": 6, "event_type": "x", "tenant_id": 7, "payload": [1]}
    event = DomainEvent.from_record(foreign)
    assert same_content(new_record(event), foreign)
    assert not same_content(new_record(event), {**foreign, "tenant_id": 8})
    assert record_event_id(foreign) == "6"


def test_the_document_is_the_six_fields() -> None:
    document = EventLog.from_event(EVENT)
    assert set(EventLog.model_fields) == {
        "id",
        "event_id",
        "event_type",
        "timestamp",
        "tenant_id",
        "actor_id",
        "payload",
    }
    assert document.id == record_id(EVENT.event_id)
    assert list(EventLog.indexes)


class Traced(DomainEvent):
    event_type: str = "test.traced"
    causation_id: str  # a field of the user's with the same name


def test_a_field_of_an_event_class_is_not_a_cause() -> None:
    record = new_record(Traced(causation_id="mine"))
    assert "causation_id" not in record
    assert record["payload"] == {"causation_id": "mine"}


def test_keys_of_a_later_version_are_kept_and_written_back() -> None:
    entry = {"id": "h", "state": "pending", "attempts": 0, "paused_by": "ops"}
    written = {"rev": 3, "state": "open", "owner": "w", "priority": 7, "handlers": [entry]}
    delivery = give_back(from_document(written), "w", at=datetime(2026, 1, 31, tzinfo=UTC))
    document = to_document(delivery)

    assert document["priority"] == 7
    assert document["handlers"][0]["paused_by"] == "ops"
    assert document["rev"] == 4


def test_the_line_that_raised_an_error_is_stored() -> None:
    failure = {"type": "E", "message": "m", "at": datetime(2026, 1, 31, tzinfo=UTC), "attempt": 1}
    failure |= {"where": "shop/mail.py:31 in send", "frames": ["shop/mail.py:31 in send"]}
    written = {"handlers": [{"id": "h", "errors": [failure]}]}

    assert to_document(from_document(written))["handlers"][0]["errors"] == [failure]
