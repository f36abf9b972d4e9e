"""The records of imported lines and the events of published ones, checked before anything is written.

A line has one of two forms, which `timestamp` tells apart:

    text                    Event JSON, as `replay` and `tail` write it; a missing field is null or empty
    {"$date": …}            a record in Extended JSON, as `export` and `mongoexport` write it; stored as it is

The `_id` of a line is dropped, because it follows from `event_id`. Deliveries are imported on request only. Their
results are kept, their owner is dropped (no worker of another log owns a record in this one), and the fields that
follow from the results are computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Final
from uuid import UUID

import bson
from bson import DatetimeMS, ObjectId

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery, state_of, take_in
from craft_easy.core.events.model.envelope import ENVELOPE, EPOCH, read_envelope, read_trace_context
from craft_easy.core.events.model.event import DomainEvent, new_event_id
from craft_easy.core.events.store.documents import from_document, record_id, to_document
from craft_easy.core.events.store.encoding import CODEC, encoded, stored_form
from craft_easy.core.events.store.formats.event_json import text_of
from craft_easy.core.events.store.formats.extended_json import parse_time

Record = Mapping[str, Any]

_MAX_REV: Final = 2**53
_EXAMPLE: Final = to_document(from_document({"handlers": [{"errors": [{}]}]}))
_OF_DELIVERY: Final = frozenset(_EXAMPLE)
_OF_HANDLER: Final = frozenset(_EXAMPLE["handlers"][0])
_OF_ERROR: Final = frozenset({*_EXAMPLE["handlers"][0]["errors"][0], "where", "frames"})
_OF_EVENT_JSON: Final = frozenset(
    {*ENVELOPE, "causation_id", "correlation_id", "delivery", "trace_context", "redacted", "foreign"}
)
"""The keys of Event JSON; version 1 wrote `foreign` as well."""
_STATES: Final = ("pending", "done", "dead", "skipped")
_OTHER_IDS: Final = (ObjectId, UUID, int)
"""The types of ids, besides text, that other programs store."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The options of reading lines.

    Args:
        at: the database's time, for the fields of a delivery that are computed again.
        with_delivery: keep the results of deliveries; otherwise events become untracked records.
    """

    at: datetime
    with_delivery: bool = False


def record_of(line: Any, reading: Reading) -> dict[str, Any]:
    """Return the record of a line that was parsed as Extended JSON.

    Raises:
        InvalidEvent: the line is not an event, or the log could not keep it exactly; `path` names the part at fault.
    """
    if not isinstance(line, dict):
        is_array = isinstance(line, list)
        raise InvalidEvent(
            "line", "an event is an object" + (", not an array (jq -c '.[]' makes lines of one)" if is_array else "")
        )
    record = _from_event_json(line) if isinstance(line.get("timestamp"), str) else _from_extended_json(line)
    if reading.with_delivery and record.get("delivery") is not None:
        is_text = isinstance(line["timestamp"], str)
        record["delivery"] = to_document(
            take_in(_DeliveryReader(has_text_times=is_text).delivery(record["delivery"]), at=reading.at)
        )
    elif not reading.with_delivery:
        record.pop("delivery", None)
    record = {"_id": record_id(read_envelope(record).event_id), **record}
    encoded(record)
    return record


def _from_event_json(line: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := [name for name in line if name not in _OF_EVENT_JSON and name != "_id"]:
        raise InvalidEvent(_shown(unknown[0]), "Event JSON has no such key")
    record: dict[str, Any] = {name: _text(line, name, is_required=True) for name in ("event_id", "event_type")}
    record |= {name: _text(line, name) for name in ("tenant_id", "actor_id")}
    record["payload"] = _payload(line, {})
    record["timestamp"] = _moment("timestamp", line["timestamp"])
    record |= {name: _text(line, name) for name in ("causation_id", "correlation_id") if line.get(name) is not None}
    if line.get("delivery") is not None:
        record["delivery"] = line["delivery"]
    if (trace_context := line.get("trace_context")) is not None:
        record["trace_context"] = _trace_context(trace_context)
    if (redaction := line.get("redacted")) is not None:
        record["redacted"] = _redaction(redaction)
    return record


def _trace_context(value: Any) -> dict[str, Any]:
    trace_context = read_trace_context(value)
    if trace_context is None:
        raise InvalidEvent("trace_context", "is not an object of texts")
    stored: dict[str, Any] = stored_form(trace_context, "trace_context")
    return stored


def _redaction(redaction: Any) -> dict[str, Any]:
    """Return the note on a removed payload, with its time as a datetime."""
    if not isinstance(redaction, dict) or not isinstance(redaction.get("at"), str):
        raise InvalidEvent("redacted", "is not an object of at, by and reason")
    return {**stored_form(redaction, "redacted"), "at": _moment("redacted.at", redaction["at"])}


def _from_extended_json(line: Mapping[str, Any]) -> dict[str, Any]:
    record = {name: value for name, value in line.items() if name != "_id"}
    _id(record, "event_id", is_required=True)
    _text(record, "event_type", is_required=True)
    for name in ("tenant_id", "actor_id", "causation_id", "correlation_id"):
        _id(record, name)
    if "payload" in record:
        _payload(record, None)
    if not isinstance(record.get("timestamp"), (datetime, DatetimeMS)):
        raise InvalidEvent("timestamp", "is missing" if record.get("timestamp") is None else "is not a time")
    stored_form(dict.fromkeys(record), "line")  # the keys themselves
    return {name: _stored(name, value) for name, value in record.items()}


def _stored(name: str, value: Any) -> Any:
    # `_DeliveryReader` checks `delivery`, and only where deliveries are imported
    return value if name == "delivery" else stored_form(value, _shown(name))


def _text(line: Mapping[str, Any], name: str, *, is_required: bool = False) -> str | None:
    value = line.get(name)
    if value is None and not is_required:
        return None
    if not isinstance(value, str) or not (value or not is_required):
        raise InvalidEvent(name, _reason(value, "text"))
    stored: str = stored_form(value, name)
    return stored


def _id(line: Mapping[str, Any], name: str, *, is_required: bool = False) -> None:
    value = line.get(name)
    if isinstance(value, _OTHER_IDS) and not isinstance(value, bool):
        return
    _text(line, name, is_required=is_required)


def _reason(value: object, expected: str) -> str:
    if value is None:
        return "is missing"
    return "is empty" if value == "" else f"is not {expected} but {_kind(value)}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), f"of type {type(value).__name__}")


def _payload(line: Mapping[str, Any], default: Any) -> Any:
    value = line.get("payload", default)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise InvalidEvent("payload", _reason(value, "an object"))
    return stored_form(value)


def _moment(path: str, value: Any) -> datetime:
    try:
        return parse_time(value)
    except InvalidEvent as error:
        raise InvalidEvent(path, error.reason) from None


def _shown(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:80]


class _DeliveryReader:
    """Reads a delivery strictly: a key that this version does not know is kept, a value of another type is refused.

    Args:
        has_text_times: times are text, as in Event JSON.
    """

    def __init__(self, *, has_text_times: bool) -> None:
        self._has_text_times = has_text_times

    def delivery(self, document: Any) -> Delivery:
        path = "delivery"
        extra = _unknown(document, path, _OF_DELIVERY)
        entries = document.get("handlers", [])
        if not isinstance(entries, list):
            raise InvalidEvent(f"{path}.handlers", _reason(entries, "an array"))
        handlers = tuple(self._handler(entry, f"{path}.handlers.{index}") for index, entry in enumerate(entries))
        if len({handler.id for handler in handlers}) != len(handlers):
            raise InvalidEvent(f"{path}.handlers", "lists a handler twice")
        state = document.get("state")
        return Delivery(
            rev=_count(document, "rev", path),
            state=state if state in ("open", "done", "dead") else state_of(handlers),
            owner=_any_text(document, "owner", path),
            claimed_at=self._time(document, "claimed_at", path),
            due_at=self._time(document, "due_at", path),
            takeovers=_count(document, "takeovers", path),
            running=_any_text(document, "running", path),
            finished_at=self._time(document, "finished_at", path),
            handlers=handlers,
            extra=extra,
        )

    def _handler(self, document: Any, path: str) -> HandlerDelivery:
        extra = _unknown(document, path, _OF_HANDLER)
        if document.get("state") not in _STATES:
            raise InvalidEvent(f"{path}.state", f"is not one of {', '.join(_STATES)}")
        errors = document.get("errors", [])
        if not isinstance(errors, list):
            raise InvalidEvent(f"{path}.errors", _reason(errors, "an array"))
        handler_id = _any_text(document, "id", path)
        if not handler_id:
            raise InvalidEvent(f"{path}.id", _reason(handler_id, "text"))
        return HandlerDelivery(
            id=handler_id,
            state=document["state"],
            attempts=_count(document, "attempts", path),
            budget_from=_count(document, "budget_from", path),
            crashes=_count(document, "crashes", path),
            due_at=self._time(document, "due_at", path),
            finished_at=self._time(document, "finished_at", path),
            took_ms=_duration(document, path),
            errors=tuple(self._error(error, f"{path}.errors.{index}") for index, error in enumerate(errors)),
            reason=_any_text(document, "reason", path),
            by=_any_text(document, "by", path),
            extra=extra,
        )

    def _error(self, document: Any, path: str) -> Failure:
        if unknown := _unknown(document, path, _OF_ERROR):
            raise InvalidEvent(f"{path}.{_shown(next(iter(unknown)))}", "is not a key of an error")
        frames = document.get("frames") or []
        if not isinstance(frames, list) or not all(isinstance(frame, str) for frame in frames):
            raise InvalidEvent(f"{path}.frames", "is not an array of texts")
        return Failure(
            _any_text(document, "type", path) or "",
            _any_text(document, "message", path) or "",
            self._time(document, "at", path) or EPOCH,
            _count(document, "attempt", path),
            _any_text(document, "where", path),
            tuple(stored_form(frames, f"{path}.frames")),
        )

    def _time(self, document: Mapping[str, Any], name: str, path: str) -> datetime | None:
        value = document.get(name)
        if value is None or (isinstance(value, datetime) and not self._has_text_times):
            return value
        if isinstance(value, str) and self._has_text_times:
            return _moment(f"{path}.{name}", value)
        raise InvalidEvent(f"{path}.{name}", _reason(value, "a time"))


def _unknown(document: Any, path: str, known: frozenset[str]) -> dict[str, Any]:
    """Return the keys of an object that this version does not know, which are kept."""
    if not isinstance(document, dict):
        raise InvalidEvent(path, _reason(document, "an object"))
    unknown = {name: value for name, value in document.items() if name not in known}
    stored: dict[str, Any] = stored_form(unknown, path)
    return stored


def _any_text(document: Mapping[str, Any], name: str, path: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidEvent(f"{path}.{name}", _reason(value, "text"))
    text: str | None = stored_form(value, f"{path}.{name}")
    return text


def _count(document: Mapping[str, Any], name: str, path: str) -> int:
    value = document.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_REV:
        raise InvalidEvent(f"{path}.{name}", "is not a count")
    return value


def _duration(document: Mapping[str, Any], path: str) -> float | None:
    value = document.get("took_ms")
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
        raise InvalidEvent(f"{path}.took_ms", "is not a number of milliseconds")
    return value


# ---------------------------------------------------------------------- new events


def new_event(line: Any, *, at: datetime) -> DomainEvent:
    """Return the event of a line of Event JSON that is about to be published.

    The line may omit the id and the time, and its `delivery` is ignored. The event is read back from its record, as one
    from the log would be.

    Args:
        line: the parsed line.
        at: the time of the event where the line has none.

    Raises:
        InvalidEvent: the line is not an event, or the log could not keep it exactly.
    """
    if isinstance(line, dict):
        timestamp = line.get("timestamp")
        if timestamp is not None and not isinstance(timestamp, str):
            raise InvalidEvent("timestamp", _reason(timestamp, "text"))
        line = {**line, "timestamp": text_of(at) if timestamp is None else timestamp, "delivery": None}
        if line.get("event_id") is None:
            line["event_id"] = new_event_id()
    record = record_of(line, Reading(at))
    stored: dict[str, Any] = bson.decode(encoded(record), CODEC)
    return DomainEvent.from_record(stored)
