"""MongoDB's Extended JSON, version 2: the writer of its canonical and relaxed forms, and a strict reader.

https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md

`bson.json_util` does the reading, but it is more lenient than the log, which keeps values exactly: it drops characters
that are not base64, accepts `"5_0"` as a number, ignores additional keys, reads a number past 64 bits as a 64-bit one,
and cuts 570 milliseconds to 569. So each typed value is first checked against the form in the specification.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import DecimalException
from math import isfinite
from typing import Any, Final, NoReturn

import bson
from bson import json_util
from bson.binary import UUID_SUBTYPE, UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.encoding import MAX_LEVELS
from craft_easy.core.events.store.formats.event_json import JavaScript, to_json

Object = dict[str, Any]
Form = re.Pattern[str] | Mapping[str, re.Pattern[str]]

_SHOWN: Final = 60
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_FORMS: Final[Mapping[str, Form]] = {
    "$binary": {
        "base64": re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
        "subType": re.compile(r"[0-9a-fA-F]{1,2}"),
    },
    "$numberDecimal": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Infinity|NaN"),
    "$numberDouble": re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?Infinity|NaN"),
    "$numberInt": re.compile(r"-?(?:0|[1-9][0-9]{0,9})"),
    "$numberLong": re.compile(r"-?(?:0|[1-9][0-9]{0,18})"),
    "$oid": re.compile(r"[0-9a-fA-F]{24}"),
    "$regularExpression": {"options": re.compile(r"[ilmsux]*"), "pattern": re.compile(r"[^\0]*")},
    "$uuid": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}
"""The exact text of a type, or of each of its parts, where `bson.json_util` accepts other texts as well."""
_OBSOLETE: Final = frozenset({"$dbPointer", "$symbol", "$undefined"})
_TYPES: Final = _OBSOLETE | _FORMS.keys() | {"$code", "$date", "$maxKey", "$minKey", "$timestamp"}
_LIMITS: Final = {"$numberInt": 2**31, "$numberLong": 2**63}
_CANONICAL: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, uuid_representation=UuidRepresentation.STANDARD
)
_READ: Final = json_util.JSONOptions(
    tz_aware=True,
    tzinfo=UTC,
    uuid_representation=UuidRepresentation.UNSPECIFIED,  # or a UUID of the old subtype 3 becomes one of subtype 4
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


# ---------------------------------------------------------------------- writing


def lines(records: Iterable[Mapping[str, Any]], *, canonical: bool = False) -> bytes:
    """Return records as NDJSON, each line with its end; see `record_line`."""
    return "".join(f"{record_line(record, canonical=canonical)}\n" for record in records).encode("ascii")


def record_line(record: Mapping[str, Any], *, canonical: bool = False) -> str:
    """Return a record, decoded as `store.event_json` takes it, as one line of ASCII without the line's end.

    The line has every field but `_id`, in the order of the record.

    Args:
        canonical: keep the types of numbers; otherwise 64-bit numbers and times are plain, as `mongoexport` has them.
    """
    fields = {name: value for name, value in record.items() if name != "_id"}
    return to_json(_canonical(fields) if canonical else fields)


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        return {name: _canonical(item) for name, item in value.items()}
    if kind is list:
        return [_canonical(item) for item in value]
    if kind is int:
        return {"$numberInt" if -(2**31) <= value < 2**31 else "$numberLong": str(value)}
    if kind is JavaScript:
        scope = value.code.scope
        return {"$code": str(value.code)} | ({} if scope is None else {"$scope": _canonical(scope)})
    return json_util.default(value, _CANONICAL)


def is_ambiguous(record: Mapping[str, Any], line: str) -> bool:
    """Return whether a record holds an object, such as `{"$oid": "x"}`, that Extended JSON reads as another value.

    Args:
        record: decoded with `event_json.CODEC`.
        line: the record's line; one without `"$` needs no search.
    """
    return '"$' in line and any(map(_looks_like_another, record.values()))


def _looks_like_another(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not _TYPES.isdisjoint(value) or any(map(_looks_like_another, value.values()))
    return isinstance(value, list) and any(map(_looks_like_another, value))


# ---------------------------------------------------------------------- reading


def parse(text: str) -> Any:
    """Return the value of a text in Extended JSON.

    Integers past 64 bits, plain numbers that are not finite and objects with a key twice are refused.

    Raises:
        InvalidEvent: the text is not valid JSON, or the log could not keep its value exactly.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise InvalidEvent("JSON", f"{reason} at character {error.pos + 1:,}") from None
    except RecursionError:
        raise InvalidEvent("JSON", f"more than {MAX_LEVELS} levels of objects and arrays") from None


def parse_time(text: str) -> datetime:
    """Return the time of a text in the form of RFC 3339, cut to milliseconds.

    Raises:
        InvalidEvent: the text has another form or no zone, or its time is outside the years 1 to 9999.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        reason = "has no zone" if _TIME.fullmatch(text + "Z") else "is not a time like 2026-01-31T10:00:00.000Z"
        raise InvalidEvent("time", f"{_quoted(text)} {reason}")
    second, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent("time", f"{_quoted(text)} is not an existing time") from None
    return moment.replace(microsecond=int((fraction or ".0")[1:4].ljust(3, "0")) * 1000)


def _object(pairs: Sequence[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidEvent("JSON", f"the key {_quoted(twice)} appears twice")
    for name in value:
        if name[:1] == "$" and name in _TYPES:
            return _typed(name, value)
    return _reference(value) if "$ref" in value and "$id" in value else value


def _typed(name: str, value: Object) -> Any:
    """Return the value of an object with a type key such as `$oid`."""
    if name in _OBSOLETE:
        raise InvalidEvent(name, "is an obsolete type of BSON, which no driver writes")
    allowed = {"$code", "$scope"} if name == "$code" else {name}
    if additional := [key for key in value if key not in allowed]:
        raise InvalidEvent(name, f"must not have the additional key {_quoted(additional[0])}")
    text, form = value[name], _FORMS.get(name)
    if name == "$date" and isinstance(text, str):
        return _date(text)
    is_exact = isinstance(text, bson.Int64) if name == "$date" else form is None or _has_form(text, form)
    read = _read(value) if is_exact else None
    if read is None or not _is_in_range(name, text, read):
        raise InvalidEvent(name, f"{_quoted(text)} is not a valid value")
    return read


def _has_form(value: Any, form: Form) -> bool:
    if isinstance(form, Mapping):
        return (
            isinstance(value, dict)
            and value.keys() == form.keys()
            and all(_has_form(value[name], part) for name, part in form.items())
        )
    return isinstance(value, str) and form.fullmatch(value) is not None


def _read(value: Object) -> Any:
    """Return the value as `bson.json_util` reads it; None where it raises."""
    try:
        read = json_util.object_hook(value, _READ)
        is_uuid = isinstance(read, bson.Binary) and read.subtype == UUID_SUBTYPE
        return read.as_uuid(UuidRepresentation.STANDARD) if is_uuid else read
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, DecimalException, BSONError):
        return None


def _is_in_range(name: str, text: Any, read: Any) -> bool:
    if name in _LIMITS:
        return bool(-_LIMITS[name] <= read < _LIMITS[name])
    return name != "$numberDouble" or isfinite(read) or not text[-1].isdigit()


def _date(text: str) -> datetime:
    try:
        return parse_time(text)
    except InvalidEvent as error:
        raise InvalidEvent("$date", error.reason) from None


def _reference(value: Object) -> bson.DBRef:
    read = _read({"$ref": value["$ref"], **value})
    if not isinstance(read, bson.DBRef):
        raise InvalidEvent("$ref", "must name a collection, and $db a database, as text")
    return read


def _plain_integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise InvalidEvent("JSON", f"the integer {_cut(text)} takes more than 64 bits")
    return value


def _plain_number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise InvalidEvent("JSON", f"the number {_cut(text)} is larger than any float")
    return value


def _no_number(text: str) -> NoReturn:
    raise InvalidEvent("JSON", f"{text} is not a number that the log keeps")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_plain_integer, parse_float=_plain_number, parse_constant=_no_number
)


def _quoted(value: Any) -> str:
    return _cut(json.dumps(value, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
