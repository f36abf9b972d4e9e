"""What changed between two versions of an event class, and which stored events no longer fit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field, create_model
from typing_extensions import TypedDict

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.event_class import forgetting_classes
from craft_easy.core.events.model.schema.catalogue import SchemaChange, changes
from craft_easy.core.events.model.schema.compare import ChangeKind as Kind
from craft_easy.core.events.model.schema.compare import differences
from craft_easy.core.events.model.schema.generate import EventSchema, schema_of
from craft_easy.core.events.model.schema.shape import words

TYPE = "schema.tested"


@pytest.fixture(autouse=True)
def no_class_is_left() -> Iterator[None]:
    with forgetting_classes():
        yield


def event(**fields: Any) -> EventSchema:
    """Return the schemas of an event class with these fields: an annotation, or one with a default."""
    declared: dict[str, Any] = {name: one if isinstance(one, tuple) else (one, ...) for name, one in fields.items()}
    with forgetting_classes():
        cls = create_model("Tested", __base__=DomainEvent, __module__=__name__, event_type=(str, TYPE), **declared)
        cls.__event_type__ = TYPE
        return schema_of(cls)


def changed(old: EventSchema, new: EventSchema) -> list[SchemaChange]:
    return changes({TYPE: old}, {TYPE: new})


def model(name: str, config: ConfigDict | None = None, **fields: Any) -> type[BaseModel]:
    declared: dict[str, Any] = {key: one if isinstance(one, tuple) else (one, ...) for key, one in fields.items()}
    return create_model(name, __config__=config, __module__=__name__, **declared)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColors(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Puppy(BaseModel):
    kind: Literal["dog"]
    tricks: list[int]


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class WiderTree(BaseModel):
    value: int | None
    children: list[WiderTree] = []


class NarrowerTree(BaseModel):
    value: Annotated[int, Field(gt=0)]
    children: list[NarrowerTree] = []


class Keys(TypedDict):
    one: int


class NoKeys(TypedDict): ...


LINE: Any = model("Line", isbn=str, copies=int)
NOTED_LINE: Any = model("Line", isbn=str, copies=int, note=(str, ""))
SEALED = model("Line", ConfigDict(extra="forbid"), isbn=str)
OPEN = model("Line", ConfigDict(extra="allow"), isbn=str)

FINE: dict[str, tuple[dict[str, Any], dict[str, Any], str | None, Kind, str]] = {
    "an optional field": ({}, {"x": (int, 0)}, "x", Kind.ADDED, "added, optional"),
    "a field that may be null": ({"x": int}, {"x": int | None}, "x", Kind.WIDER, "integer → integer | null"),
    "another type besides": ({"x": int}, {"x": int | str}, "x", Kind.WIDER, "integer → integer | string"),
    "any type": ({"x": int}, {"x": Any}, "x", Kind.WIDER, "integer → any"),
    "a member of an enum": ({"x": Color}, {"x": MoreColors}, "x", Kind.WIDER, 'also "green"'),
    "a literal": ({"x": Literal["a"]}, {"x": Literal["a", "b"]}, "x", Kind.WIDER, 'also "b"'),
    "an enum that became a text": ({"x": Color}, {"x": str}, "x", Kind.WIDER, "any value"),
    "an integer that became a number": ({"x": int}, {"x": float}, "x", Kind.WIDER, "integer → number"),
    "a number that became a decimal": ({"x": float}, {"x": Decimal}, "x", Kind.WIDER, "number → decimal"),
    "a field that was required": ({"x": int}, {"x": (int, 1)}, "x", Kind.OPTIONAL, "made optional"),
    "a lower minimum": (
        {"x": Annotated[int, Field(ge=5)]}, {"x": Annotated[int, Field(ge=1)]}, "x", Kind.WIDER, "minimum 5 → 1",
    ),
    "a limit that is gone": (
        {"x": Annotated[str, Field(max_length=5)]}, {"x": str}, "x", Kind.WIDER, "maximum length 5 → none",
    ),
    "a date that became a text": ({"x": date}, {"x": str}, "x", Kind.WIDER, "format date → none"),
    "another default": ({"x": (int, 1)}, {"x": (int, 2)}, "x", Kind.DEFAULT, "default 1 → 2"),
    "an optional field of a model": (
        {"x": list[LINE]}, {"x": list[NOTED_LINE]},
        "x[].note", Kind.ADDED, "added, optional",
    ),
    "a member of a union": ({"x": Cat}, {"x": Cat | Dog}, "x", Kind.WIDER, "Cat → Cat | Dog"),
    "a field of a recursive model": ({"x": Tree}, {"x": WiderTree}, "x.value", Kind.WIDER, "integer → integer | null"),
    "the values of a map": ({"x": dict[str, int]}, {"x": dict[str, float]}, "x.*", Kind.WIDER, "integer → number"),
    "the items of a tuple": (
        {"x": tuple[int, str]}, {"x": tuple[int | None, str]}, "x[0]", Kind.WIDER, "integer → integer | null",
    ),
    "a model that keeps other keys": ({"x": dict[str, int]}, {"x": dict[str, Any]}, "x.*", Kind.WIDER, "any value"),
}  # fmt: skip

BREAKING: dict[str, tuple[dict[str, Any], dict[str, Any], str, Kind, str, str | None]] = {
    "a field that is gone": ({"x": int, "y": str}, {"y": str}, "x", Kind.REMOVED, "removed", None),
    "a field of another name": ({"x": int}, {"y": int}, "x", Kind.RENAMED, "renamed to y?", "all, they have no y"),
    "an optional field of another name": (
        {"x": (int, 1)}, {"y": (int, 1)}, "x", Kind.RENAMED, "renamed to y?", None,
    ),
    "a new field that is required": ({}, {"x": int}, "x", Kind.REQUIRED, "added, required", "those without it"),
    "a field that was made required": (
        {"x": (int, 1)}, {"x": int}, "x", Kind.REQUIRED, "made required", "those without it",
    ),
    "another type": ({"x": int}, {"x": str}, "x", Kind.TYPE, "integer → string", "all"),
    "a number that became an integer": ({"x": float}, {"x": int}, "x", Kind.TYPE, "number → integer", "all"),
    "another type beside null": (
        {"x": int | None}, {"x": str | None}, "x", Kind.TYPE, "integer | null → string | null",
        "those where it is integer",
    ),
    "a field that may not be null any more": (
        {"x": int | None}, {"x": int}, "x", Kind.NARROWER, "integer | null → integer", "those where it is null",
    ),
    "a time that became a text": ({"x": datetime}, {"x": str}, "x", Kind.TYPE, "date-time → string", "all"),
    "a UUID that became bytes": ({"x": UUID}, {"x": bytes}, "x", Kind.TYPE, "uuid → bytes", "all"),
    "a decimal that became a number": ({"x": Decimal}, {"x": float}, "x", Kind.TYPE, "decimal → number", "all"),
    "a member of an enum that is gone": (
        {"x": MoreColors}, {"x": Color}, "x", Kind.NARROWER, 'without "green"', 'those with "green"',
    ),
    "a text that became an enum": (
        {"x": str}, {"x": Color}, "x", Kind.NARROWER, 'only "red", "blue"', "those with another value",
    ),
    "a higher minimum": (
        {"x": Annotated[int, Field(ge=1)]}, {"x": Annotated[int, Field(ge=5)]}, "x", Kind.NARROWER, "minimum 1 → 5",
        "those below 5",
    ),
    "a new limit": (
        {"x": str}, {"x": Annotated[str, Field(max_length=5)]}, "x", Kind.NARROWER, "maximum length none → 5",
        "those longer than 5",
    ),
    "a higher minimum of a decimal": (
        {"x": Annotated[Decimal, Field(gt=1)]}, {"x": Annotated[Decimal, Field(gt=Decimal("1.5"))]}, "x", Kind.NARROWER,
        "more than 1 → 1.5", "those not more than 1.5",
    ),
    "a new pattern": (
        {"x": str}, {"x": Annotated[str, Field(pattern="^a")]}, "x", Kind.NARROWER, "pattern none → ^a",
        "those that do not match ^a",
    ),
    "anything that became a text": (
        {"x": Any}, {"x": str}, "x", Kind.NARROWER, "any → string", "those where it is not string",
    ),
    "a required field of a model": (
        {"x": model("Line", isbn=str)}, {"x": LINE}, "x.copies", Kind.REQUIRED, "added, required", "those without it",
    ),
    "a field of a model that is gone": (
        {"x": LINE}, {"x": model("Line", isbn=str)}, "x.copies", Kind.REMOVED, "removed", None,
    ),
    "a field of a model that refuses others": (
        {"x": LINE}, {"x": SEALED}, "x.copies", Kind.REMOVED, "removed", "those with it",
    ),
    "other keys that are refused": (
        {"x": OPEN}, {"x": SEALED}, "x", Kind.NARROWER, "other keys are refused", "those with other keys",
    ),
    "a member of a union that is gone": (
        {"x": Cat | Dog}, {"x": Cat}, "x", Kind.NARROWER, "Cat | Dog → Cat", "those where it is Dog",
    ),
    "a field of a member of a union": (
        {"x": Cat | Dog}, {"x": Cat | Puppy}, "x.tricks[]", Kind.TYPE, "string → integer", "all",
    ),
    "a limit in a recursive model": (
        {"x": Tree}, {"x": NarrowerTree}, "x.value", Kind.NARROWER, "more than none → 0", "those not more than 0",
    ),
    "the items of a list": ({"x": list[int]}, {"x": list[str]}, "x[]", Kind.TYPE, "integer → string", "all"),
    "the values of a map": ({"x": dict[str, int]}, {"x": dict[str, str]}, "x.*", Kind.TYPE, "integer → string", "all"),
    "a shorter tuple": (
        {"x": tuple[int, int]}, {"x": tuple[int]}, "x", Kind.NARROWER, "maximum of items 2 → 1",
        "those with more items than 1",
    ),
    "a key of a TypedDict": ({"x": Keys}, {"x": NoKeys}, "x.one", Kind.REMOVED, "removed", "those with it"),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_is_new_and_optional_or_accepts_more_is_fine(name: str) -> None:
    old, new, path, kind, text = FINE[name]
    found = changed(event(**old), event(**new))
    assert [(one.field, one.kind, one.text, one.is_breaking, one.unfit) for one in found] == [
        (path, kind, text, False, None)
    ]


@pytest.mark.parametrize("name", BREAKING)
def test_what_removes_or_accepts_less_is_breaking_and_says_which_stored_events_no_longer_fit(name: str) -> None:
    old, new, path, kind, text, unfit = BREAKING[name]
    found = [one for one in changed(event(**old), event(**new)) if one.is_breaking]
    assert (found[0].field, found[0].kind, found[0].text, found[0].unfit) == (path, kind, text, unfit)
    assert len(found) == 1


def test_a_type_that_is_gone_and_one_that_is_new() -> None:
    removed, added = changes({"a": event(x=int)}, {"b": event(y=int)})
    assert (removed.event_type, removed.kind, removed.is_breaking) == ("a", Kind.REMOVED, True)
    assert removed.unfit == "all, no class claims them"
    assert (added.event_type, added.kind, added.is_breaking) == ("b", Kind.ADDED, False)


def test_a_class_that_claims_another_type_may_have_renamed_it() -> None:
    removed, _ = changes({"a": event(x=int)}, {"b": event(x=int)})
    assert (removed.text, removed.is_breaking) == ("renamed to b?", True)


def test_two_fields_that_could_be_the_new_name_are_not_guessed() -> None:
    found = changed(event(x=int), event(y=int, z=int))
    assert [(one.field, one.text) for one in found] == [
        ("x", "removed"), ("y", "added, required"), ("z", "added, required"),
    ]  # fmt: skip


def test_a_field_that_is_stored_in_another_form_breaks_its_readers_and_not_the_class() -> None:
    as_text = Annotated[int, PlainSerializer(str, return_type=str)]
    (found,) = changed(event(x=int), event(x=as_text))
    assert (found.field, found.text, found.is_breaking, found.unfit) == ("x", "stored as: integer → string", True, None)


def test_a_change_that_fits_hides_no_change_of_the_stored_form() -> None:
    as_text = Annotated[int, PlainSerializer(str, return_type=str)]
    found = changed(event(x=(int, 1)), event(x=(as_text, 2)))
    assert [(one.kind, one.is_breaking) for one in found] == [(Kind.DEFAULT, False), (Kind.TYPE, True)]


def test_a_field_that_is_no_longer_stored_breaks_its_readers() -> None:
    (found,) = changed(event(x=(int, 1)), event(x=(int, Field(default=1, exclude=True))))
    assert (found.field, found.kind, found.is_breaking) == ("x", Kind.REMOVED, True)


def test_computed_fields_and_aliases_are_not_stored() -> None:
    class Computing(BaseModel):
        base: int = Field(alias="Base")

        @computed_field
        def double(self) -> int:
            return 2 * self.base

    stored = event(x=Computing, y=(int, Field(alias="Why"))).stored
    assert list(stored["properties"]) == ["x", "y"]
    assert list(stored["$defs"]["Computing"]["properties"]) == ["base"]


def test_a_field_with_a_default_is_always_stored_and_need_not_be_read() -> None:
    schema = event(x=(int, 1))
    assert schema.stored["required"] == ["x"]
    assert "required" not in schema.accepted


def test_the_default_of_a_set_is_written_in_one_order() -> None:
    schema = event(x=(set[str], {"e", "b", "d", "a", "c"}))
    assert schema.stored["properties"]["x"]["default"] == ["a", "b", "c", "d", "e"]


def test_what_json_has_no_type_for_is_named() -> None:
    class Odd: ...

    with forgetting_classes():
        cls: type[DomainEvent] = create_model(
            "Tested", __base__=type("Base", (DomainEvent,), {"model_config": ConfigDict(arbitrary_types_allowed=True)}),
            event_type=(str, TYPE), x=(Odd, ...),
        )  # fmt: skip
        cls.__event_type__ = TYPE
        schema = schema_of(cls)
    assert words(schema.accepted["properties"]["x"], {}).endswith("Odd")
    assert changed(schema, schema) == []


def test_models_that_refer_to_each_other_in_every_way_end() -> None:
    names = [f"M{number}" for number in range(12)]
    properties = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    definitions = {name: {"type": "object", "properties": {**properties, "x": {"type": "integer"}}} for name in names}
    old = {"type": "object", "properties": properties, "$defs": definitions}
    texts = {name: {"type": "object", "properties": {**properties, "x": {"type": "string"}}} for name in names}
    new = {"type": "object", "properties": properties, "$defs": texts}
    found = differences(old, new)
    assert found[0].text == "integer → string"
    assert len(found) <= 200


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/A"},
        {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
        {"$ref": 3},
        {"enum": []},
        {"type": ["integer", "null"]},
        True,
        False,
    ],
)
def test_a_schema_of_any_form_can_be_compared_with_itself(schema: Any) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}
    assert differences(whole, whole) == []


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "uri"}, "string (uri)"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "array of (integer | null)"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map of integer"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"$ref": "#/$defs/Line"}, "Line"),
        ({}, "any"),
    ],
)
def test_a_schema_in_words(schema: dict[str, Any], text: str) -> None:
    assert words(schema, {"$defs": {"Line": {"type": "object", "properties": {}}}}) == text
