"""The form in which the log keeps a value, or the reason why it cannot keep it exactly.

    str, bool, None, bytes      as they are; a lone surrogate is refused
    int, float                  64 bits; finite
    datetime                    aware, in UTC, cut to milliseconds
    date, time, timedelta       ISO 8601 text
    Decimal                     Decimal128, or text where that has too few digits
    UUID                        binary of subtype 4
    Enum                        its value
    list, tuple                 array; set, frozenset: sorted array
    Mapping, model, dataclass   object, with keys that are text without NUL
    ObjectId and other types of BSON itself pass through

Events are compared by this form too, as `canonical` bytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from enum import Enum
from types import NoneType
from typing import Any, Final, NoReturn
from uuid import UUID

import bson
import uuid_utils
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from craft_easy.core.events.errors import InvalidEvent

MAX_LEVELS: Final = 97
"""Levels of objects and arrays in a payload, itself the first: an insert command adds three, and 100 are allowed.

https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Nested-Depth-for-BSON-Documents
"""
MAX_RECORD_BYTES: Final = 15 * 1024 * 1024
"""A record may grow by what is noted under `delivery`, and MongoDB allows 16 MiB."""
_MAX_PATH: Final = 300

_OF_BSON: Final = (
    bson.Binary,
    bson.Code,
    bson.DBRef,
    bson.DatetimeMS,
    bson.Decimal128,
    bson.Int64,
    bson.MaxKey,
    bson.MinKey,
    bson.ObjectId,
    bson.Regex,
    bson.Timestamp,
)


class _DecimalDecoder(TypeDecoder):
    bson_type = bson.Decimal128

    def transform_bson(self, value: bson.Decimal128) -> Decimal:
        return value.to_decimal()


CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="backslashreplace",
    type_registry=TypeRegistry([_DecimalDecoder()]),
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""How records are written and read: nothing that another writer left makes reading fail."""
CODEC_OF_RAW: Final = CODEC.with_options(document_class=RawBSONDocument)


class _Refused(Exception):
    """Carries the reason upwards; each level adds its key and the object that holds it."""

    def __init__(self, reason: str, *, is_depth: bool = False) -> None:
        self.reason = reason
        self.is_depth = is_depth
        self.trail: list[tuple[str, int]] = []

    def within(self, holder: object, key: object) -> None:
        self.trail.append((str(key), id(holder)))


def stored_form(value: Any, path: str = "payload") -> Any:
    """Return the form in which the log keeps a value; containers are always new.

    Args:
        value: any value of the types at the head of this module.
        path: what to call the value itself in the error.

    Raises:
        InvalidEvent: the log could not keep it exactly; `path` says which part of it.
    """
    try:
        return _stored(value, 1)
    except _Refused as refusal:
        raise _invalid(refusal, path) from None


def _invalid(refusal: _Refused, path: str) -> InvalidEvent:
    trail = refusal.trail[::-1]
    reason = refusal.reason
    if refusal.is_depth:
        seen: set[int] = set()
        for index, (_, holder) in enumerate(trail):
            if holder in seen:
                trail, reason = trail[:index], "a cycle: it is part of itself"
                break
            seen.add(holder)
    named = ".".join([path, *(_visible(key) for key, _ in trail)])
    return InvalidEvent(named if len(named) <= _MAX_PATH else named[: _MAX_PATH - 1] + "…", reason)


def _visible(key: str) -> str:
    return key if key.isprintable() else key.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")


def _stored(value: Any, level: int) -> Any:
    convert = _BY_TYPE.get(type(value))
    return convert(value, level) if convert else _by_class(value, level)


def _same(value: Any, _level: int) -> Any:
    return value


def _text(value: str, _level: int) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused("a lone surrogate, which UTF-8 cannot carry") from None
    return value


def _integer(value: int, _level: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise _Refused("an integer that takes more than 64 bits")
    return value


def _number(value: float, _level: int) -> float:
    if not math.isfinite(value):
        raise _Refused("a float that is not finite")
    return value


def _object(value: Mapping[Any, Any], level: int) -> dict[str, Any]:
    if level > MAX_LEVELS:
        raise _Refused(f"more than {MAX_LEVELS} levels of objects and arrays", is_depth=True)
    stored: dict[str, Any] = {}
    for key, item in value.items():
        try:
            name = key if type(key) is str and key.isascii() and "\0" not in key else _key(key)
            if type(item) is str and item.isascii():
                stored[name] = item  # as most values are: no call for them
            else:
                stored[name] = _stored(item, level + 1)
        except _Refused as refusal:
            refusal.within(value, key)
            raise
    if "$ref" in stored and "$id" in stored:
        raise _Refused("an object with $ref and $id, which is read back as a reference (bson.DBRef says so outright)")
    return stored


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise _Refused(f"a key that is no text but {_article(key)}")
    if "\0" in key:
        raise _Refused("a key that holds NUL")
    return str.__str__(_text(key, 0))


def _array(value: Iterable[Any], level: int) -> list[Any]:
    if level > MAX_LEVELS:
        raise _Refused(f"more than {MAX_LEVELS} levels of objects and arrays", is_depth=True)
    stored = []
    for index, item in enumerate(value):
        try:
            stored.append(_stored(item, level + 1))
        except _Refused as refusal:
            refusal.within(value, index)
            raise
    return stored


def _sorted_array(value: Iterable[Any], level: int) -> list[Any]:
    items = _array(value, level)
    kinds = {type(item) for item in items}
    if len(kinds) <= 1 and kinds <= {str, int, float, bytes, datetime}:
        return sorted(items)
    return sorted(items, key=canonical)


def _moment(value: datetime, _level: int) -> datetime:
    if value.tzinfo is UTC and value.microsecond % 1000 == 0:
        return value  # as the events of this package are
    if value.utcoffset() is None:
        raise _Refused("a time without a zone")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise _Refused("a time that has no date in UTC") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _iso(value: date | time, _level: int) -> str:
    return value.isoformat()


def _duration(value: timedelta, _level: int) -> str:
    """Return an ISO 8601 duration of days and seconds, which always have the same length."""
    whole = abs(value)
    seconds = f"{whole.seconds}.{whole.microseconds:06}".rstrip("0").rstrip(".")
    if whole.microseconds == 0:
        seconds = str(whole.seconds)
    return f"{'-' if value < timedelta(0) else ''}P{whole.days}DT{seconds}S"


def _decimal(value: Decimal, _level: int) -> bson.Decimal128 | str:
    try:
        return bson.Decimal128(value)
    except DecimalException:
        return str(value)


def _uuid(value: UUID | uuid_utils.UUID, _level: int) -> UUID:
    return UUID(bytes=value.bytes)


def _enum(value: Enum, level: int) -> Any:
    return _stored(value.value, level)


def _model(value: BaseModel, level: int) -> Any:
    fields = {name: getattr(value, name) for name in type(value).__pydantic_fields__}
    if type(value).__pydantic_root_model__:
        return _stored(fields["root"], level)
    return _object({**fields, **(value.__pydantic_extra__ or {})}, level)


def _dataclass(value: Any, level: int) -> Any:
    return _object({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, level)


def _secret(_value: object, _level: int) -> NoReturn:
    raise _Refused("a secret; what must not be shown must not be logged")


_BY_TYPE: Final[dict[type, Callable[[Any, int], Any]]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _same,
    NoneType: _same,
    dict: _object,
    list: _array,
    tuple: _array,
    datetime: _moment,
    bytes: _same,
    UUID: _uuid,
    Decimal: _decimal,
    **dict.fromkeys(_OF_BSON, _same),
}
_BY_CLASS: Final[tuple[tuple[Any, Callable[[Any, int], Any]], ...]] = (
    (_OF_BSON, _same),
    (Enum, _enum),
    ((SecretStr, SecretBytes, Secret), _secret),
    (BaseModel, _model),
    (str, lambda value, level: _text(str.__str__(value), level)),
    (int, lambda value, level: _integer(int(value), level)),
    (float, lambda value, level: _number(float(value), level)),
    (bytes, lambda value, _level: bytes(value)),
    (datetime, _moment),
    ((date, time), _iso),
    (timedelta, _duration),
    (Decimal, _decimal),
    ((UUID, uuid_utils.UUID), _uuid),
    (Mapping, _object),
    ((list, tuple), _array),
    ((set, frozenset), _sorted_array),
)


def _by_class(value: Any, level: int) -> Any:
    for classes, convert in _BY_CLASS:
        if isinstance(value, classes):
            return convert(value, level)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value, level)
    raise _Refused(f"{_article(value)}, a type that the log does not know")


def _article(value: object) -> str:
    name = type(value).__qualname__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record as BSON.

    Raises:
        InvalidEvent: it is too large, or holds a value of BSON's own that BSON cannot carry.
    """
    try:
        data = bson.encode(record, False, CODEC)  # noqa: FBT003 - keywords cost a tenth of it
    except (BSONError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise InvalidEvent("payload", f"BSON cannot carry it ({type(error).__name__})") from error
    if len(data) > MAX_RECORD_BYTES:
        raise InvalidEvent(
            "payload", f"the record would take {len(data):,} bytes, and {MAX_RECORD_BYTES:,} are allowed"
        )
    return data


def canonical(stored: Any) -> bytes:
    """Return bytes that are equal where two stored forms are: keys sorted, integers of one width."""
    return bson.encode({"": _canonical(stored)}, codec_options=CODEC)


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _canonical(value[key]) for key in sorted(value)}
    if kind is list:
        return [_canonical(item) for item in value]
    if kind is int:
        return bson.Int64(value)
    if kind is Decimal:
        return _decimal(value, 0)
    return value
