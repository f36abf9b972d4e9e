"""The mapping between records and events, and between documents and deliveries; the derived `_id` of a record."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar, Final, Self

import bson
from bson import ObjectId
from pydantic import Field
from pymongo import IndexModel

from craft_easy.core.documents import BaseDocument
from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery, state_of
from craft_easy.core.events.model.envelope import EPOCH, is_redacted, read_envelope
from craft_easy.core.events.model.event import DomainEvent, class_name, origin_of, stored_payload
from craft_easy.core.events.model.retry import ErrorText
from craft_easy.core.events.store.encoding import CODEC, canonical, encoded, stored_form
from craft_easy.core.events.store.indexes import INDEXES

_H: Final = "[0-9a-fA-F]"
_is_uuid7: Final = re.compile(f"{_H}{{8}}-{_H}{{4}}-7{_H}{{3}}-[89abAB]{_H}{{3}}-{_H}{{12}}").fullmatch
_ID_SECONDS: Final = 2**32
_log: Final = logging.getLogger("craft_easy.core.events")
_warned: Final[set[str]] = set()
"""The names of classes that a warning has named."""
_FIELDS: Final = ("event_id", "event_type", "tenant_id", "actor_id")


class EventLog(BaseDocument):
    """The record of an event, without the fields of the engine.

    Those are `delivery`, `causation_id`, `correlation_id` and `trace_context`.
    """

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
        """Return the record of an event."""
        return cls.model_validate(new_record(event))


def record_id(event_id: str) -> ObjectId:
    """Return the `_id` of an event's record, a function of its `event_id` alone.

    For a UUID of version 7 (RFC 9562) the seconds of the UUID and 8 bytes of BLAKE2b (RFC 7693), so that the index on
    `_id` is in order of time, as it is with generated ObjectIds; for any other id 12 bytes of BLAKE2b.
    """
    data = event_id.encode("utf-8", "surrogatepass")
    if _is_uuid7(event_id) and (seconds := _seconds(event_id[:13])):
        return ObjectId(seconds + blake2b(data, digest_size=8).digest())
    return ObjectId(blake2b(data, digest_size=12).digest())


@lru_cache(maxsize=256)
def _seconds(time: str) -> bytes:
    """Return the first four bytes of an ObjectId for the time of a UUIDv7; empty where the time is past their range.

    Args:
        time: the first 12 hexadecimal digits, `01890a5d-ac96`: milliseconds.
    """
    seconds = int(time.replace("-", ""), 16) // 1000
    return seconds.to_bytes(4, "big") if seconds < _ID_SECONDS else b""


def new_record(event: DomainEvent, delivery: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of an event, ready to be inserted.

    Args:
        event: an event that was read from the log keeps the payload of its record.
        delivery: the value of `delivery`; None leaves the record untracked.

    Raises:
        InvalidEvent: the log could not keep the event exactly.
    """
    record = unmeasured_record(event, delivery)
    encoded(record)
    return record


def unmeasured_record(event: DomainEvent, delivery: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of an event without the check of its size, for a caller that encodes it anyway.

    Raises:
        InvalidEvent: the log could not keep a value exactly.
    """
    record: dict[str, Any] = {"_id": record_id(event.event_id)}
    for field in _FIELDS:
        value = getattr(event, field)
        if value is not None and (type(value) is not str or not value.isascii()):
            value = stored_form(value, field)
        record[field] = value
    record["payload"] = _payload_of(event)
    record["timestamp"] = stored_form(event.timestamp, "timestamp")
    origin = origin_of(event)
    if origin.causation_id is not None:
        record["causation_id"] = stored_form(origin.causation_id, "causation_id")
    if origin.correlation_id is not None:
        record["correlation_id"] = stored_form(origin.correlation_id, "correlation_id")
    if origin.trace_context is not None:
        record["trace_context"] = stored_form(dict(origin.trace_context), "trace_context")
    if delivery is not None:
        record["delivery"] = delivery
    return record


def _payload_of(event: DomainEvent) -> dict[str, Any]:
    try:
        payload = stored_payload(event)
    except Exception as error:
        stored_form(event.payload)  # raises an error with the path, where a cycle or too many levels are the cause
        raise InvalidEvent("payload", f"a field cannot be serialized: {ErrorText.of(error).message}") from error
    stored: dict[str, Any] = stored_form(payload)
    return stored


def stored_event(event: DomainEvent) -> tuple[dict[str, Any], DomainEvent]:
    """Return the record of an event, and the event as it is read back from that record, which is what handlers get.

    A class whose field values change on this round trip is named in a warning, once: by a validator that is not
    idempotent, a generic that is read back as a dict, a set in a payload that is read back as a list.

    Raises:
        InvalidEvent: the log could not keep the event exactly, or it is not read back as its own class: a required
            field is excluded, a field cannot be validated again, or the class does not define its own event type.
    """
    record = unmeasured_record(event)
    stored: dict[str, Any] = bson.decode(encoded(record), CODEC)
    read_back = DomainEvent.from_record(stored)
    _check_class(event, read_back)
    _warn_of_changes(event, read_back)
    return record, read_back


def _check_class(event: DomainEvent, read_back: DomainEvent) -> None:
    own = class_name(type(event))
    if own not in (class_name(type(read_back)), class_name(DomainEvent)):
        raise InvalidEvent(
            "payload",
            f"{own} comes back from the log as {class_name(type(read_back))}: each of its fields must be stored and "
            "must validate again from its stored form, and the class must state an event_type of its own",
        )


def _warn_of_changes(event: DomainEvent, read_back: DomainEvent) -> None:
    before, after = _values_of(event), _values_of(read_back)
    changed = [name for name, value in before.items() if not (name in after and _is_equal(value, after[name]))]
    own = class_name(type(event))
    if changed and own not in _warned:
        _warned.add(own)
        text = "%s: %s change when the event is stored; handlers get the stored values"
        _log.warning(text, own, ", ".join(sorted(changed)))


def _values_of(event: DomainEvent) -> dict[str, Any]:
    return event.payload | {name: getattr(event, name) for name in event.__own_fields__}


def _is_equal(before: object, after: object) -> bool:
    try:
        return bool(before == after)
    except Exception:  # noqa: BLE001  # an array has no single truth
        return False


def event_content(event: DomainEvent) -> bytes:
    """Return bytes that are equal for events of equal type, tenant, actor and payload.

    Raises:
        InvalidEvent: the log could not keep the event exactly.
    """
    return canonical([event.event_type, event.tenant_id, event.actor_id, _payload_of(event)])


def record_event_id(record: Mapping[str, Any]) -> str:
    """Return the id of a record's event, also for records of other programs."""
    return read_envelope(record).event_id


def same_content(record: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records have equal id, type, tenant, actor and payload, by their stored form.

    A payload that was removed on request is not compared.
    """
    if is_redacted(record) or is_redacted(other):
        record, other = ({**each, "payload": {}} for each in (record, other))
    return content(record) == content(other)


def content(record: Mapping[str, Any]) -> bytes:
    """Return bytes that are equal for records of equal id, type, tenant, actor and payload."""
    envelope = read_envelope(record)
    return canonical([envelope.event_id, envelope.event_type, envelope.tenant_id, envelope.actor_id, envelope.payload])


class CompoundId(dict[str, Any]):
    """An `_id` that is a document, made hashable."""

    def __hash__(self) -> int:  # type: ignore[override]  # an `_id` never changes
        return hash(tuple(self))


def key_of(document: Mapping[str, Any]) -> Any:
    """Return the `_id` of a decoded record as a hashable value."""
    value = document["_id"]
    return CompoundId(value) if isinstance(value, dict) else value


def by_value(records: Iterable[Mapping[str, Any]], field: str) -> dict[Any, Mapping[str, Any]]:
    """Return records by the value of a field; a record with a list there appears under each of its items.

    MongoDB matches a list by its items in the same way. Documents and nested lists are left out: no query asks for one.
    """
    by_key: dict[Any, Mapping[str, Any]] = {}
    for record in records:
        value = record[field]
        keys = value if isinstance(value, list) else [value]
        by_key |= {key: record for key in keys if not isinstance(key, (dict, list))}
    return by_key


# ---------------------------------------------------------------------- deliveries


def to_document(delivery: Delivery) -> dict[str, Any]:
    """Return the delivery as the value of `delivery` in its record."""
    return {
        "rev": delivery.rev,
        "state": delivery.state,
        "owner": delivery.owner,
        "claimed_at": delivery.claimed_at,
        "due_at": delivery.due_at,
        "takeovers": delivery.takeovers,
        "running": delivery.running,
        "finished_at": delivery.finished_at,
        "handlers": [_handler_document(handler) for handler in delivery.handlers],
        **delivery.extra,
    }


def _handler_document(handler: HandlerDelivery) -> dict[str, Any]:
    return {
        "id": handler.id,
        "state": handler.state,
        "attempts": handler.attempts,
        "budget_from": handler.budget_from,
        "crashes": handler.crashes,
        "due_at": handler.due_at,
        "finished_at": handler.finished_at,
        "took_ms": handler.took_ms,
        "errors": [failure_document(error) for error in handler.errors],
        "reason": handler.reason,
        "by": handler.by,
        **handler.extra,
    }


def failure_document(error: Failure) -> dict[str, Any]:
    """Return an error as the record keeps it."""
    document = {"type": error.type, "message": error.message, "at": error.at, "attempt": error.attempt}
    if error.where is not None:
        document |= {"where": error.where, "frames": list(error.frames)}
    return document


def from_document(document: Mapping[str, Any]) -> Delivery:
    """Return the delivery of a record; a field that is missing or of another type is null, zero or empty."""
    get = document.get
    entries, state = get("handlers"), get("state")
    listed = entries if isinstance(entries, list) else []
    handlers = tuple([_read_handler(entry) for entry in listed if type(entry) is dict or isinstance(entry, Mapping)])
    return Delivery(
        _count(get("rev")),
        state if state in ("open", "done", "dead") else state_of(handlers),
        _text(get("owner")),
        _time(get("claimed_at")),
        _time(get("due_at")),
        _count(get("takeovers")),
        _text(get("running")),
        _time(get("finished_at")),
        handlers,
        _extra(document, _DELIVERY_KEYS),
    )


def _read_handler(document: Mapping[str, Any]) -> HandlerDelivery:
    get = document.get
    state, took, errors = get("state"), get("took_ms"), get("errors")
    return HandlerDelivery(
        str(get("id", "")),
        state if state in ("pending", "done", "dead", "skipped") else "pending",
        _count(get("attempts")),
        _count(get("budget_from")),
        _count(get("crashes")),
        _time(get("due_at")),
        _time(get("finished_at")),
        took + 0 if isinstance(took, (int, float)) else None,
        _read_errors(errors) if errors else (),
        _text(get("reason")),
        _text(get("by")),
        _extra(document, _HANDLER_KEYS),
    )


def _read_errors(errors: object) -> tuple[Failure, ...]:
    listed = errors if isinstance(errors, list) else []
    return tuple(_read_failure(error) for error in listed if isinstance(error, Mapping))


_DELIVERY_KEYS: Final = {field.name for field in fields(Delivery)} - {"extra"}
_HANDLER_KEYS: Final = {field.name for field in fields(HandlerDelivery)} - {"extra"}


def _extra(document: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Return the keys that this version does not know, to be written back; a later version wrote them."""
    return {name: value for name, value in document.items() if name not in known}


def _read_failure(document: Mapping[str, Any]) -> Failure:
    frames = document.get("frames")
    return Failure(
        str(document.get("type", "")),
        str(document.get("message", "")),
        _time(document.get("at")) or EPOCH,
        _count(document.get("attempt")),
        _text(document.get("where")),
        tuple(str(frame) for frame in frames) if isinstance(frames, list) else (),
    )


def _count(value: object) -> int:
    """Return a count, also from a double, as which mongosh writes whole numbers."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
