"""The JSON schemas of an event class.

`stored` is what the log keeps and consumers read: the payload as the class's serializers write it. `accepted` is what
the class reads back. Both name fields as the log does, without aliases, and leave out computed fields, which are not
stored. Values that BSON has a type for are marked with `bsonType`, as in MongoDB's own `$jsonSchema`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from craft_easy.core.events.model.event import DomainEvent, class_name
from craft_easy.core.events.model.schema.shape import REF, Schema, definition


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The schemas of the payload of one event type.

    Args:
        event_type: the event type.
        class_name: the qualified name of the class that claims it.
        description: the docstring of the class, or an empty text.
        stored: the JSON schema of the payload that the log keeps.
        accepted: the JSON schema of the payload that the class reads.
    """

    event_type: str
    class_name: str
    description: str
    stored: Schema
    accepted: Schema


def schema_of(cls: type[DomainEvent]) -> EventSchema:
    """Return the schemas of an event class that claims a type.

    Raises:
        PydanticUserError: the class has no schema, for example because a name in an annotation does not exist.
    """
    stored, description = _payload_schema(cls, "serialization")
    accepted, _ = _payload_schema(cls, "validation")
    return EventSchema(str(cls.__event_type__), class_name(cls), description, stored, accepted)


def _payload_schema(cls: type[DomainEvent], mode: JsonSchemaMode) -> tuple[Schema, str]:
    """Return the schema of an event's own fields, with the definitions that they need, and its description."""
    whole = cls.model_json_schema(by_alias=False, mode=mode, schema_generator=StoredFormSchema)
    root = definition(whole, whole)
    own = {name: field for name, field in root.get("properties", {}).items() if name in cls.__own_fields__}
    schema: Schema = {"type": "object", "properties": own}
    if required := [name for name in root.get("required", ()) if name in own]:
        schema["required"] = required
    definitions = whole.get("$defs", {})
    if used := _used(own, definitions):
        schema["$defs"] = {name: definitions[name] for name in sorted(used)}
    return schema, str(root.get("description", ""))


def _used(schema: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Return the names of the definitions that a schema refers to, directly or through others."""
    used: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name in definitions and name not in used:
                used.add(name)
                waiting.append(definitions[name])
    return used


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        target = schema.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(REF)
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)


def _number(limit: Any) -> float:
    """Return a limit as a number of JSON."""
    return int(limit) if limit == int(limit) else float(limit)


class StoredFormSchema(GenerateJsonSchema):
    """Generates the schema of the stored form: as Pydantic does, but for what is not stored or is stored by BSON."""

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> Schema:
        return {"type": "string", "format": "date-time", "bsonType": "date"}

    def uuid_schema(self, schema: core_schema.UuidSchema) -> Schema:
        return {"type": "string", "format": "uuid", "bsonType": "binData"}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> Schema:
        return {**super().bytes_schema(schema), "format": "binary", "bsonType": "binData"}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> Schema:
        limits = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
        values: Mapping[str, Any] = {**schema}
        found = {name: _number(values[key]) for key, name in limits.items() if values.get(key) is not None}
        return {"type": "string", "format": "decimal", "bsonType": "decimal", **found}

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> Schema:
        return super().model_fields_schema({**schema, "computed_fields": []})

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> Schema:
        return super().dataclass_args_schema({**schema, "computed_fields": []})

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> Schema:
        return super().typed_dict_schema({**schema, "computed_fields": []})

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001  # as Pydantic calls it
        """A field is stored with its default, so that it is always there; a key of a TypedDict need not be."""
        is_stored_always = self.mode == "serialization" and field["type"] != "typed-dict-field"
        return (
            (field.get("serialization_exclude_if") is None)
            if is_stored_always
            else super().field_is_required(field, total)
        )

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A title that repeats the name of the field says nothing."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """Pydantic before 2.14 writes a set in an order of its own in each process."""
        found = super().encode_default(dft)
        is_set = isinstance(dft, (set, frozenset)) and isinstance(found, list)
        return sorted(found, key=lambda one: json.dumps(one, sort_keys=True)) if is_set else found

    def emit_warning(self, kind: Any, detail: str) -> None:
        """A default that JSON does not have is left out, and nobody needs to know."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        """A type that JSON does not have is named, and not compared any further."""
        cls = schema.get("cls") if isinstance(schema, Mapping) else None
        return {"x-python": f"{cls.__module__}.{cls.__qualname__}"} if isinstance(cls, type) else {}
