"""A JSON schema as alternatives of one kind each, and in words.

A schema says the same in several ways: `anyOf`, `oneOf`, a list of types, a reference. `alternatives` brings it to one
form. Kinds are those of JSON, and those that the log keeps apart: a time is a date in BSON and not a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

REF: Final = "#/$defs/"
ANY: Final = "any"
NULL: Final = "null"
MAX_WORDS: Final = 120
_BSON_KINDS: Final = {"date": "date-time", "decimal": "decimal", "binData": "bytes"}
_JSON_KINDS: Final = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): NULL,
}  # fmt: skip
_MISSING: Final[Schema] = {}
_UNIONS: Final = ("anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Shape:
    """One alternative of a schema: its kind, its keywords, and the name of its definition if it has one."""

    kind: str
    schema: Schema
    name: str | None = None


def target(schema: Any, whole: Schema) -> Any:
    """Return the very object that a reference leads to, and any other schema as it is.

    Args:
        schema: the schema.
        whole: the schema with the definitions; a missing one is `{}`.
    """
    definitions = whole.get("$defs", {})
    for _ in range(1 + len(definitions)):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            break
        schema = definitions.get(_name(schema), _MISSING)
    return schema


def definition(schema: Any, whole: Schema) -> Schema:
    """Return a copy of the schema that a reference leads to, or of any other schema; True is `{}`."""
    schema = target(schema, whole)
    if schema is False:
        return {"not": {}}
    return dict(schema) if isinstance(schema, Mapping) else {}


def alternatives(schema: Any, whole: Schema) -> list[Shape]:
    """Return the alternatives of a schema, none of which refers to a definition."""
    return list(_alternatives(schema, whole, None, 0))


def _alternatives(schema: Any, whole: Schema, name: str | None, depth: int) -> Iterator[Shape]:
    if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        name = _name(schema)
    found = definition(schema, whole)
    parts = next((found[key] for key in (*_UNIONS, "allOf") if _is_choice(found, key)), None)
    if parts is not None and depth <= len(whole.get("$defs", ())) + len(_UNIONS):
        for one in parts:
            yield from _alternatives(one, whole, None, depth + 1)
    elif "const" in found:
        yield Shape(_kind(found, [found["const"]]), {**found, "enum": [found["const"]]}, name)
    elif isinstance(found.get("enum"), list) and "type" not in found:
        yield from _by_kind(found, name)
    elif isinstance(found.get("type"), list):
        for one in found["type"]:
            yield Shape(_kind({**found, "type": one}), {**found, "type": one}, name)
    else:
        yield Shape(_kind(found), found, name)


def _is_choice(schema: Schema, key: str) -> bool:
    """Return whether a keyword is a list of alternatives; one schema alone in `allOf` is one."""
    parts = schema.get(key)
    return isinstance(parts, list) and bool(parts) and (key != "allOf" or len(parts) == 1)


def _by_kind(schema: Schema, name: str | None) -> Iterator[Shape]:
    groups: dict[str, list[Any]] = {}
    for value in schema["enum"]:
        groups.setdefault(_kind(schema, [value]), []).append(value)
    for kind, values in groups.items():
        yield Shape(kind, {**schema, "enum": values}, name)


def _kind(schema: Schema, values: list[Any] | None = None) -> str:
    if schema.get("bsonType") in _BSON_KINDS:
        return "uuid" if schema.get("format") == "uuid" else _BSON_KINDS[schema["bsonType"]]
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    if values:
        return _JSON_KINDS.get(type(values[0]), ANY)
    if "properties" in schema:
        return "object"
    return str(schema.get("x-python", ANY))


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).removeprefix(REF)


def words(schema: Any, whole: Schema) -> str:
    """Return a schema in words: `integer`, `array of Line`, `"a" | "b" | null`.

    >>> words({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}, {})
    'array of integer | null'
    """
    return words_of(alternatives(schema, whole), whole)


def words_of(shapes: list[Shape], whole: Schema, depth: int = 0) -> str:
    """Return alternatives in words."""
    text = " | ".join(dict.fromkeys(_shape_words(one, whole, depth) for one in shapes))
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"


def _shape_words(shape: Shape, whole: Schema, depth: int) -> str:
    schema = shape.schema
    if isinstance(schema.get("enum"), list):
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if shape.name is not None and shape.kind == "object":
        return shape.name
    if shape.kind == "array" and "items" in schema:
        return f"array of {_inner(schema['items'], whole, depth)}"
    if shape.kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {_inner(schema['additionalProperties'], whole, depth)}"
    if shape.kind == "string" and "format" in schema:
        return f"string ({schema['format']})"
    return shape.kind


def _inner(schema: Any, whole: Schema, depth: int) -> str:
    shapes = alternatives(schema, whole)
    if depth > 3:
        return ANY
    text = words_of(shapes, whole, depth + 1)
    return f"({text})" if len(shapes) > 1 else text
