"""The record: how an event becomes one, its derived `_id`, and when two say the same."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar, Final, Self

from bson import ObjectId
from pydantic import Field
from pymongo import IndexModel

from craft_easy.core.documents import BaseDocument
from craft_easy.core.events.model.envelope import is_redacted, read_envelope
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.origin import origin_of, stored_payload
from craft_easy.core.events.store.encoding import canonical, encoded, stored_form
from craft_easy.core.events.store.indexes import INDEXES

_H: Final = "[0-9a-fA-F]"
_is_uuid7: Final = re.compile(f"{_H}{{8}}-{_H}{{4}}-7{_H}{{3}}-[89abAB]{_H}{{3}}-{_H}{{12}}").fullmatch
_ID_SECONDS: Final = 2**32
_FIELDS: Final = ("event_id", "event_type", "tenant_id", "actor_id")


class EventLog(BaseDocument):
    """An event as the log keeps it; what is noted of its deliveries is the engine's and stands beside these fields."""

    collection: ClassVar[str] = "event_log"
    tenant_scoped: ClassVar[bool] = False
    indexes: ClassVar[Sequence[IndexModel]] = INDEXES

    event_id: str
    event_type: str
    timestamp: datetime
    tenant_id: str | None = None
    actor_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_event(cls, event: DomainEvent) -> Self:
        """Return the document that stands for an event."""
        record = new_record(event)
        return cls.model_validate(record)


def record_id(event_id: str) -> ObjectId:
    """Return the `_id` of an event's record, a function of its `event_id` alone.

    For a UUID of version 7 (RFC 9562) its own seconds and 8 bytes of BLAKE2b (RFC 7693), so that records come to lie
    in order of time as ObjectIds do; for any other 12 bytes of BLAKE2b.
    """
    data = event_id.encode("utf-8", "surrogatepass")
    if _is_uuid7(event_id) and (seconds := _seconds(event_id[:13])):
        return ObjectId(seconds + blake2b(data, digest_size=8).digest())
    return ObjectId(blake2b(data, digest_size=12).digest())


@lru_cache(maxsize=256)
def _seconds(time: str) -> bytes:
    """Return the seconds of a UUIDv7's time, eight digits and four, as an ObjectId begins; nothing past its range."""
    seconds = int(time.replace("-", ""), 16) // 1000
    return seconds.to_bytes(4, "big") if seconds < _ID_SECONDS else b""


def new_record(event: DomainEvent, delivery: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of an event, checked, in its final shape.

    Args:
        event: what happened; one that was read from the log keeps the payload of its record.
        delivery: what stands under `delivery`; None leaves the record untracked.

    Raises:
        InvalidEvent: the log could not keep the event exactly.
    """
    record = unmeasured_record(event, delivery)
    encoded(record)
    return record


def unmeasured_record(event: DomainEvent, delivery: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of an event, for whoever encodes it at once and so learns whether it is too large.

    Raises:
        InvalidEvent: the log could not keep a value exactly.
    """
    record: dict[str, Any] = {"_id": record_id(event.event_id)}
    for field in _FIELDS:
        value = getattr(event, field)
        if value is not None and (type(value) is not str or not value.isascii()):
            value = stored_form(value, field)
        record[field] = value
    record["payload"] = stored_form(stored_payload(event))
    record["timestamp"] = stored_form(event.timestamp, "timestamp")
    origin = origin_of(event)
    if origin.causation_id is not None:
        record["causation_id"] = stored_form(origin.causation_id, "causation_id")
    if origin.correlation_id is not None:
        record["correlation_id"] = stored_form(origin.correlation_id, "correlation_id")
    if delivery is not None:
        record["delivery"] = delivery
    return record


def event_content(event: DomainEvent) -> bytes:
    """Return bytes that are equal for events that say the same, whatever their id and time.

    Raises:
        InvalidEvent: the log could not keep it exactly.
    """
    return canonical([event.event_type, event.tenant_id, event.actor_id, stored_form(stored_payload(event))])


def record_event_id(record: Mapping[str, Any]) -> str:
    """Return the id of a record's event, whoever wrote it."""
    return read_envelope(record).event_id


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two records say the same: id, type, tenant, actor and payload, by their stored form.

    A payload that was removed on request says nothing any more, and contradicts nothing.
    """
    if is_redacted(one) or is_redacted(other):
        one, other = ({**record, "payload": {}} for record in (one, other))
    return content(one) == content(other)


def content(record: Mapping[str, Any]) -> bytes:
    """Return bytes that are equal for records that say the same, whatever their time and deliveries."""
    envelope = read_envelope(record)
    said = [envelope.event_id, envelope.event_type, envelope.tenant_id, envelope.actor_id, envelope.payload]
    return canonical(said)
