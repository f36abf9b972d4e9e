import copy
import functools
import importlib
import json
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)

from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.event import caused_event, stored_payload
from craft_easy.core.events.types import (
    DomainEvent,
    PaymentCompleted,
    ResourceCreated,
    ResourceDeleted,
    ResourceUpdated,
    UserRegistered,
)

NAIVE = datetime(2026, 1, 31)  # noqa: DTZ001  # what must be refused
AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
T = TypeVar("T")
Load = Callable[[str, str], Any]


class Color(Enum):
    RED = "red"


class Kind(str, Enum):  # noqa: UP042  # the older way, whose members print as Kind.SHIPPED
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

    @computed_field  # type: ignore[prop-decorator]  # as Pydantic's documentation has it
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


def payment(**values: Any) -> PaymentCompleted:
    return PaymentCompleted(**{"payment_id": "p", "amount": 1.5, "currency": "EUR", **values})


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


@pytest.fixture
def own_classes() -> Iterator[None]:
    """Classes that a test defines are forgotten after it."""
    with event_class.forgetting_classes():
        yield


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a module that a test writes; it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str, source: str) -> Any:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setitem(sys.modules, name, None)  # so that the import is undone
        del sys.modules[name]
        return importlib.import_module(name)

    return load


class TestFields:
    def test_an_event_gets_an_id_of_version_7_and_a_time_in_whole_milliseconds(self) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        event = DomainEvent(event_type="a.b")

        assert uuid.UUID(event.event_id).version == 7
        assert str(uuid.UUID(event.event_id)) == event.event_id
        assert before <= event.timestamp <= datetime.now(UTC)
        assert event.timestamp.tzinfo is UTC
        assert event.timestamp.microsecond % 1000 == 0
        assert (event.tenant_id, event.actor_id, event.payload) == (None, None, {})

    def test_ids_made_one_after_another_differ_and_sort_in_that_order(self) -> None:
        ids = [DomainEvent(event_type="a.b").event_id for _ in range(1000)]

        assert ids == sorted(set(ids))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_does_not_repeat_the_ids_of_its_parent(self) -> None:
        script = (
            "import os\nfrom craft_easy.core.events.model.event import new_event_id as new\nnew()\nif os.fork() == 0:\n"
            "    print(*[new()[-12:] for _ in range(9)], flush=True)\n    os._exit(0)\nos.wait()\n"
            "print(*[new()[-12:] for _ in range(9)])"
        )
        ids = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

        assert len(set(ids)) == 18

    def test_an_aware_time_is_turned_to_utc_and_cut_to_milliseconds(self) -> None:
        there = datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
        event = DomainEvent(event_type="a.b", timestamp=there)

        assert event.timestamp == datetime(2026, 1, 31, 10, 0, 0, 999_000, tzinfo=UTC)
        assert event.timestamp.tzinfo is UTC

    @pytest.mark.parametrize("moment", [NAIVE, datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), "2026-01-31"])
    def test_a_naive_time_and_one_outside_of_utc_are_refused(self, moment: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            DomainEvent(event_type="a.b", timestamp=moment)
        assert [error["loc"] for error in caught.value.errors()] == [("timestamp",)]

    @pytest.mark.parametrize("values", [{}, {"event_type": ""}, {"event_type": 5}])
    def test_an_event_needs_a_type(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match="event_type"):
            DomainEvent(**values)

    def test_a_class_that_leaves_the_type_open_still_wants_one(self) -> None:
        assert Untyped(event_type="any", number=1).event_type == "any"
        with pytest.raises(ValidationError, match="must not be empty"):
            Untyped(event_type="", number=1)

    def test_an_empty_event_id_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="event_id"):
            DomainEvent(event_type="a.b", event_id="")

    def test_an_event_is_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            payment().amount = 2.0

    def test_the_six_fields_come_first_and_in_order(self) -> None:
        names = ["event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload"]

        assert list(DomainEvent.model_fields) == names
        assert list(payment().model_dump()) == [*names, "payment_id", "amount", "currency"]

    @pytest.mark.parametrize(
        ("event", "event_type", "payload"),
        [
            (ResourceCreated(resource="r", item_id="i"), "resource.created", {"resource": "r", "item_id": "i"}),
            (
                ResourceUpdated(resource="r", item_id="i", changes={"a": 1}),
                "resource.updated",
                {"resource": "r", "item_id": "i", "changes": {"a": 1}},
            ),
            (ResourceDeleted(resource="r", item_id="i"), "resource.deleted", {"resource": "r", "item_id": "i"}),
            (payment(), "payment.completed", {"payment_id": "p", "amount": 1.5, "currency": "EUR"}),
            (UserRegistered(user_id="u", email="e"), "user.registered", {"user_id": "u", "email": "e"}),
        ],
    )
    def test_the_types_of_the_package(self, event: DomainEvent, event_type: str, payload: dict[str, Any]) -> None:
        assert (event.event_type, event.payload) == (event_type, payload)
        assert type(DomainEvent.from_record(record_of(event))) is type(event)


class TestFolding:
    def test_fields_are_payload(self) -> None:
        event = BookingCancelled(booking_id="b", reason="rain", tenant_id="t")

        assert event.payload == {"booking_id": "b", "reason": "rain"}
        assert event.payload["booking_id"] == event.booking_id
        assert event.tenant_id == "t"

    def test_extra_payload_keys_are_kept(self) -> None:
        assert payment(payload={"note": "n"}).payload == {
            "payment_id": "p",
            "amount": 1.5,
            "currency": "EUR",
            "note": "n",
        }

    def test_a_payload_that_was_given_is_not_changed(self) -> None:
        given: dict[str, Any] = {}
        event = payment(payload=given)

        assert given == {}
        assert event.payload is not given

    def test_a_field_wins_over_a_payload_key_of_the_same_name(self) -> None:
        assert payment(payload={"amount": 2, "note": "n"}).payload == {**payment().payload, "note": "n"}

    def test_braces_in_a_name_do_not_disturb_the_message(self) -> None:
        with pytest.raises(ValidationError, match="An instance of PaymentCompleted"):
            payment(event_type="{event_class}")

    @each_event
    def test_a_dump_validates_to_an_equal_event(self, event: DomainEvent) -> None:
        cls = type(event)

        assert cls.model_validate(event.model_dump(round_trip=True)) == event
        assert cls.model_validate(event.model_dump(round_trip=True, by_alias=True)) == event
        assert cls.model_validate_json(event.model_dump_json(round_trip=True)) == event
        assert cls.model_validate_json(event.model_dump_json(round_trip=True, by_alias=True)) == event

    @each_event
    def test_every_own_field_is_in_the_payload(self, event: DomainEvent) -> None:
        own = type(event).model_fields.keys() - DomainEvent.model_fields.keys()

        assert {name: getattr(event, name) for name in own} == {name: event.payload[name] for name in own}

    def test_the_payload_holds_the_values_of_the_fields_themselves(self) -> None:
        event = rich()

        assert event.payload["line"] is event.line
        assert event.payload["day"] == date(2026, 1, 31)
        assert event.payload["numbers"] == {1, 2}

    def test_a_model_as_a_payload_value_stays_usable(self) -> None:
        event = DomainEvent(event_type="a.b", payload={"line": Line(price=Decimal(1))})

        assert event.payload["line"].price == 1

    def test_unknown_arguments_are_an_error(self) -> None:
        with pytest.raises(ValidationError, match="valid dictionary"):
            Computing.model_validate([1])
        with pytest.raises(ValidationError, match="Extra inputs"):
            Computing(net=1, brutto=2)  # type: ignore[call-arg]
        with pytest.raises(ValidationError, match="Extra inputs"):
            payment(gross=2)

    def test_fields_are_accepted_by_name_and_by_alias_and_folded_by_name(self) -> None:
        by_alias = Aliased(paymentId="p", n=2)  # type: ignore[call-arg]  # a static checker knows one alias at most

        assert by_alias.payload == {"payment_id": "p", "count": 2}
        assert Aliased.model_validate({"payment_id": "p", "number": 2}).payload == by_alias.payload
        assert Aliased.model_validate({"payment_id": "p", "count": 2}).payload == by_alias.payload

    def test_it_survives_a_users_own_post_init_and_folds_what_that_changes(self) -> None:
        event = PostInit(number=1, name="b", payload={"more": True})

        assert event.payload == {"number": 1, "name": "B", "more": True}
        assert PostInitBelow(number=1, more=2).payload == {"number": 1, "name": "A", "more": 2}
        assert Mixed(number=1).payload == {"word": "A", "number": 1}

    def test_private_attributes_live_beside_it(self) -> None:
        event = Private(number=1)
        event._seen = 9

        assert (event._seen, event.payload) == (9, {"number": 1})
        assert Private(number=1)._seen == 4

    def test_an_event_is_folded_as_a_part_of_another_model(self) -> None:
        class Holder(BaseModel):
            payment: PaymentCompleted
            either: PaymentCompleted | UserRegistered

        holder = Holder.model_validate({"payment": payment().model_dump(), "either": payment()})
        assert holder.payment.payload == payment().payload
        assert TypeAdapter(list[PaymentCompleted]).validate_python([payment().model_dump()])[0].amount == 1.5
        assert Holder.model_json_schema()["$defs"]["PaymentCompleted"]["required"] == [
            "payment_id",
            "amount",
            "currency",
        ]

    def test_generics_self_references_and_late_annotations_fold(self) -> None:
        assert Changed[int](value=1).payload == {"value": 1}
        assert Tree(left=Tree(leaf=Leaf())).payload["left"].payload == {"left": None, "leaf": Leaf()}
        assert Later(number=1).payload == {"number": 1}

    def test_future_annotations_of_a_users_module_are_understood(self, load: Load, own_classes: None) -> None:
        module = load(
            "future_events",
            "from __future__ import annotations\n"
            "from craft_easy.core.events.types import DomainEvent\n"
            "class Moved(DomainEvent):\n    event_type: str = 'types.moved'\n"
            "    place: Place\n    parts: list[Place] = []\n"
            "from pydantic import BaseModel\n"
            "class Place(BaseModel):\n    name: str\n",
        )
        event = module.Moved(place={"name": "x"})

        assert event.payload == {"place": module.Place(name="x"), "parts": []}
        assert DomainEvent.from_record(record_of(event, place={"name": "x"}, parts=[])) == event

    def test_a_construct_of_trusted_values_is_folded(self) -> None:
        event = PaymentCompleted.model_construct(payment_id="p", amount=1.5, currency="EUR", payload={"more": 1})

        assert event.payload == {"payment_id": "p", "amount": 1.5, "currency": "EUR", "more": 1}
        assert PaymentCompleted.model_construct(payment_id="p").payload == {"payment_id": "p"}


class TestCopies:
    def test_a_copy_with_changes_is_folded_again(self) -> None:
        event = payment(payload={"note": "n"})
        changed = event.model_copy(update={"amount": 2.0, "tenant_id": "t"})

        assert changed.payload == {"payment_id": "p", "amount": 2.0, "currency": "EUR", "note": "n"}
        assert (changed.amount, changed.tenant_id, changed.event_id) == (2.0, "t", event.event_id)
        assert event.payload["amount"] == 1.5

    def test_a_new_payload_replaces_the_extra_keys(self) -> None:
        assert payment(payload={"a": 1}).model_copy(update={"payload": {"b": 2}}).payload == {
            **payment().payload,
            "b": 2,
        }

    def test_a_copy_knows_which_fields_were_given(self) -> None:
        changed = payment().model_copy(update={"tenant_id": "t", "payment_id": "q"})

        assert changed.model_fields_set == {"payment_id", "amount", "currency", "tenant_id"}
        assert "event_id" not in changed.model_fields_set

    @each_event
    def test_copies_and_pickles_are_equal(self, event: DomainEvent) -> None:
        assert event.model_copy() == event
        assert event.model_copy(deep=True) == event
        assert event.model_copy(update={"tenant_id": "other"}).payload == event.payload
        assert copy.copy(event) == event
        assert copy.deepcopy(event) == event
        assert pickle.loads(pickle.dumps(event)) == event

    def test_a_copy_of_an_event_from_the_log_keeps_what_the_log_said(self) -> None:
        event = DomainEvent.from_record({**record_of(payment(), payment_id="p", amount="1", currency="E"), "extra": 1})

        for twin in (event.model_copy(), copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
            assert stored_payload(twin) == {"payment_id": "p", "amount": "1", "currency": "E"}

    def test_a_changed_copy_is_another_event_but_has_the_same_cause(self) -> None:
        record = {**record_of(payment()), "causation_id": "c", "correlation_id": "d", "extra": 1}
        changed = DomainEvent.from_record(record).model_copy(update={"amount": 2.0})

        assert stored_payload(changed)["amount"] == 2.0
        assert (changed.causation_id, changed.correlation_id) == ("c", "d")


class TestComparing:
    def test_events_compare_by_class_and_fields(self) -> None:
        event = payment()
        plain = DomainEvent.model_validate({name: getattr(event, name) for name in DomainEvent.model_fields})

        assert event == PaymentCompleted.model_validate(event.model_dump())
        assert event != payment()
        assert event != plain
        assert event != event.model_dump()
        assert Shipped(event_id="e", timestamp=AT) != DomainEvent(
            event_type="types.shipped", event_id="e", timestamp=AT
        )
        assert Changed[int](value=1, event_id="e", timestamp=AT) == Changed(value=1, event_id="e", timestamp=AT)

    def test_private_attributes_and_cached_properties_do_not_count(self) -> None:
        event, cached = Private(number=1), Cached(number=1)
        other, plain = event.model_copy(), cached.model_copy()
        other._seen = 5
        assert cached.ten_times == 10

        assert event == other
        assert cached == plain
        assert plain == cached

    def test_events_hash_by_their_id(self) -> None:
        event = payment()

        assert hash(event) == hash(event.event_id) == hash(event.model_copy(update={"tenant_id": "t"}))
        assert {event, event.model_copy()} == {event}
        assert hash(rich()) is not None


class TestFromRecord:
    def test_a_record_comes_back_as_the_class_that_claims_its_type(self) -> None:
        event = BookingCancelled(booking_id="b", reason="r", tenant_id="t", actor_id="a", payload={"extra": 1})
        again = DomainEvent.from_record(record_of(event))

        assert type(again) is BookingCancelled
        assert again == event

    @pytest.mark.parametrize(
        "event",
        [each for each in EVENTS if type(each) not in (PostInitBelow, Untyped)],
        ids=lambda event: type(event).__name__,
    )
    def test_every_event_of_a_class_that_claims_its_type_comes_back_equal(self, event: DomainEvent) -> None:
        again = DomainEvent.from_record(record_of(event))

        assert again == event

    def test_values_come_back_from_their_stored_forms_as_what_they_were(self) -> None:
        event = rich()
        stored = {
            "day": "2026-01-31",
            "at": "10:30:00",
            "took": "P1DT3S",
            "price": "1.10",
            "ref": event.ref,
            "numbers": [1, 2],
            "names": ["a"],
            "pair": [1, "a"],
            "color": "red",
            "line": {"price": Decimal(2), "tags": [], "article": ""},
            "lines": [{"price": "2.5", "tags": ["x"], "article": "a"}],
            "data": b"\x01",
            "moment": AT,
            "maybe": None,
            "made": ["a"],
        }
        again = DomainEvent.from_record(record_of(event, **stored))

        assert again == event
        assert again.payload == stored_payload(again) == stored

    def test_a_strict_class_reads_stored_forms_too(self) -> None:
        event = Strict(day=date(2026, 1, 31), numbers={1})

        assert DomainEvent.from_record(record_of(event, day="2026-01-31", numbers=[1])) == event

    def test_a_nested_model_comes_back_by_the_names_of_its_fields(self, own_classes: None) -> None:
        class Sent(DomainEvent):
            event_type: str = "types.sent"
            to: Address

        event = Sent(to=Address(street="s", zip="z"))

        assert DomainEvent.from_record(record_of(event, to={"street": "s", "zip_code": "z"})) == event

    def test_an_unknown_type_is_a_plain_event(self) -> None:
        event = DomainEvent.from_record(record_of(DomainEvent(event_type="nobody.knows", payload={"payment_id": 1})))

        assert type(event) is DomainEvent
        assert event.payload == {"payment_id": 1}

    @pytest.mark.parametrize(
        "payload", [{"payment_id": "p"}, {"payment_id": "p", "amount": "much", "currency": "EUR"}, {"other": [1, {}]}]
    )
    def test_a_payload_that_no_longer_fits_is_a_plain_event_with_the_payload_intact(self, payload: Any) -> None:
        event = DomainEvent.from_record(record_of(payment(), **payload))

        assert type(event) is DomainEvent
        assert event.event_type == "payment.completed"
        assert event.payload == stored_payload(event) == payload

    def test_a_validator_that_raises_anything_loses_no_event(self) -> None:
        record = record_of(DomainEvent(event_type="types.raising"), error="e")

        assert type(DomainEvent.from_record(record)) is DomainEvent

    def test_a_validator_that_returns_something_else_loses_no_event(self, own_classes: None) -> None:
        class Odd(DomainEvent):
            event_type: str = "types.odd"

            @model_validator(mode="wrap")
            @classmethod
            def _other(cls, value: Any, handler: Any) -> Any:
                return "no event"

        assert type(DomainEvent.from_record(record_of(DomainEvent(event_type="types.odd")))) is DomainEvent

    def test_a_payload_written_before_a_field_was_added_is_completed_but_stored_as_it_was(self) -> None:
        event = DomainEvent.from_record(record_of(Aliased.model_validate({"payment_id": "p"}), payment_id="p", old="o"))

        assert isinstance(event, Aliased)
        assert event.count == 1
        assert event.payload == stored_payload(event) == {"payment_id": "p", "old": "o"}

    def test_a_subclass_reads_every_type(self) -> None:
        assert type(PaymentCompleted.from_record(record_of(rich()))) is Rich

    def test_a_record_is_not_changed_by_reading_it(self) -> None:
        record = record_of(payment(payload={"more": 1}))
        before = copy.deepcopy(record)
        event = DomainEvent.from_record(record)
        plain = DomainEvent.from_record({**record, "event_type": "x"})

        assert record == before
        assert event.payload is not record["payload"]
        assert plain.payload is not record["payload"]

    def test_a_type_of_a_generic_class_comes_back_as_the_class_itself(self) -> None:
        event = Changed[int](value=1)

        assert DomainEvent.from_record(record_of(event)) == event

    def test_what_is_no_event_at_all_is_still_one_to_read(self) -> None:
        event = DomainEvent.from_record({"_id": 7})

        assert (event.event_id, event.event_type, event.payload) == ("", "", {})
        assert DomainEvent.from_record({}).event_id == ""
        assert event.model_copy(update={"event_type": "mended"}).event_type == "mended"


class TestCauses:
    def test_an_event_made_here_has_no_cause_until_one_is_set(self) -> None:
        event = payment()
        assert (event.causation_id, event.correlation_id) == (None, None)

        child = caused_event(event, causation_id="parent", correlation_id="first")

        assert (child.causation_id, child.correlation_id) == ("parent", "first")
        assert child == event
        assert (event.causation_id, event.correlation_id) == (None, None)

    def test_a_derived_id_leaves_the_event_that_the_caller_holds_alone(self) -> None:
        event = payment(event_id="mine")
        child = caused_event(event, causation_id="parent", correlation_id="first", event_id="derived")

        assert (event.event_id, child.event_id) == ("mine", "derived")
        assert child.payload == event.payload

    def test_causes_are_read_from_the_record_and_are_no_fields(self) -> None:
        event = DomainEvent.from_record({**record_of(payment()), "causation_id": "c", "correlation_id": "d"})

        assert (event.causation_id, event.correlation_id) == ("c", "d")
        assert not {"causation_id", "correlation_id"} & event.model_dump().keys()
        assert event == DomainEvent.from_record(record_of(event))

    def test_a_cause_leaves_private_attributes_alone(self) -> None:
        own = Private(number=1)
        own._seen = 8
        event = caused_event(own, causation_id="c", correlation_id="d")

        assert isinstance(event, Private)
        assert (event._seen, event.causation_id) == (8, "c")
        assert pickle.loads(pickle.dumps(event)).causation_id == "c"

    def test_a_field_of_that_name_is_the_users_own(self) -> None:
        event = caused_event(Correlated(correlation_id="mine"), causation_id="c", correlation_id="d")

        assert (event.correlation_id, event.causation_id) == ("mine", "c")
        assert event.payload == {"correlation_id": "mine"}
        with pytest.raises(ValidationError):
            Correlated()  # type: ignore[call-arg]

    def test_other_missing_attributes_are_errors(self) -> None:
        with pytest.raises(AttributeError, match="nothing"):
            _ = payment().nothing  # type: ignore[attr-defined]


class TestClaiming:
    def test_an_instance_cannot_state_another_type_than_its_class(self, own_classes: None) -> None:
        class Below(PaymentCompleted):
            more: int = 0

        for make in (payment, lambda **values: Below(payment_id="p", amount=1, currency="E", **values)):
            assert make(event_type="payment.completed").event_type == "payment.completed"
            with pytest.raises(ValidationError, match="cannot state another type") as caught:
                make(event_type="payment.failed")
            assert caught.value.errors()[0]["loc"] == ("event_type",)
        with pytest.raises(ValidationError, match="cannot state another type"):
            Changed[int](value=1, event_type="x")

    def test_a_class_that_inherits_its_type_is_not_registered(self, own_classes: None) -> None:
        class Below(BookingCancelled):
            more: int = 0

        assert event_class.class_of("types.booking_cancelled") is BookingCancelled
        assert type(DomainEvent.from_record(record_of(Below(booking_id="b", reason="r")))) is BookingCancelled

    def test_a_parametrised_generic_is_not_registered(self) -> None:
        assert Changed[int].__event_type__ == "types.changed"
        assert event_class.class_of("types.changed") is Changed

    def test_a_class_without_a_type_of_its_own_claims_none(self) -> None:
        assert Untyped.__event_type__ is None
        assert event_class.class_of("") is None

    def test_a_literal_or_a_field_states_a_type_too(self, own_classes: None) -> None:
        class Literally(DomainEvent):
            event_type: Literal["types.literally"] = "types.literally"

        class Fielded(DomainEvent):
            event_type: str = Field("types.fielded", description="d")

        assert event_class.class_of("types.literally") is Literally
        assert event_class.class_of("types.fielded") is Fielded

    def test_a_member_of_an_enum_becomes_plain_text(self) -> None:
        assert type(Shipped().event_type) is str
        assert Shipped().event_type == Shipped(event_type=Kind.SHIPPED).event_type == "types.shipped"
        assert event_class.class_of("types.shipped") is Shipped
        assert json.loads(Shipped().model_dump_json())["event_type"] == "types.shipped"

    @pytest.mark.parametrize("value", ["", 5, None])
    def test_a_class_must_state_a_type_that_can_be_one(self, value: Any) -> None:
        with pytest.raises(TypeError, match="must be a text and not empty"):

            class Wrong(DomainEvent):
                event_type: str = value

    @pytest.mark.parametrize("config", [{"extra": "allow"}, {"extra": "ignore"}, {"frozen": False}])
    def test_a_class_cannot_loosen_what_every_event_promises(self, config: Any) -> None:
        with pytest.raises(TypeError, match="leave `frozen` and `extra` out"):

            class Wrong(DomainEvent):
                model_config = ConfigDict(**config)  # type: ignore[typeddict-item]

        with pytest.raises(TypeError, match="leave `frozen` and `extra` out"):

            class WrongToo(DomainEvent, **config):
                pass


def test_importing_the_types_imports_no_driver() -> None:
    script = "import sys, craft_easy.core.events.types; print([m for m in sys.modules if m.split('.')[0] in %r])"
    names = ("bson", "motor", "pymongo", "rich", "typer")
    found = subprocess.run([sys.executable, "-c", script % (names,)], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
