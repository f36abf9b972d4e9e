"""Schemas of any shape: compared with themselves, with more fields, and with what they hold."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.model.schema.catalogue import changes
from craft_easy.core.events.model.schema.compare import ChangeKind, differences
from craft_easy.core.events.model.schema.generate import EventSchema
from craft_easy.core.events.model.schema.shape import words

NAMES = st.sampled_from(["a", "b", "c", "type", "$ref", "items"])
MODELS = ["One", "Two"]


def scalars() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.sampled_from(["integer", "number", "string", "boolean", "null"]).map(lambda kind: {"type": kind}),
        st.integers(0, 9).map(lambda least: {"type": "integer", "minimum": least}),
        st.lists(st.sampled_from(["x", "y", 1, None]), min_size=1, unique=True).map(lambda values: {"enum": values}),
        st.sampled_from([{}, {"type": "string", "format": "date-time", "bsonType": "date"}]),
        st.sampled_from(MODELS).map(lambda name: {"$ref": f"#/$defs/{name}"}),
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def of(fields: dict[str, Any], required: set[str]) -> dict[str, Any]:
        return {"type": "object", "properties": fields, "required": sorted(required & fields.keys())}

    return st.builds(of, st.dictionaries(NAMES, inner, max_size=4), st.sets(NAMES))


def parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        objects(inner),
        inner.map(lambda one: {"type": "array", "items": one}),
        inner.map(lambda one: {"type": "object", "additionalProperties": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"type": "array", "prefixItems": some}),
    )


PARTS = st.recursive(scalars(), parts, max_leaves=4)
MODEL = objects(PARTS)


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the schema of a payload, with models that may refer to each other and to themselves."""
    return {**draw(MODEL), "$defs": {name: draw(MODEL) for name in MODELS}}


@given(schemas())
def test_a_schema_compared_with_itself_has_no_change(schema: dict[str, Any]) -> None:
    assert differences(schema, schema) == []
    assert differences(schema, json.loads(json.dumps(schema))) == []


@given(schemas(), PARTS)
def test_another_optional_field_is_never_breaking(schema: dict[str, Any], part: dict[str, Any]) -> None:
    more = {**schema, "properties": {**schema["properties"], "new": part}}
    found = differences(schema, more)
    assert [(one.path, one.kind) for one in found] == [("new", ChangeKind.ADDED)]
    was, now = EventSchema("t", "C", "", schema, schema), EventSchema("t", "C", "", more, more)
    assert not any(one.is_breaking for one in changes({"t": was}, {"t": now}))


@given(schemas(), st.data())
def test_a_field_that_is_gone_is_always_breaking(schema: dict[str, Any], data: st.DataObject) -> None:
    if not schema["properties"]:
        return
    gone = data.draw(st.sampled_from(sorted(schema["properties"])))
    less = {name: part for name, part in schema["properties"].items() if name != gone}
    found = differences(schema, {**schema, "properties": less})
    assert (gone, ChangeKind.REMOVED) in {(one.path, one.kind) for one in found}


@given(schemas(), PARTS)
def test_a_field_that_may_be_null_too_is_never_breaking(schema: dict[str, Any], part: dict[str, Any]) -> None:
    was = {**schema, "properties": {"x": part}}
    now = {**schema, "properties": {"x": {"anyOf": [part, {"type": "null"}]}}}
    assert not [one for one in differences(was, now) if one.kind.is_breaking]


@given(schemas(), schemas())
def test_any_two_schemas_can_be_compared_and_put_into_words(old: dict[str, Any], new: dict[str, Any]) -> None:
    for one in differences(old, new):
        assert one.text
        assert one.unfit is None or one.kind.is_breaking
    assert all(words(part, old) for part in old["properties"].values())
