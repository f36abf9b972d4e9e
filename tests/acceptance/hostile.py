"""Records that this package never writes: records of other programs, and of their bugs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

AT: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)
HANDLER: Final = "hostile:handle"
NAN: Final = float("nan")
CODEC: Final = CodecOptions[dict[str, Any]](uuid_representation=UuidRepresentation.STANDARD)
CONTROL: Final = "\x00\x1b[31m\x1b]52;c;aGk=\x07\x7f\x9b2J\u202e\u2028\u2029\ufeff[red]x[/bold]\r\n\t"


def _delivery(**fields: Any) -> dict[str, Any]:
    entry = {"id": HANDLER, "state": "done", "attempts": 1, "finished_at": AT, "errors": []}
    return {"rev": 1, "state": "done", "owner": None, "finished_at": AT, "handlers": [entry]} | fields


def _entry(**fields: Any) -> dict[str, Any]:
    state = fields.get("state", "dead")
    return _delivery(state="dead", handlers=[{"id": HANDLER, "state": "dead", "attempts": 20} | fields]) | (
        {"state": "open", "finished_at": None} if state == "pending" else {}
    )


def _text(number: int) -> str:
    return f"\x1b[3{number}m{CONTROL}"


RECORDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "valid": {"delivery": _delivery()},
    "no event fields": dict.fromkeys(("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload"), ...),
    # payloads
    "payload: a list": {"payload": [1, {"a": [None]}]},
    "payload: a text": {"payload": "x"},
    "payload: null": {"payload": None},
    "payload: not a number": {"payload": NAN},
    "payload: every type of BSON": {
        "payload": {
            "code": bson.Code("x", {"a": NAN}),
            "ref": bson.DBRef("c", NAN),
            "max": bson.MaxKey(),
            "min": bson.MinKey(),
            "pattern": bson.Regex(CONTROL.replace("\0", ""), "im"),
            "stamp": bson.Timestamp(2**32 - 1, 0),
            "bytes": bson.Binary(bytes(range(256)), 128),
            "far": bson.DatetimeMS(2**63 - 1),
            "decimal": bson.Decimal128("sNaN"),
            "numbers": [NAN, float("inf"), -0.0, 2**63 - 1, -(2**63)],
        }
    },
    "payload: an object like Extended JSON": {"payload": {"$date": "x", "$oid": [], "$numberLong": NAN}},
    "payload: control characters": {"payload": {_text(1).replace("\0", ""): _text(2), "": {"": CONTROL}}},
    "payload: 1 MB in one text": {"payload": {"text": "\u202e" * 350_000}},
    # times
    "timestamp: a text": {"timestamp": "yesterday"},
    "timestamp: a number": {"timestamp": 1_769_853_600},
    "timestamp: not a number": {"timestamp": NAN},
    "timestamp: an object": {"timestamp": {"$date": "x"}},
    "timestamp: a list": {"timestamp": [AT, "x"]},
    "timestamp: true": {"timestamp": True},
    "timestamp: past all years": {"timestamp": bson.DatetimeMS(2**62)},
    "timestamp: before all years": {"timestamp": bson.DatetimeMS(-(2**62))},
    "timestamp: an ObjectId": {"timestamp": bson.ObjectId("65ba1f2e" + "0" * 16)},
    # ids, types, tenants, actors
    "_id: an object": {"_id": {"a": {"b": [1]}}},
    "_id: another object": {"_id": {"a": {"b": [2]}}, "event_id": ...},
    "_id: not a number": {"_id": NAN, "event_id": ...},
    "_id: empty": {"_id": "", "event_id": ...},
    "_id: control characters": {"_id": CONTROL, "event_id": ...},
    "event_id: an object": {"event_id": {"a": CONTROL}},
    "event_id: a list": {"event_id": ["x", 7]},
    "event_id: null": {"event_id": None},
    "event_id: empty": {"event_id": ""},
    "event_id: a number": {"event_id": 7},
    "event_id: not a number": {"event_id": NAN},
    "event_id: control characters": {"event_id": CONTROL},
    "event_id: 900 letters": {"event_id": "e" * 900},
    "event_type: 1 MB": {"event_type": "t" * 1_000_000},
    "event_type: control characters": {"event_type": CONTROL},
    "event_type: an object": {"event_type": {"a": 1}},
    "event_type: a list": {"event_type": ["x"]},
    "event_type: null": {"event_type": None},
    "event_type: empty": {"event_type": ""},
    "tenant_id: an object": {"tenant_id": {"a": 1}},
    "tenant_id: a list": {"tenant_id": ["acme", CONTROL]},
    "tenant_id: control characters": {"tenant_id": CONTROL},
    "actor_id: a list": {"actor_id": [CONTROL]},
    "causation_id: an object": {"causation_id": {"a": 1}, "correlation_id": [1]},
    "causation_id: itself": {"event_id": "ouroboros", "causation_id": "ouroboros", "correlation_id": "ouroboros"},
    "causation_id: a ring, one": {"event_id": "ring-1", "causation_id": "ring-2", "correlation_id": "ring-2"},
    "causation_id: a ring, two": {"event_id": "ring-2", "causation_id": "ring-1", "correlation_id": "ring-1"},
    "fields of other programs": {"$where": 1, "a.b": CONTROL, "redacted": True, "": None},
    "redacted: odd": {"redacted": {"at": CONTROL, "by": [CONTROL], "reason": NAN}},
    "redacted: odd but for its time": {"redacted": {"at": AT, "by": {CONTROL[1:]: [CONTROL]}, "reason": NAN}},
    # deliveries
    "delivery: a text": {"delivery": "x"},
    "delivery: a number": {"delivery": NAN},
    "delivery: a list": {"delivery": [_delivery()]},
    "delivery: empty": {"delivery": {}},
    "delivery: an unknown state": {"delivery": _delivery(state="limbo")},
    "delivery: a state that is an object": {"delivery": _delivery(state={"open": 1})},
    "delivery: open with nothing pending": {"delivery": _delivery(state="open", finished_at=None)},
    "handlers: a text": {"delivery": _delivery(handlers="x", state="open")},
    "handlers: null": {"delivery": _delivery(handlers=None, state="dead")},
    "handlers: an object": {"delivery": _delivery(handlers={"0": {"id": HANDLER}}, state="open")},
    "handlers: things": {"delivery": _delivery(handlers=["x", 7, None, [], {}, NAN], state="open")},
    "handlers: twice the same": {"delivery": _delivery(handlers=[{"id": HANDLER, "state": "dead"}] * 2, state="dead")},
    "handler: an unknown state": {"delivery": _entry(state="limbo")},
    "handler: no id": {"delivery": _entry(id=None)},
    "handler: an id that is an object": {"delivery": _entry(id={"a": CONTROL})},
    "handler: control characters": {"delivery": _entry(id=CONTROL, reason=CONTROL, by=CONTROL)},
    "handler: not a number": {
        "delivery": _entry(attempts=NAN, crashes=NAN, budget_from=NAN, took_ms=NAN, due_at=NAN, finished_at=NAN)
    },
    "handler: numbers past every range": {"delivery": _entry(attempts=2**63 - 1, took_ms=1e308, crashes=-(2**63))},
    "handler: numbers that are texts": {"delivery": _entry(attempts="many", took_ms="long", due_at="soon")},
    "handler: times past all years": {
        "delivery": _entry(due_at=bson.DatetimeMS(2**62), finished_at=bson.DatetimeMS(-1))
    },
    "handler: pending with odd numbers": {
        "delivery": _entry(state="pending", attempts=NAN, due_at="soon") | {"due_at": NAN, "claimed_at": "x"}
    },
    "errors: a text": {"delivery": _entry(errors="x")},
    "errors: things": {"delivery": _entry(errors=["x", None, {}, {"type": [1], "message": {"a": 1}, "at": "x"}])},
    "errors: control characters": {
        "delivery": _entry(errors=[{"type": CONTROL, "message": CONTROL * 99, "at": AT, "attempt": NAN}])
    },
    "owner: empty": {"delivery": _entry(state="pending") | {"owner": ""}},
    "owner: a number": {"delivery": _entry(state="pending") | {"owner": 7}},
    "owner: unknown": {"delivery": _entry(state="pending") | {"owner": CONTROL}},
    "rev: a text": {"delivery": _entry(state="pending") | {"rev": "x"}},
    "rev: not a number": {"delivery": _entry(state="pending") | {"rev": NAN}},
    "rev: below zero": {"delivery": _entry(state="pending") | {"rev": -(2**63)}},
    "takeovers: not a number": {"delivery": _entry(state="pending") | {"takeovers": NAN, "running": [1]}},
}
"""The oddity of a record, and its fields: those that are `...` are missing."""


def records() -> dict[str, RawBSONDocument]:
    """Return all of them by their oddity, and two that no driver would write.

    Those two have a repeated key, and text that is not UTF-8.
    """
    found = {name: _record(number, name, fields) for number, (name, fields) in enumerate(RECORDS.items(), 1)}
    return {name: RawBSONDocument(data) for name, data in {**found, **_broken()}.items()}


def _record(number: int, name: str, fields: Mapping[str, Any]) -> bytes:
    usual = {
        "_id": bson.ObjectId(f"{number:024x}"),
        "event_id": f"hostile-{number}",
        "event_type": "hostile.came",
        "tenant_id": "acme",
        "actor_id": None,
        "payload": {"what": name},
        "timestamp": AT,
    }
    record = {key: value for key, value in {**usual, **fields}.items() if value is not ...}
    return bson.encode(record, codec_options=CODEC)


def _broken() -> dict[str, bytes]:
    whole, without = (
        _record(998, "a key that stands twice", {}),
        _record(999, "text that is not UTF-8", {"tenant_id": ...}),
    )
    return {
        "a repeated key": _with(whole, b"\x02tenant_id\0\x02\0\0\0x\0"),
        "text that is not UTF-8": _with(without, b"\x02tenant_id\0\x05\0\0\0\xff\xfe\xfd\xfc\0"),
    }


def _with(document: bytes, element: bytes) -> bytes:
    body = document[4:-1] + element + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body
