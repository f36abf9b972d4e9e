"""MongoDB's Extended JSON, version 2: written in both of its forms, and read strictly.

https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md

`bson.json_util` writes it and is too lenient to read what the log is to keep exactly: it drops what is no base64, takes
`"5_0"` for a number and numbers past 64 bits for 64-bit ones, and cuts 570 milliseconds to 569. So each type has a rule
of its own here, and whoever breaks it is told which.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import DecimalException
from math import isfinite
from typing import Any, Final, NoReturn
from uuid import UUID

import bson
from bson import json_util
from bson.binary import UUID_SUBTYPE, UuidRepresentation

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.encoding import MAX_LEVELS
from craft_easy.core.events.store.formats.event_json import JavaScript, to_json

Object = dict[str, Any]

_MAX_DIGITS: Final = 20
_SHOWN: Final = 60
_OPTIONS_OF_REGEX: Final = frozenset("ilmsux")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DOUBLE: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?Infinity|NaN")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Infinity|NaN")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CANONICAL: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, uuid_representation=UuidRepresentation.STANDARD
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------------- writing


def lines(records: Iterable[Mapping[str, Any]], *, canonical: bool = False) -> bytes:
    """Return records as NDJSON, each line with its end; see `record_line`."""
    return "".join(f"{record_line(record, canonical=canonical)}\n" for record in records).encode("ascii")


def record_line(record: Mapping[str, Any], *, canonical: bool = False) -> str:
    """Return a record, decoded as `store.event_json` takes it, as one line of ASCII without the line's end.

    All of it but `_id`, in its own order. What a record of another writer says by its `_id` alone, its id and its time,
    is said outright.

    Args:
        canonical: keep the types of numbers; else 64-bit numbers and times are plain, as `mongoexport` has them.
    """
    fields = _fields(record)
    return to_json(_canonical(fields) if canonical else fields)


def _fields(record: Mapping[str, Any]) -> Object:
    fields = {name: value for name, value in record.items() if name != "_id"}
    lacks_id, lacks_time = fields.get("event_id") is None, fields.get("timestamp") is None
    if lacks_id or lacks_time:
        said = read_envelope(record)
        if lacks_id:
            fields.pop("event_id", None)
            fields = {"event_id": said.event_id, **fields}
        if lacks_time:
            fields["timestamp"] = said.timestamp
    return fields


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        return {name: _canonical(one) for name, one in value.items()}
    if kind is list:
        return [_canonical(one) for one in value]
    if kind is int:
        return {"$numberInt" if -(2**31) <= value < 2**31 else "$numberLong": str(value)}
    if kind is JavaScript:
        scope = value.code.scope
        return {"$code": str(value.code)} | ({} if scope is None else {"$scope": _canonical(scope)})
    return json_util.default(value, _CANONICAL)


def is_ambiguous(record: Mapping[str, Any], line: str) -> bool:
    """Tell whether a record holds an object that Extended JSON reads as something else, as `{"$oid": "x"}` is.

    Args:
        record: decoded as `store.event_json` takes it.
        line: its line, which shows at once that most records do not.
    """
    return '"$' in line and any(map(_looks_like_another, record.values()))


def _looks_like_another(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not _READERS.keys().isdisjoint(value) or any(map(_looks_like_another, value.values()))
    return isinstance(value, list) and any(map(_looks_like_another, value))


# ---------------------------------------------------------------------- reading


def parse(text: str) -> Any:
    """Return what a text of JSON says, with the types of Extended JSON.

    Integers are of 64 bits and plain numbers finite; a key stands once in an object.

    Raises:
        InvalidEvent: it is no JSON, or says what the log could not keep exactly.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise InvalidEvent("JSON", f"{reason} at character {error.pos + 1:,}") from None
    except RecursionError:
        raise InvalidEvent("JSON", f"more than {MAX_LEVELS} levels of objects and arrays") from None


def parse_time(text: str) -> datetime:
    """Return a time that is written as RFC 3339 has it, cut to milliseconds.

    Raises:
        InvalidEvent: it is no such time, has no zone, or there is none such in the years 1 to 9999.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        reason = "has no zone" if _TIME.fullmatch(text + "Z") else "is no time like 2026-01-31T10:00:00.000Z"
        raise InvalidEvent("time", f"{_quoted(text)} {reason}")
    second, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent("time", f"{_quoted(text)}: there is no such time") from None
    return moment.replace(microsecond=int((fraction or ".0")[1:4].ljust(3, "0")) * 1000)


def _object(pairs: Sequence[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidEvent(
            "JSON", f"the key {_quoted(next(one for one in names if names.count(one) > 1))} stands twice"
        )
    for name in found:
        if name[:1] == "$" and (read := _READERS.get(name)) is not None:
            return read(found)
    return _reference(found) if "$ref" in found and "$id" in found else found


def _plain_integer(text: str) -> int:
    return _integer_of(text, 64, "JSON")


def _plain_number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise InvalidEvent("JSON", f"the number {_cut(text)} is larger than any float")
    return value


def _no_number(text: str) -> NoReturn:
    raise InvalidEvent("JSON", f"{text} is no number that the log keeps")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_plain_integer, parse_float=_plain_number, parse_constant=_no_number
)


# ---------------------------------------------------------------------- one type each


def _only(found: Object, *keys: str) -> Any:
    """Return the value of the first key of an object that must have these and no others."""
    if found.keys() != set(keys):
        others = [name for name in found if name not in keys] or [name for name in keys if name not in found]
        raise InvalidEvent(keys[0], f"stands for a type of its own, and {_quoted(others[0])} does not fit beside it")
    return found[keys[0]]


def _text(found: Object, key: str, form: re.Pattern[str] | None, what: str) -> str:
    value = _only(found, key)
    if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
        raise InvalidEvent(key, f"{_quoted(value)} is no {what}")
    return value


def _integer_of(text: str, bits: int, path: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > _MAX_DIGITS:
        raise InvalidEvent(path, f"an integer of {digits:,} digits takes more than {bits} bits")
    value = int(text)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise InvalidEvent(path, f"the integer {text} takes more than {bits} bits")
    return value


def _number_int(found: Object) -> int:
    return _integer_of(_text(found, "$numberInt", _INTEGER, "integer"), 32, "$numberInt")


def _number_long(found: Object) -> bson.Int64:
    return bson.Int64(_integer_of(_text(found, "$numberLong", _INTEGER, "integer"), 64, "$numberLong"))


def _number_double(found: Object) -> float:
    text = _text(found, "$numberDouble", _DOUBLE, "number")
    value = float(text)
    if not isfinite(value) and text[-1].isdigit():
        raise InvalidEvent("$numberDouble", f"{_cut(text)} is larger than any float")
    return value


def _number_decimal(found: Object) -> bson.Decimal128:
    text = _text(found, "$numberDecimal", _DECIMAL, "decimal")
    try:
        return bson.Decimal128(text)
    except (DecimalException, ValueError):
        raise InvalidEvent(
            "$numberDecimal", f"{_cut(text)} has more digits, or a greater exponent, than 128 bits"
        ) from None


def _object_id(found: Object) -> bson.ObjectId:
    text = _text(found, "$oid", _HEX, "id of 24 hexadecimal digits")
    if len(text) != 24:
        raise InvalidEvent("$oid", f"{_quoted(text)} is no id of 24 hexadecimal digits")
    return bson.ObjectId(text)


def _uuid(found: Object) -> UUID:
    return UUID(_text(found, "$uuid", _UUID_TEXT, "UUID"))


def _date(found: Object) -> datetime | bson.DatetimeMS:
    value = _only(found, "$date")
    if isinstance(value, str):
        try:
            return parse_time(value)
        except InvalidEvent as error:
            raise InvalidEvent("$date", error.reason) from None
    if not isinstance(value, bson.Int64):
        raise InvalidEvent("$date", f"{_quoted(value)} is neither a time as text nor milliseconds as $numberLong")
    try:
        return _EPOCH + timedelta(milliseconds=int(value))
    except OverflowError:
        return bson.DatetimeMS(int(value))


def _binary(found: Object) -> Any:
    value = _only(found, "$binary")
    if not isinstance(value, dict):
        raise InvalidEvent("$binary", f"{_quoted(value)} is no object of base64 and subType")
    _only({"$binary": 0, **value}, "$binary", "base64", "subType")
    text, kind = value["base64"], value["subType"]
    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        raise InvalidEvent("$binary", f"{_quoted(text)} is no base64")
    if not isinstance(kind, str) or not _HEX.fullmatch(kind) or len(kind) > 2:
        raise InvalidEvent("$binary", f"{_quoted(kind)} is no subtype: one or two hexadecimal digits")
    return _bytes_of(b64decode(text), int(kind, 16))


def _bytes_of(data: bytes, subtype: int) -> bytes | UUID | bson.Binary:
    if subtype == 0:
        return data
    if subtype == UUID_SUBTYPE:
        if len(data) != 16:
            raise InvalidEvent("$binary", f"a UUID has 16 bytes, not {len(data)}")
        return UUID(bytes=data)
    return bson.Binary(data, subtype)


def _timestamp(found: Object) -> bson.Timestamp:
    value = _only(found, "$timestamp")
    if isinstance(value, dict) and value.keys() == {"t", "i"}:
        time, count = value["t"], value["i"]
        if all(type(one) is int and 0 <= one < 2**32 for one in (time, count)):
            return bson.Timestamp(time, count)
    raise InvalidEvent("$timestamp", f"{_quoted(value)} is no object of t and i, two numbers of 32 bits")


def _regular_expression(found: Object) -> bson.Regex[str]:
    value = _only(found, "$regularExpression")
    if not isinstance(value, dict) or value.keys() != {"pattern", "options"}:
        raise InvalidEvent("$regularExpression", f"{_quoted(value)} is no object of pattern and options")
    pattern, letters = value["pattern"], value["options"]
    if not isinstance(pattern, str) or "\0" in pattern:
        raise InvalidEvent("$regularExpression", f"{_quoted(pattern)} is no pattern: a text without NUL")
    if not isinstance(letters, str) or not _OPTIONS_OF_REGEX.issuperset(letters):
        raise InvalidEvent("$regularExpression", f"{_quoted(letters)} are no options: letters of i, l, m, s, u, x")
    return bson.Regex(pattern, letters)


def _code(found: Object) -> bson.Code:
    if "$scope" not in found:
        return bson.Code(_text(found, "$code", None, "text"))
    _only(found, "$code", "$scope")
    if not isinstance(found["$code"], str) or not isinstance(found["$scope"], dict):
        raise InvalidEvent("$code", "is a text, and its $scope an object")
    return bson.Code(found["$code"], found["$scope"])


def _reference(found: Object) -> bson.DBRef:
    rest = dict(found)
    collection, key, database = rest.pop("$ref"), rest.pop("$id"), rest.pop("$db", None)
    if not isinstance(collection, str) or not (database is None or isinstance(database, str)):
        raise InvalidEvent("$ref", "names a collection, and $db a database, as text")
    return bson.DBRef(collection, key, database, **rest)


def _of_one(key: str, make: Callable[[], Any]) -> Callable[[Object], Any]:
    def read(found: Object) -> Any:
        if _only(found, key) != 1:
            raise InvalidEvent(key, f"is written with a 1, not {_quoted(found[key])}")
        return make()

    return read


def _outdated(key: str) -> Callable[[Object], NoReturn]:
    def refuse(found: Object) -> NoReturn:
        raise InvalidEvent(key, "is a type that MongoDB no longer has, and no driver writes it")

    return refuse


_READERS: Final[Mapping[str, Callable[[Object], Any]]] = {
    "$binary": _binary,
    "$code": _code,
    "$date": _date,
    "$dbPointer": _outdated("$dbPointer"),
    "$maxKey": _of_one("$maxKey", bson.MaxKey),
    "$minKey": _of_one("$minKey", bson.MinKey),
    "$numberDecimal": _number_decimal,
    "$numberDouble": _number_double,
    "$numberInt": _number_int,
    "$numberLong": _number_long,
    "$oid": _object_id,
    "$regularExpression": _regular_expression,
    "$symbol": _outdated("$symbol"),
    "$timestamp": _timestamp,
    "$undefined": _outdated("$undefined"),
    "$uuid": _uuid,
}


def _quoted(value: Any) -> str:
    return _cut(json.dumps(value, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
