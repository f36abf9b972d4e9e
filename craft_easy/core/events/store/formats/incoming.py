"""A line of NDJSON as the record that it is to become, checked before anything is written.

Two forms are read, told apart by how `timestamp` is written:

    text                    Event JSON, as `replay` and `tail` write it; what it leaves out is null, or empty
    {"$date": …}            a record in Extended JSON, as `export` and `mongoexport` write it; kept as it is

`_id` is never taken over: it follows from `event_id`. Of a delivery only what a handler has come to is, and only on
request: no worker of another log owns anything here, and what follows from the handlers is derived anew.
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
from craft_easy.core.events.model.envelope import ENVELOPE, read_envelope
from craft_easy.core.events.model.event import DomainEvent, new_event_id
from craft_easy.core.events.store.documents import EPOCH, from_document, record_id, to_document
from craft_easy.core.events.store.encoding import CODEC, encoded, stored_form
from craft_easy.core.events.store.formats.event_json import text_of
from craft_easy.core.events.store.formats.extended_json import parse_time

Record = Mapping[str, Any]

_MAX_REV: Final = 2**53
_EXAMPLE: Final = to_document(from_document({"handlers": [{"errors": [{}]}]}))
_OF_DELIVERY: Final = frozenset(_EXAMPLE)
_OF_HANDLER: Final = frozenset(_EXAMPLE["handlers"][0])
_OF_ERROR: Final = frozenset({*_EXAMPLE["handlers"][0]["errors"][0], "where", "frames"})
_OF_EVENT_JSON: Final = frozenset({*ENVELOPE, "causation_id", "correlation_id", "delivery", "redacted", "foreign"})
"""The keys of Event JSON; version 1 wrote `foreign` as well."""
_STATES: Final = ("pending", "done", "dead", "skipped")
_OTHER_IDS: Final = (ObjectId, UUID, int)
"""What other writers keep ids as, beside text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How lines are read.

    Args:
        at: the database's time, for what is derived anew.
        with_delivery: take over what became of an event; else it is stored untracked.
    """

    at: datetime
    with_delivery: bool = False


def record_of(line: Any, reading: Reading) -> dict[str, Any]:
    """Return the record of a line that was parsed as Extended JSON.

    Raises:
        InvalidEvent: it is no event, or the log could not keep it exactly; the path says which part of it.
    """
    if not isinstance(line, dict):
        is_array = isinstance(line, list)
        raise InvalidEvent(
            "line", "an event is an object" + (", not an array (jq -c '.[]' makes lines of one)" if is_array else "")
        )
    record = _from_event_json(line) if isinstance(line.get("timestamp"), str) else _from_extended_json(line)
    if reading.with_delivery and record.get("delivery") is not None:
        is_text = isinstance(line["timestamp"], str)
        record["delivery"] = to_document(take_in(_Reader(is_text).delivery(record["delivery"]), at=reading.at))
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
    if (trace := line.get("redacted")) is not None:
        record["redacted"] = _trace(trace)
    return record


def _trace(trace: Any) -> dict[str, Any]:
    """Return what says that the payload was removed, its time as a date."""
    if not isinstance(trace, dict) or not isinstance(trace.get("at"), str):
        raise InvalidEvent("redacted", "is no object of at, by and reason")
    return {**stored_form(trace, "redacted"), "at": _moment("redacted.at", trace["at"])}


def _from_extended_json(line: Mapping[str, Any]) -> dict[str, Any]:
    record = {name: value for name, value in line.items() if name != "_id"}
    _id(record, "event_id", is_required=True)
    _text(record, "event_type", is_required=True)
    for name in ("tenant_id", "actor_id", "causation_id", "correlation_id"):
        _id(record, name)
    if "payload" in record:
        _payload(record, None)
    if not isinstance(record.get("timestamp"), (datetime, DatetimeMS)):
        raise InvalidEvent("timestamp", "is missing" if record.get("timestamp") is None else "is no time")
    stored_form(dict.fromkeys(record), "line")  # the keys themselves
    return {name: _stored(name, value) for name, value in record.items()}


def _stored(name: str, value: Any) -> Any:
    # what stands under `delivery` is read by a reader of its own, whose levels are few
    return value if name == "delivery" else stored_form(value, _shown(name))


def _text(line: Mapping[str, Any], name: str, *, is_required: bool = False) -> str | None:
    value = line.get(name)
    if value is None and not is_required:
        return None
    if not isinstance(value, str) or not (value or not is_required):
        raise InvalidEvent(name, _what_is_wrong(value, "no text"))
    stored: str = stored_form(value, name)
    return stored


def _id(line: Mapping[str, Any], name: str, *, is_required: bool = False) -> None:
    value = line.get(name)
    if isinstance(value, _OTHER_IDS) and not isinstance(value, bool):
        return
    _text(line, name, is_required=is_required)


def _what_is_wrong(value: object, otherwise: str) -> str:
    if value is None:
        return "is missing"
    return "is empty" if value == "" else f"is {otherwise} but {_article(value)}"


def _article(value: object) -> str:
    names = {dict: "an object", list: "an array", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), f"of type {type(value).__name__}")


def _payload(line: Mapping[str, Any], otherwise: Any) -> Any:
    value = line.get("payload", otherwise)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, dict):
        raise InvalidEvent("payload", _what_is_wrong(value, "no object"))
    return stored_form(value)


def _moment(path: str, value: Any) -> datetime:
    try:
        return parse_time(value)
    except InvalidEvent as error:
        raise InvalidEvent(path, error.reason) from None


def _shown(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:80]


class _Reader:
    """Reads a delivery strictly: a key that is not known here is kept, a value that does not fit is refused.

    Args:
        has_text_times: times are written as Event JSON has them.
    """

    def __init__(self, has_text_times: bool) -> None:  # noqa: FBT001 - the one thing that it is told
        self._has_text_times = has_text_times

    def delivery(self, document: Any) -> Delivery:
        path = "delivery"
        extra = _unknown(document, path, _OF_DELIVERY)
        entries = document.get("handlers", [])
        if not isinstance(entries, list):
            raise InvalidEvent(f"{path}.handlers", _what_is_wrong(entries, "no array"))
        handlers = tuple(self._handler(one, f"{path}.handlers.{index}") for index, one in enumerate(entries))
        if len({one.id for one in handlers}) != len(handlers):
            raise InvalidEvent(f"{path}.handlers", "one handler stands in it twice")
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
            raise InvalidEvent(f"{path}.state", f"is none of {', '.join(_STATES)}")
        errors = document.get("errors", [])
        if not isinstance(errors, list):
            raise InvalidEvent(f"{path}.errors", _what_is_wrong(errors, "no array"))
        handler_id = _any_text(document, "id", path)
        if not handler_id:
            raise InvalidEvent(f"{path}.id", _what_is_wrong(handler_id, "no text"))
        return HandlerDelivery(
            id=handler_id,
            state=document["state"],
            attempts=_count(document, "attempts", path),
            budget_from=_count(document, "budget_from", path),
            crashes=_count(document, "crashes", path),
            due_at=self._time(document, "due_at", path),
            finished_at=self._time(document, "finished_at", path),
            took_ms=_duration(document, path),
            errors=tuple(self._error(one, f"{path}.errors.{index}") for index, one in enumerate(errors)),
            reason=_any_text(document, "reason", path),
            by=_any_text(document, "by", path),
            extra=extra,
        )

    def _error(self, document: Any, path: str) -> Failure:
        if unknown := _unknown(document, path, _OF_ERROR):
            raise InvalidEvent(f"{path}.{_shown(next(iter(unknown)))}", "is not known here")
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
        raise InvalidEvent(f"{path}.{name}", _what_is_wrong(value, "no time"))


def _unknown(document: Any, path: str, known: frozenset[str]) -> dict[str, Any]:
    """Return what an object holds that this version does not know; it is kept."""
    if not isinstance(document, dict):
        raise InvalidEvent(path, _what_is_wrong(document, "no object"))
    unknown = {name: value for name, value in document.items() if name not in known}
    stored: dict[str, Any] = stored_form(unknown, path)
    return stored


def _any_text(document: Mapping[str, Any], name: str, path: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidEvent(f"{path}.{name}", _what_is_wrong(value, "no text"))
    text: str | None = stored_form(value, f"{path}.{name}")
    return text


def _count(document: Mapping[str, Any], name: str, path: str) -> int:
    value = document.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_REV:
        raise InvalidEvent(f"{path}.{name}", "is no count")
    return value


def _duration(document: Mapping[str, Any], path: str) -> float | None:
    value = document.get("took_ms")
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
        raise InvalidEvent(f"{path}.took_ms", "is no number of milliseconds")
    return value


# ---------------------------------------------------------------------- events that are new


def new_event(line: Any, *, at: datetime) -> DomainEvent:
    """Return the event of a line of Event JSON that is about to be published.

    Its id and its time may be left out; what became of it elsewhere is no part of it. It holds what it would hold after
    a trip through the log.

    Args:
        line: as it was parsed.
        at: its time, where it says none.

    Raises:
        InvalidEvent: it is no event, or the log could not keep it exactly.
    """
    if isinstance(line, dict):
        timestamp = line.get("timestamp")
        if timestamp is not None and not isinstance(timestamp, str):
            raise InvalidEvent("timestamp", _what_is_wrong(timestamp, "no text"))
        line = {**line, "timestamp": text_of(at) if timestamp is None else timestamp, "delivery": None}
        if line.get("event_id") is None:
            line["event_id"] = new_event_id()
    record = record_of(line, Reading(at))
    stored: dict[str, Any] = bson.decode(encoded(record), CODEC)
    return DomainEvent.from_record(stored)
