"""The stored form of a value, and the reasons why a value cannot be stored exactly.

    str, bool, None, bytes      as they are; a lone surrogate is refused
    int, float                  64 bits; finite
    datetime                    aware, in UTC, truncated to milliseconds
    Decimal                     Decimal128, or text where that cannot hold it exactly
    UUID                        binary of subtype 4
    list, tuple, deque          array; set, frozenset: sorted array
    Mapping, dataclass          object; a key that is not text as Pydantic writes it to JSON; NUL is refused
    model                       object, as its own serializers give it
    Enum                        its value
    time, timedelta             ISO 8601 text
    ObjectId and other types of BSON itself pass through
    an iterator                 refused: a second publish of the event would find it empty
    anything else               as Pydantic writes it to JSON: date, HttpUrl, Path, …

Events are compared by this form too, as `canonical` bytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, DecimalException
from enum import Enum
from functools import singledispatch
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
from pydantic_core import PydanticSerializationError, to_jsonable_python

from craft_easy.core.events.errors import InvalidEvent

MAX_LEVELS: Final = 97
"""The maximum depth of objects and arrays in a payload, itself included: an insert adds three, and MongoDB allows 100.

https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Nested-Depth-for-BSON-Documents
"""
MAX_RECORD_BYTES: Final = 15 * 1024 * 1024
"""The maximum size of a new record: MongoDB allows 16 MiB, and its deliveries may grow."""
_MAX_PATH: Final = 300


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
"""The codec of records, which can read everything that other programs store."""
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
    """Return the stored form of a value; containers are always new.

    Args:
        value: a value of the types at the top of this module.
        path: the name of the value itself in an error.

    Raises:
        InvalidEvent: the log could not keep the value exactly; `path` names the part at fault.
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


@singledispatch
def _stored(value: Any, level: int) -> Any:
    """Return the stored form of a value at a level of objects and arrays; this function is for all other types."""
    if isinstance(value, Iterator):
        raise _Refused(f"{_article(value)}, which can be read only once: make a list of it")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, level)
    return _stored(_jsonable(value), level)


@_stored.register(NoneType)
@_stored.register(bool)
def _same(value: Any, _level: int) -> Any:
    return value


for _type_of_bson in (
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
):
    _stored.register(_type_of_bson, _same)


@_stored.register(str)
def _text(value: str, _level: int) -> str:
    text = str.__str__(value)  # plain text: a member of an Enum may print as its name
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused("a lone surrogate, which UTF-8 cannot carry") from None
    return text


@_stored.register(int)
def _integer(value: int, _level: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise _Refused("an integer that takes more than 64 bits")
    return int(value)


@_stored.register(float)
def _number(value: float, _level: int) -> float:
    if not math.isfinite(value):
        raise _Refused("a float that is not finite")
    return float(value)


@_stored.register(bytes)
def _bytes(value: bytes, _level: int) -> bytes:
    return bytes(value)


@_stored.register(datetime)
def _moment(value: datetime, _level: int) -> datetime:
    if value.utcoffset() is None:
        raise _Refused("a time without a zone")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise _Refused("a time that has no date in UTC") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@_stored.register(time)
def _clock_time(value: time, _level: int) -> str:
    return value.isoformat()  # as version 1 stored it; Pydantic writes `Z` for `+00:00`


@_stored.register(timedelta)
def _duration(value: timedelta, _level: int) -> str:
    """Return an ISO 8601 duration of days and seconds, as version 1 stored it; Pydantic writes `PT5S` for `P0DT5S`."""
    whole = abs(value)
    seconds = f"{whole.seconds}.{whole.microseconds:06}".rstrip("0").rstrip(".")
    if whole.microseconds == 0:
        seconds = str(whole.seconds)
    return f"{'-' if value < timedelta(0) else ''}P{whole.days}DT{seconds}S"


@_stored.register(Decimal)
def _decimal(value: Decimal, _level: int) -> bson.Decimal128 | str:
    try:
        return bson.Decimal128(value)
    except (DecimalException, ValueError):  # too many digits, or a NaN with a payload
        return str(value)


@_stored.register(UUID)
@_stored.register(uuid_utils.UUID)
def _uuid(value: UUID | uuid_utils.UUID, _level: int) -> UUID:
    return UUID(bytes=value.bytes)


@_stored.register(Enum)
def _enum(value: Enum, level: int) -> Any:
    return _stored(value.value, level)


@_stored.register(SecretStr)
@_stored.register(SecretBytes)
@_stored.register(Secret)
def _secret(_value: object, _level: int) -> NoReturn:
    raise _Refused("a secret, which must not be stored")


@_stored.register(BaseModel)
def _model(value: BaseModel, level: int) -> Any:
    try:
        dumped = value.model_dump(by_alias=False, round_trip=True, warnings=False)
    except Exception as error:  # noqa: BLE001  # users' serializers may raise anything
        raise _Refused(f"{_article(value)}, which cannot be serialized ({type(error).__name__})") from None
    return _stored(dumped, level)


@_stored.register(Mapping)
def _object(value: Mapping[Any, Any], level: int) -> dict[str, Any]:
    _check_level(level)
    stored: dict[str, Any] = {}
    for key, item in value.items():
        try:
            stored[_new_key(key, stored)] = _stored(item, level + 1)
        except _Refused as refusal:
            refusal.within(value, key)
            raise
    if "$ref" in stored and "$id" in stored:
        raise _Refused("an object with $ref and $id, which is read back as a reference (use bson.DBRef for one)")
    return stored


def _new_key(key: object, stored: Mapping[str, Any]) -> str:
    name = _text(key, 0) if isinstance(key, str) else next(iter(_jsonable({key: None})))
    if "\0" in name:
        raise _Refused("a key that holds NUL")
    if name in stored:
        raise _Refused("a key that appears twice, once as text")
    return name


@_stored.register(list)
@_stored.register(tuple)
@_stored.register(deque)
def _array(value: Iterable[Any], level: int) -> list[Any]:
    _check_level(level)
    stored = []
    for index, item in enumerate(value):
        try:
            stored.append(_stored(item, level + 1))
        except _Refused as refusal:
            refusal.within(value, index)
            raise
    return stored


@_stored.register(set)
@_stored.register(frozenset)
def _sorted_array(value: Iterable[Any], level: int) -> list[Any]:
    items = _array(value, level)
    kinds = {type(item) for item in items}
    if len(kinds) <= 1 and kinds <= {str, int, float, bytes, datetime}:
        return sorted(items)
    return sorted(items, key=canonical)


def _check_level(level: int) -> None:
    if level > MAX_LEVELS:
        raise _Refused(f"more than {MAX_LEVELS} levels of objects and arrays", is_depth=True)


def _jsonable(value: Any) -> Any:
    try:
        jsonable = to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        jsonable = value
    if jsonable is value:
        raise _Refused(f"{_article(value)}, which Pydantic cannot write as JSON")
    return jsonable


def _article(value: object) -> str:
    name = type(value).__qualname__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record as BSON.

    Raises:
        InvalidEvent: the record is too large, or holds a value that BSON cannot encode.
    """
    try:
        data = bson.encode(record, False, CODEC)  # noqa: FBT003 - keywords cost a tenth of it
    except (BSONError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise InvalidEvent("payload", f"BSON cannot encode it ({type(error).__name__})") from error
    if len(data) > MAX_RECORD_BYTES:
        raise InvalidEvent(
            "payload", f"the record would take {len(data):,} bytes, and {MAX_RECORD_BYTES:,} are allowed"
        )
    return data


def canonical(stored: Any) -> bytes:
    """Return bytes that are equal for equal stored forms: keys are sorted, integers have one width."""
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
