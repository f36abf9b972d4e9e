"""Event JSON: a record as one line of ASCII, always with the same keys in the same order.

    event_id event_type timestamp tenant_id actor_id payload causation_id correlation_id delivery
    [trace_context] [redacted]

In payloads strings, booleans, null, 64-bit integers and finite floats are plain; every other value is relaxed Extended
JSON (https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md). Every record has a
line: `read_envelope` and `from_document` define the form of a malformed one. `trace_context` is present where the event
was published in a trace, and `redacted`, `{at, by, reason}`, where the payload was removed on request.

Records must be decoded with `CODEC`, whose naive times cost half as much as aware ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from json import encoder as json_encoder
from math import isfinite
from typing import Any, Final

from bson import json_util
from bson.binary import UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.dbref import DBRef

from craft_easy.core.events.model.delivery import HandlerDelivery
from craft_easy.core.events.model.envelope import ENVELOPE, is_redacted, read_envelope, read_trace_context
from craft_easy.core.events.store.documents import failure_document, from_document, to_document

Record = Mapping[str, Any]

_EXPECTED: Final = frozenset(ENVELOPE)
_KNOWN: Final = _EXPECTED | {"_id", "causation_id", "correlation_id", "trace_context", "delivery"}
_STATES: Final = frozenset({"open", "done", "dead"})
_HANDLER_STATES: Final = frozenset({"pending", "done", "dead", "skipped"})
_EXAMPLE: Final = to_document(from_document({"handlers": [{"errors": [{}]}]}))
_DELIVERY_FIELDS: Final = tuple(_EXAMPLE)
_HANDLER_FIELDS: Final = tuple(_EXAMPLE["handlers"][0])
_ERROR_FIELDS: Final = tuple(_EXAMPLE["handlers"][0]["errors"][0])
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - `CODEC` decodes naive times
_RELAXED: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED, uuid_representation=UuidRepresentation.STANDARD
)


class JavaScript:
    """JavaScript code in a record; the driver's class for it is a string, and JSON would write it as one."""

    __slots__ = ("code",)

    def __init__(self, code: Code) -> None:
        self.code = code

    def __str__(self) -> str:
        return str(self.code)


class _CodeDecoder(TypeDecoder):
    bson_type = Code

    def transform_bson(self, value: Code) -> JavaScript:
        return JavaScript(value)


class _ReferenceDecoder(TypeDecoder):
    """Decodes a DBRef as the object that is stored, which need not be a reference: a JSON schema has `$ref` too."""

    bson_type = DBRef

    def transform_bson(self, value: DBRef) -> dict[str, Any]:
        return dict(value.as_doc())


CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=False,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="backslashreplace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    type_registry=TypeRegistry([_CodeDecoder(), _ReferenceDecoder()]),
)
"""The codec for records that will be written as JSON."""


def lines(records: Iterable[Record]) -> bytes:
    """Return records as NDJSON, each line with its end."""
    text = "\n".join(map(line, records))
    return f"{text}\n".encode("ascii") if text else b""


def line(record: Record) -> str:
    """Return a record as Event JSON in one line, without the line's end."""
    return _usual_line(record) or _any_line(record)


def event_json(record: Record) -> dict[str, Any]:
    """Return a record as Event JSON, parsed into dicts, lists and plain values."""
    parsed: dict[str, Any] = json.loads(line(record))
    return parsed


def to_json(value: Any) -> str:
    """Return a value of a payload as JSON in one line."""
    try:
        return _encode(value)
    except ValueError:  # a float that is not finite
        return _encode(_plain(value))


def text_of(moment: datetime) -> str:
    """Return a time in the form of Event JSON; a naive one is UTC.

    >>> text_of(datetime(2026, 1, 31, 10, tzinfo=UTC))
    '2026-01-31T10:00:00.000Z'
    """
    utc = moment if moment.tzinfo is None or moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{utc.isoformat('T', 'milliseconds')[:23]}Z"


def _usual_line(record: Record) -> str | None:
    """Return the line of a record in the form that this package writes; None for any other record.

    Formatting is the check of types: a value of another type cannot be formatted, and raises.
    """
    if not _is_usual(tuple(record)):
        return None
    timestamp, payload, delivery = record["timestamp"], record["payload"], record.get("delivery")
    tenant_id, actor_id = record["tenant_id"], record["actor_id"]
    causation_id, correlation_id = record.get("causation_id"), record.get("correlation_id")
    try:
        if timestamp.tzinfo is not None or type(payload) is not dict:
            return None
        return (
            f'{{"event_id":{_quoted(record["event_id"])},"event_type":{_quoted(record["event_type"])},'
            f'"timestamp":"{timestamp.isoformat("T", "milliseconds")}Z",'
            f'"tenant_id":{"null" if tenant_id is None else _quoted(tenant_id)},'
            f'"actor_id":{"null" if actor_id is None else _quoted(actor_id)},'
            f'"payload":{to_json(payload)},'
            f'"causation_id":{"null" if causation_id is None else _quoted(causation_id)},'
            f'"correlation_id":{"null" if correlation_id is None else _quoted(correlation_id)},'
            f'"delivery":{"null" if delivery is None else _usual_delivery(delivery)}'
            f"{_usual_trace_context(record.get('trace_context'))}}}"
        )
    except (TypeError, ValueError, AttributeError):
        return None


def _usual_trace_context(value: object) -> str:
    trace_context = read_trace_context(value)
    return "" if trace_context is None else f',"trace_context":{to_json(trace_context)}'


@lru_cache(256)
def _is_usual(names: tuple[str, ...]) -> bool:
    return _EXPECTED <= set(names) <= _KNOWN


def _usual_delivery(document: dict[str, Any]) -> str:
    if tuple(document) != _DELIVERY_FIELDS:
        raise ValueError
    _rev, state, owner, claimed_at, due_at, takeovers, _running, finished_at, handlers = document.values()
    if state not in _STATES:
        raise ValueError
    return (
        f'{{"state":"{state}","owner":{"null" if owner is None else _quoted(owner)},'
        f'"claimed_at":{_time_json(claimed_at)},"due_at":{_time_json(due_at)},"takeovers":{takeovers:d},'
        f'"finished_at":{_time_json(finished_at)},"handlers":[{",".join(map(_usual_handler, handlers))}]}}'
    )


def _usual_handler(document: dict[str, Any]) -> str:
    if tuple(document) != _HANDLER_FIELDS:
        raise ValueError
    handler_id, state, attempts, budget, crashes, due_at, finished_at, took_ms, errors, reason, by = document.values()
    if state not in _HANDLER_STATES or not (took_ms is None or isfinite(took_ms)):
        raise ValueError
    # adding 0 turns a boolean into an integer
    return (
        f'{{"id":{_quoted(handler_id)},"state":"{state}","attempts":{attempts:d},"budget_from":{budget:d},'
        f'"crashes":{crashes:d},"due_at":{_time_json(due_at)},"finished_at":{_time_json(finished_at)},'
        f'"took_ms":{"null" if took_ms is None else took_ms + 0},"errors":[{",".join(map(_usual_error, errors))}],'
        f'"reason":{"null" if reason is None else _quoted(reason)},"by":{"null" if by is None else _quoted(by)}}}'
    )


def _usual_error(document: dict[str, Any]) -> str:
    if tuple(document) != _ERROR_FIELDS:
        raise ValueError
    kind, message, at, attempt = document.values()
    return f'{{"type":{_quoted(kind)},"message":{_quoted(message)},"at":"{text_of(at)}","attempt":{attempt:d}}}'


@lru_cache(4096)  # many records of a page share their times
def _time_json(moment: datetime | None) -> str:
    return "null" if moment is None else f'"{text_of(moment)}"'


def _any_line(record: Record) -> str:
    envelope = read_envelope(record)
    fields: dict[str, Any] = {
        "event_id": envelope.event_id,
        "event_type": envelope.event_type,
        "timestamp": text_of(envelope.timestamp),
        "tenant_id": envelope.tenant_id,
        "actor_id": envelope.actor_id,
        "payload": envelope.payload,
        "causation_id": envelope.causation_id,
        "correlation_id": envelope.correlation_id,
        "delivery": _delivery(record.get("delivery")),
    }
    if envelope.trace_context is not None:
        fields["trace_context"] = envelope.trace_context
    if is_redacted(record):
        fields["redacted"] = _redaction(record["redacted"])
    return to_json(fields)


def _delivery(value: Any) -> dict[str, Any] | None:
    """Return the delivery of a record with times as text; a field of another type is null, zero or empty."""
    if not isinstance(value, Mapping):
        return None
    delivery = from_document(value)
    return {
        "state": delivery.state,
        "owner": delivery.owner,
        "claimed_at": _time(delivery.claimed_at),
        "due_at": _time(delivery.due_at),
        "takeovers": delivery.takeovers,
        "finished_at": _time(delivery.finished_at),
        "handlers": [_handler(handler) for handler in delivery.handlers],
    }


def _handler(handler: HandlerDelivery) -> dict[str, Any]:
    return {
        "id": handler.id,
        "state": handler.state,
        "attempts": handler.attempts,
        "budget_from": handler.budget_from,
        "crashes": handler.crashes,
        "due_at": _time(handler.due_at),
        "finished_at": _time(handler.finished_at),
        "took_ms": handler.took_ms,
        "errors": [{**failure_document(error), "at": _time(error.at)} for error in handler.errors],
        "reason": handler.reason,
        "by": handler.by,
        **handler.extra,
    }


@lru_cache(4096)  # many records of a page share their times
def _time(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)


def _redaction(redaction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the note on a removed payload, with its time as text."""
    return {"at": text_of(redaction["at"]), "by": redaction.get("by"), "reason": redaction.get("reason")}


def _plain(value: Any) -> Any:
    """Return a value as plain dicts, lists, strings, booleans and finite numbers."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if isfinite(value) else json_util.default(value, _RELAXED)
    if value is None or isinstance(value, (str, int)):
        return value
    return _plain(_extended(value))


def _extended(value: Any) -> Any:
    """Return relaxed Extended JSON for a value that JSON has no form for."""
    if isinstance(value, datetime) and value.tzinfo is None and value >= _EPOCH:
        # the specification omits a fraction of zero
        return {"$date": value.isoformat("T", "milliseconds" if value.microsecond else "seconds") + "Z"}
    if isinstance(value, JavaScript):
        return json_util.default(value.code, _RELAXED)
    if isinstance(value, Decimal):
        return {"$numberDecimal": str(value)}
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return json_util.default(value, _RELAXED)
    except TypeError:
        return str(value)  # mongomock stores values that BSON has no type for


_quoted: Final = json_encoder.encode_basestring_ascii
_encode: Final = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, default=_extended
).encode
"""Return a value as JSON in one line; raises ValueError for a float that is not finite."""
