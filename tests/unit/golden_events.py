"""Events of every type that version 1 could store, for the golden test of their stored form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import bson
from pydantic import BaseModel, ConfigDict, Field, RootModel

from craft_easy.core.events.types import (
    DomainEvent,
    PaymentCompleted,
    ResourceCreated,
    ResourceDeleted,
    ResourceUpdated,
    UserRegistered,
)

T = TypeVar("T")
AT: Final = datetime(2026, 1, 31, 10, 0, 0, 123_000, tzinfo=UTC)


class GoldenColor(Enum):
    RED = "red"


class GoldenKind(str, Enum):  # noqa: UP042  # the older style, whose members print as GoldenKind.SHIPPED
    SHIPPED = "shipped"


class GoldenLevel(IntEnum):
    HIGH = 3


@dataclasses.dataclass
class GoldenPoint:
    x: int
    at: datetime


class GoldenAddress(BaseModel):
    model_config = ConfigDict(extra="allow")

    street: str
    since: date
    number: int = Field(alias="no", default=1)


class GoldenTags(RootModel[list[str]]):
    pass


class GoldenRich(DomainEvent):
    event_type: str = "golden.rich"
    address: GoldenAddress
    tags: GoldenTags
    point: GoldenPoint
    color: GoldenColor
    kind: GoldenKind
    level: GoldenLevel
    price: Decimal
    long_price: Decimal
    key: UUID
    day: date
    hour: time
    lasts: timedelta
    back: timedelta
    at: datetime
    data: bytes
    names: set[str]
    numbers: frozenset[int]
    pair: tuple[int, str]
    lists: list[list[int]]
    mapping: dict[str, Any]
    optional: str | None = None


class GoldenPriced(DomainEvent, Generic[T]):
    event_type: str = "golden.priced"
    value: T


def event_of(event_type: str = "golden.plain", **payload: Any) -> DomainEvent:
    return DomainEvent(event_id="golden", event_type=event_type, timestamp=AT, payload=payload)


def golden_events() -> Mapping[str, DomainEvent]:
    envelope: dict[str, Any] = {
        "event_id": "0198c5d0-8a00-7abc-8def-0123456789ab",
        "timestamp": AT,
        "tenant_id": "tenant_1",
        "actor_id": "user_7",
    }
    rich = GoldenRich(
        **envelope,
        address=GoldenAddress(street="Højbro", since=date(2020, 2, 29), no=4, floor=2, seen=AT),  # type: ignore[call-arg]
        tags=GoldenTags(["a", "b"]),
        point=GoldenPoint(3, AT),
        color=GoldenColor.RED,
        kind=GoldenKind.SHIPPED,
        level=GoldenLevel.HIGH,
        price=Decimal("12.50"),
        long_price=Decimal("1." + "1234567890" * 4),
        key=UUID(int=7),
        day=date(2026, 1, 31),
        hour=time(10, 30, tzinfo=UTC),
        lasts=timedelta(days=1, seconds=5, microseconds=250_000),
        back=timedelta(seconds=-5),
        at=datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2))),
        data=b"\x00\xff",
        names={"b", "a", "ä"},
        numbers=frozenset({3, 1, 2**40}),
        pair=(1, "one"),
        lists=[[1, 2], []],
        mapping={"a": {"b": [None, True, 1.5, {"c": GoldenColor.RED}]}, "when": AT},
    )
    return {
        "created": ResourceCreated(**envelope, resource="docs", item_id="a"),
        "updated": ResourceUpdated(**envelope, resource="docs", item_id="a", changes={"title": ["x", "ÿ"], "n": 1}),
        "deleted": ResourceDeleted(**envelope, resource="docs", item_id="a", payload={"reason": "old"}),
        "paid": PaymentCompleted(**envelope, payment_id="p-1", amount=12.5, currency="EUR"),
        "paid in whole numbers": PaymentCompleted(**envelope, payment_id="p-1", amount=12, currency="EUR"),
        "registered": UserRegistered(user_id="u", email="u@example.org", event_id="x", timestamp=AT),
        "rich": rich,
        "generic": GoldenPriced[int](**envelope, value=5),
        "generic of a model": GoldenPriced[GoldenPoint](**envelope, value=GoldenPoint(1, AT)),
        "nothing": event_of(),
        "plain values": event_of(a=1, b=2**40, c=-(2**63), d=1.0, e=-0.0, f=True, g=None, h="ø\x00", i=[], j={}),
        "order of keys": event_of(b=1, a=2, nested={"z": 1, "y": 2}),
        "values of a payload": event_of(
            color=GoldenColor.RED,
            kind=GoldenKind.SHIPPED,
            level=GoldenLevel.HIGH,
            model=GoldenAddress(street="s", since=date(2020, 1, 1)),
            point=GoldenPoint(1, AT),
            decimal=Decimal("1E+3"),
            sets=[{1, 2.5, "x"}, frozenset({b"b", b"a"}), {AT}],
            mapping=MappingProxyType({"k": (1, 2)}),
            durations=[timedelta(), timedelta(microseconds=1), timedelta(days=-1)],
            moment=datetime(2026, 1, 31, 10, 0, 0, 999_999, tzinfo=UTC),
        ),
        "values of BSON": event_of(
            oid=bson.ObjectId("0123456789abcdef01234567"),
            long=bson.Int64(5),
            decimal=bson.Decimal128("1.10"),
            binary=bson.Binary(b"x", 5),
            regex=bson.Regex("a.*", "i"),
            timestamp=bson.Timestamp(1, 2),
            code=bson.Code("x"),
            keys=[bson.MinKey(), bson.MaxKey()],
        ),
    }
