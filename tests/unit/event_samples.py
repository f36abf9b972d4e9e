"""Event classes of all shapes that an application may write, and an event of each."""

import functools
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    field_validator,
    model_validator,
)

from craft_easy.core.events.types import DomainEvent
from tests.support.events import payment

NAIVE = datetime(2026, 1, 31)  # noqa: DTZ001  # must be refused
AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
T = TypeVar("T")


class Color(Enum):
    RED = "red"


class Kind(str, Enum):  # noqa: UP042  # the older style, whose members print as Kind.SHIPPED
    SHIPPED = "types.shipped"


class Address(BaseModel):
    street: str
    zip_code: str = Field(alias="zip")


class Line(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    price: Decimal
    tags: set[str] = set()
    article: str = Field(default="", alias="art")


class BookingCancelled(DomainEvent):
    event_type: str = "types.booking_cancelled"
    booking_id: str
    reason: str


class Rich(DomainEvent):
    event_type: str = "types.rich"
    day: date
    at: time
    took: timedelta
    price: Decimal
    ref: uuid.UUID
    numbers: set[int]
    names: frozenset[str]
    pair: tuple[int, str]
    color: Color
    line: Line
    lines: list[Line]
    data: bytes
    moment: datetime
    maybe: Line | None = None
    made: list[str] = Field(default_factory=lambda: ["a"])


class Aliased(DomainEvent):
    event_type: str = "types.aliased"
    payment_id: str = Field(alias="paymentId")
    count: int = Field(default=1, validation_alias=AliasChoices("n", "number"))


class Computing(DomainEvent):
    event_type: str = "types.computing"
    net: int

    @computed_field  # type: ignore[prop-decorator]  # as in Pydantic's documentation
    @property
    def gross(self) -> int:
        return self.net * 2

    @computed_field(alias="netText")  # type: ignore[prop-decorator]
    @property
    def net_text(self) -> str:
        return str(self.net)


class Private(DomainEvent):
    event_type: str = "types.private"
    number: int
    _seen: int = PrivateAttr(default=4)


class PostInit(DomainEvent):
    event_type: str = "types.post_init"
    number: int
    name: str = "a"

    def model_post_init(self, context: Any, /) -> None:
        object.__setattr__(self, "name", self.name.upper())


class PostInitBelow(PostInit):
    more: int = 1

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)


class Shouting(BaseModel):
    word: str = "a"

    def model_post_init(self, context: Any, /) -> None:
        object.__setattr__(self, "word", self.word.upper())


class Mixed(Shouting, DomainEvent):
    event_type: str = "types.mixed"
    number: int


class Changed(DomainEvent, Generic[T]):
    event_type: str = "types.changed"
    value: T


class Tree(DomainEvent):
    event_type: str = "types.tree"
    left: "Tree | None" = None
    leaf: "Leaf | None" = None


class Leaf(BaseModel):
    size: int = 1


class Checked(DomainEvent):
    event_type: str = "types.checked"
    low: int
    high: int

    @field_validator("low", mode="before")
    @classmethod
    def _number(cls, value: object) -> int:
        return int(str(value).strip("#"))

    @model_validator(mode="after")
    def _ordered(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Strict(DomainEvent):
    model_config = ConfigDict(strict=True)

    event_type: str = "types.strict"
    day: date
    numbers: set[int]


class Cached(DomainEvent):
    event_type: str = "types.cached"
    number: int

    @functools.cached_property
    def ten_times(self) -> int:
        return self.number * 10


class Correlated(DomainEvent):
    event_type: str = "types.correlated"
    correlation_id: str


class Raising(DomainEvent):
    event_type: str = "types.raising"
    error: str

    @field_validator("error")
    @classmethod
    def _raise(cls, value: str) -> str:
        raise KeyError(value)


class Shipped(DomainEvent):
    event_type: str = Kind.SHIPPED


class Later(DomainEvent):
    model_config = ConfigDict(defer_build=True)

    event_type: str = "types.later"
    number: int


class Untyped(DomainEvent):
    event_type: str
    number: int


def rich() -> Rich:
    return Rich(
        day=date(2026, 1, 31),
        at=time(10, 30),
        took=timedelta(days=1, seconds=3),
        price=Decimal("1.10"),
        ref=uuid.UUID("12345678-1234-5678-1234-567812345678"),
        numbers={1, 2},
        names=frozenset({"a"}),
        pair=(1, "a"),
        color=Color.RED,
        line=Line(price=Decimal(2)),
        lines=[Line(price=Decimal("2.5"), tags={"x"}, art="a")],
        data=b"\x01",
        moment=AT,
    )


def record_of(event: DomainEvent, **payload: Any) -> dict[str, Any]:
    names = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id")
    return {"_id": 1, **{name: getattr(event, name) for name in names}, "payload": payload or dict(event.payload)}


EVENTS: list[DomainEvent] = [
    DomainEvent(event_type="a.b", payload={"n": 1}, tenant_id="t", actor_id="a", timestamp=AT),
    payment(payload={"extra": [1]}),
    rich(),
    Aliased.model_validate({"payment_id": "p", "count": 4}),
    Computing(net=2),
    Private(number=1),
    PostInit(number=1),
    PostInitBelow(number=1),
    Mixed(number=1),
    Changed(value="v"),
    Tree(left=Tree(), leaf=Leaf()),
    Checked(low=1, high=2),
    Strict(day=date(2026, 1, 31), numbers={1}),
    Cached(number=1),
    Correlated(correlation_id="c"),
    Shipped(),
    Later(number=1),
    Untyped(event_type="types.any", number=1),
]
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
