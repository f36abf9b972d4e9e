"""The record: how an event and its delivery become one, its derived `_id`, and when two say the same."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
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
from craft_easy.core.events.model.envelope import is_redacted, read_envelope
from craft_easy.core.events.model.event import DomainEvent, class_name, origin_of, stored_payload
from craft_easy.core.events.model.retry import ErrorText
from craft_easy.core.events.store.encoding import CODEC, canonical, encoded, stored_form
from craft_easy.core.events.store.indexes import INDEXES

_H: Final = "[0-9a-fA-F]"
_is_uuid7: Final = re.compile(f"{_H}{{8}}-{_H}{{4}}-7{_H}{{3}}-[89abAB]{_H}{{3}}-{_H}{{12}}").fullmatch
_ID_SECONDS: Final = 2**32
_log: Final = logging.getLogger("craft_easy.core.events")
_warned: Final[set[str]] = set()
"""The classes whose changes have been named."""
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
    record["payload"] = _payload_of(event)
    record["timestamp"] = stored_form(event.timestamp, "timestamp")
    origin = origin_of(event)
    if origin.causation_id is not None:
        record["causation_id"] = stored_form(origin.causation_id, "causation_id")
    if origin.correlation_id is not None:
        record["correlation_id"] = stored_form(origin.correlation_id, "correlation_id")
    if delivery is not None:
        record["delivery"] = delivery
    return record


def _payload_of(event: DomainEvent) -> dict[str, Any]:
    try:
        payload = stored_payload(event)
    except Exception as error:
        stored_form(event.payload)  # raises what names the place of a cycle, or of too many levels
        raise InvalidEvent("payload", f"a field cannot be serialized: {ErrorText.of(error).message}") from error
    stored: dict[str, Any] = stored_form(payload)
    return stored


def stored_event(event: DomainEvent) -> tuple[dict[str, Any], DomainEvent]:
    """Return the record of an event, and the event as the log gives it back: with a store, what runs is what is stored.

    Each class whose field values change on this trip is named in one warning: a validator that is not idempotent, a
    generic that comes back as a dict, a set in a payload that comes back as a list.

    Raises:
        InvalidEvent: the log could not keep the event exactly, or it does not come back as its own class: a field that
            is excluded and required, a field that cannot be validated again, a class that states no type of its own.
    """
    record = unmeasured_record(event)
    stored: dict[str, Any] = bson.decode(encoded(record), CODEC)
    back = DomainEvent.from_record(stored)
    _check_class(event, back)
    _warn_of_changes(event, back)
    return record, back


def _check_class(event: DomainEvent, back: DomainEvent) -> None:
    own = class_name(type(event))
    if own not in (class_name(type(back)), class_name(DomainEvent)):
        raise InvalidEvent(
            "payload",
            f"{own} comes back from the log as {class_name(type(back))}: each of its fields must be stored and must "
            "validate again from its stored form, and the class must state an event_type of its own",
        )


def _warn_of_changes(event: DomainEvent, back: DomainEvent) -> None:
    before, after = _values_of(event), _values_of(back)
    changed = [name for name, value in before.items() if not (name in after and _is_equal(value, after[name]))]
    own = class_name(type(event))
    if changed and own not in _warned:
        _warned.add(own)
        text = "%s: %s change on the way through the log; handlers get them as the log gives them back"
        _log.warning(text, own, ", ".join(sorted(changed)))


def _values_of(event: DomainEvent) -> dict[str, Any]:
    return event.payload | {name: getattr(event, name) for name in event.__own_fields__}


def _is_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # an array has no single truth
        return False


def event_content(event: DomainEvent) -> bytes:
    """Return bytes that are equal for events that say the same, whatever their id and time.

    Raises:
        InvalidEvent: the log could not keep it exactly.
    """
    return canonical([event.event_type, event.tenant_id, event.actor_id, _payload_of(event)])


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


class CompoundId(dict[str, Any]):
    """An `_id` that is a document: here it is a key like any other."""

    def __hash__(self) -> int:  # type: ignore[override]  # nobody changes an `_id`
        return hash(tuple(self))


def key_of(document: Mapping[str, Any]) -> Any:
    """Return the `_id` of a decoded record, hashable and equal to that of the same record alone."""
    value = document["_id"]
    return CompoundId(value) if isinstance(value, dict) else value


def by_value(records: Iterable[Mapping[str, Any]], field: str) -> dict[Any, Mapping[str, Any]]:
    """Return records by what they have in a field, by each of its values where another writer has a list there.

    So does the server look them up; documents are not among what it is asked for.
    """
    found: dict[Any, Mapping[str, Any]] = {}
    for record in records:
        value = record[field]
        values = value if isinstance(value, list) else [value]
        found |= {one: record for one in values if not isinstance(one, (dict, list))}
    return found


# ---------------------------------------------------------------------- deliveries


def to_document(delivery: Delivery) -> dict[str, Any]:
    """Return the delivery as the record keeps it under `delivery`, keys in the order of the design."""
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
    """Read what a record says under `delivery`; a field that is missing or unfit is null, zero or empty."""
    get = document.get
    entries, state = get("handlers"), get("state")
    listed = entries if isinstance(entries, list) else []
    handlers = tuple([_read_handler(one) for one in listed if type(one) is dict or isinstance(one, Mapping)])
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
    return tuple(_read_failure(one) for one in errors if isinstance(one, Mapping)) if isinstance(errors, list) else ()


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


_DELIVERY_KEYS: Final = {field.name for field in fields(Delivery)} - {"extra"}
_HANDLER_KEYS: Final = {field.name for field in fields(HandlerDelivery)} - {"extra"}


def _extra(document: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Return what a later version wrote that this one does not know."""
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
    """Read a count; a shell writes even whole numbers as doubles."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
