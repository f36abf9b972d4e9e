"""The stored form of each value, and the values that are refused."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import bson
import pytest
import uuid_utils
from pydantic import (
    BaseModel,
    ConfigDict,
    HttpUrl,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    computed_field,
    field_serializer,
)

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.encoding import CODEC, canonical, encoded, stored_form

CLOCK = datetime(2026, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC)


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Unit(StrEnum):
    KG = "kg"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Place:
    name: str
    at: Point


class Line(BaseModel):
    sku: str
    price: Decimal

    @computed_field
    def label(self) -> str:
        return self.sku.upper()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Shouted(BaseModel):
    name: str

    @field_serializer("name")
    def _shout(self, name: str) -> str:
        return name.upper()


class Names(RootModel[list[str]]):
    pass


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("text", "text"),
        ("\0 in a text", "\0 in a text"),
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (1.5, 1.5),
        (b"\x00", b"\x00"),
        (CLOCK, CLOCK.replace(microsecond=123_000)),
        (CLOCK.astimezone(timezone(timedelta(hours=5))), CLOCK.replace(microsecond=123_000)),
        (date(2026, 1, 31), "2026-01-31"),
        (time(10, 30, 0, 5), "10:30:00.000005"),
        (timedelta(days=400, seconds=3), "P400DT3S"),
        (timedelta(microseconds=-1), "-P0DT0.000001S"),
        (Decimal("12.50"), bson.Decimal128("12.50")),
        (Decimal("1." + "3" * 40), "1." + "3" * 40),
        (Decimal("1E+7000"), "1E+7000"),
        (Decimal("NaN123"), "NaN123"),
        (UUID(int=7), UUID(int=7)),
        (uuid_utils.UUID(int=7), UUID(int=7)),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (Unit.KG, "kg"),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        ({"c", "a", "b"}, ["a", "b", "c"]),
        (frozenset({3, 1, 2}), [1, 2, 3]),
        ({Unit.KG: 1}, {"kg": 1}),
        (
            {1: "x", None: "y", date(2026, 1, 1): {True: 0}},
            {"1": "x", "None": "y", "2026-01-01": {"true": 0}},
        ),
        (deque([1, CLOCK]), [1, CLOCK.replace(microsecond=123_000)]),
        (HttpUrl("https://example.org/a"), "https://example.org/a"),
        (IPv4Address("10.0.0.1"), "10.0.0.1"),
        (Path("/a/b"), "/a/b"),
        (re.compile("a.*"), "a.*"),
        (Shouted(name="ada"), {"name": "ADA"}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (Line(sku="s", price=Decimal(1)), {"sku": "s", "price": bson.Decimal128("1")}),
        (Open.model_validate({"a": 1, "b": 2}), {"a": 1, "b": 2}),
        (Names(["a"]), ["a"]),
        (Place("here", Point(1, 2)), {"name": "here", "at": [1, 2]}),
        (bson.ObjectId(bytes(12)), bson.ObjectId(bytes(12))),
        (bson.Int64(5), bson.Int64(5)),
        (bson.Timestamp(1, 2), bson.Timestamp(1, 2)),
        (bson.DatetimeMS(2**60), bson.DatetimeMS(2**60)),
        ({"$a": 1, "b.c": 2, "": 3, "$ref": "#/x"}, {"$a": 1, "b.c": 2, "": 3, "$ref": "#/x"}),
    ],
)
def test_a_value_has_one_stored_form(value: object, stored: object) -> None:
    found = stored_form(value)
    assert found == stored
    assert type(found) is type(stored)
    bson.encode({"": found}, codec_options=CODEC)


@pytest.mark.parametrize(
    ("payload", "path", "reason"),
    [
        ({"a": {1: "x", "1": "y"}}, "payload.a.1", "a key that appears twice"),
        ({"a": {object: "x"}}, "payload.a.<class 'object'>", "which Pydantic cannot write as JSON"),
        ({"a": {"b\0": "x"}}, "payload.a.b\\x00", "holds NUL"),
        ({"\udcff": 1}, "payload.\\udcff", "lone surrogate"),
        ({"a": ["x", "\udcff"]}, "payload.a.1", "lone surrogate"),
        ({"a": 2**63}, "payload.a", "64 bits"),
        ({"a": -(2**63) - 1}, "payload.a", "64 bits"),
        ({"a": float("nan")}, "payload.a", "not finite"),
        ({"a": {"b": [float("inf")]}}, "payload.a.b.0", "not finite"),
        ({"a": datetime(2026, 1, 31)}, "payload.a", "without a zone"),  # noqa: DTZ001
        ({"a": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))}, "payload.a", "no date in UTC"),
        ({"a": SecretStr("hunter2")}, "payload.a", "a secret"),
        ({"a": SecretBytes(b"hunter2")}, "payload.a", "a secret"),
        ({"a": Secret("hunter2")}, "payload.a", "a secret"),
        ({"a": object()}, "payload.a", "an object, which Pydantic cannot write as JSON"),
        ({"a": Place}, "payload.a", "a type, which Pydantic cannot write as JSON"),
        ({"a": [(i for i in "ab")]}, "payload.a.0", "a generator, which can be read only once"),
        ({"a": map(str, "ab")}, "payload.a", "a map, which can be read only once"),
        ({"a": deque([SecretStr("hunter2")])}, "payload.a.0", "a secret"),
        ({"a": {"$ref": "x", "$id": 1}}, "payload.a", "read back as a reference"),
    ],
)
def test_a_value_that_cannot_be_kept_exactly_is_refused_with_its_path(payload: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        stored_form(payload)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert "hunter2" not in str(caught.value)


def test_ninety_seven_levels_are_kept_and_no_more() -> None:
    deepest: Any = {}
    for _ in range(96):
        deepest = {"a": deepest}
    stored_form(deepest)
    with pytest.raises(InvalidEvent, match="more than 97 levels") as caught:
        stored_form({"a": deepest})
    assert caught.value.path.startswith("payload.a.a.a")


@pytest.mark.parametrize("kind", ["object", "array", "two steps"])
def test_a_cycle_is_called_a_cycle(kind: str) -> None:
    payload: dict[str, Any] = {"x": {}}
    if kind == "object":
        payload["x"]["self"] = payload["x"]
        path = "payload.x.self"
    elif kind == "array":
        payload["x"]["list"] = [1]
        payload["x"]["list"].append(payload["x"]["list"])
        path = "payload.x.list.1"
    else:
        payload["x"]["y"] = {"z": payload}
        path = "payload.x.y.z"
    with pytest.raises(InvalidEvent, match="a cycle") as caught:
        stored_form(payload)
    assert caught.value.path == path


def test_a_long_path_is_cut() -> None:
    with pytest.raises(InvalidEvent) as caught:
        stored_form({"k" * 500: {"b": 2**70}})
    assert len(caught.value.path) == 300


def test_the_same_object_in_two_places_is_not_a_cycle() -> None:
    shared = {"a": 1}
    assert stored_form([shared, shared, [shared]]) == [{"a": 1}, {"a": 1}, [{"a": 1}]]


def test_containers_are_copied() -> None:
    payload: dict[str, Any] = {"a": [1]}
    stored = stored_form(payload)
    payload["a"].append(2)
    assert stored == {"a": [1]}


def test_a_mixed_set_has_one_order() -> None:
    items = {1, "a", None, (2, "b"), Decimal("1.5"), UUID(int=1), date(2026, 1, 1)}
    orders = {str(stored_form(set(some))) for some in (items, sorted(items, key=str), sorted(items, key=repr))}
    assert len(orders) == 1


@pytest.mark.parametrize("duration", [timedelta(0), timedelta.max, timedelta.min, timedelta(seconds=-3.5)])
def test_pydantic_reads_a_duration_back(duration: timedelta) -> None:
    assert TypeAdapter(timedelta).validate_python(stored_form(duration)) == duration


def test_a_record_past_15_mib_is_refused() -> None:
    encoded({"payload": {"text": "x" * (15 * 1024 * 1024 - 100)}})
    with pytest.raises(InvalidEvent, match="15,728,640 are allowed"):
        encoded({"payload": {"text": "x" * (15 * 1024 * 1024)}})


def test_a_value_that_only_bson_refuses_is_refused_too() -> None:
    scope = bson.Code("f()", {"a": object()})
    with pytest.raises(InvalidEvent, match="BSON cannot encode it"):
        encoded({"payload": stored_form({"code": scope})})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (5, bson.Int64(5)),
        (bson.Decimal128("1.50"), Decimal("1.50")),
        ([{"x": {"a": 1, "b": 2}}], [{"x": {"b": 2, "a": 1}}]),
    ],
)
def test_the_same_stored_form_has_the_same_canonical_bytes(one: object, other: object) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), ("1", 1), ([1, 2], [2, 1]), (None, {}), (b"a", "a"), ({"a": None}, {})]
)
def test_another_stored_form_has_other_canonical_bytes(one: object, other: object) -> None:
    assert canonical(one) != canonical(other)


def test_no_record_of_another_program_makes_reading_fail() -> None:
    broken = bson.encode({"a": "ABCD"}).replace(b"ABCD", b"A\xffCD")
    assert bson.decode(broken, CODEC)["a"] == "A\\xffCD"
    for milliseconds in (-(2**63), 2**63 - 1):
        moment = bson.decode(bson.encode({"a": bson.DatetimeMS(milliseconds)}), CODEC)["a"]
        assert int(moment) == milliseconds
    legacy = bson.decode(bson.encode({"a": bson.Binary(bytes(16), 3)}), CODEC)["a"]
    assert legacy == bson.Binary(bytes(16), 3)
    assert bson.decode(bson.encode({"a": bson.Decimal128("1.50")}), CODEC)["a"] == Decimal("1.50")
