"""The catalogue as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

A channel is an event type, a message is an event as Event JSON, and a handler that reacts to a type is an operation
that receives it. AsyncAPI's schemas are those of JSON Schema draft 07: keywords of later drafts are translated. A value
that BSON has a type for is described as Event JSON writes it, in Extended JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import getdoc
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.schema.shape import REF
from craft_easy.core.events.operations.schema.entries import CatalogueEntry

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler

Json = dict[str, Any]

VERSION: Final = "3.0.0"
_EVENT: Final = "Event"
"""The key of the schema that all messages share."""
_NULLABLE_TEXT: Final[Json] = {"type": ["string", "null"]}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_BEFORE_1970: Final[Json] = {
    "type": "object", "properties": {"$numberLong": {"type": "string"}}, "required": ["$numberLong"],
}  # fmt: skip
_BINARY: Final[Json] = {
    "type": "object",
    "properties": {"base64": {"type": "string"}, "subType": {"type": "string"}},
    "required": ["base64", "subType"],
}


def document(catalogue: Sequence[CatalogueEntry], *, title: str, version: str) -> Json:
    """Return the AsyncAPI document of a catalogue.

    Args:
        catalogue: the event types.
        title: the name of the application.
        version: the version of the application.
    """
    channels: Json = {}
    operations: Json = {}
    messages: Json = {}
    schemas: Json = {_EVENT: _event()}
    for entry in catalogue:
        key = _key(entry.event_type, channels)
        names = {name: _key(f"{key}.{name}", schemas) for name in entry.schema.stored.get("$defs", {})}
        schemas |= {names[name]: _draft_07(one, names) for name, one in entry.schema.stored.get("$defs", {}).items()}
        channels[key] = _channel(entry, key)
        messages[key] = _message(entry, names)
        for handler in entry.handlers:
            operations[_key(f"{handler.id}.{key}", operations)] = _operation(handler, key)
    return {
        "asyncapi": VERSION,
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _key(name: str, taken: Iterable[str]) -> str:
    """Return a name as a key of `components`, which allow letters, digits, dots, dashes and underscores."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    number, key = 1, plain
    while key in taken:
        number += 1
        key = f"{plain}_{number}"
    return key


def _channel(entry: CatalogueEntry, key: str) -> Json:
    # in an address braces begin a parameter
    address = {"address": entry.event_type} if not set("{}") & set(entry.event_type) else {"title": entry.event_type}
    return {**address, "messages": {key: {"$ref": f"#/components/messages/{key}"}}}


def _message(entry: CatalogueEntry, names: Mapping[str, str]) -> Json:
    head: Json = {"name": entry.event_type, "title": entry.schema.class_name.rpartition(".")[2]}
    summary, *others = entry.schema.description.splitlines() or [""]
    head |= {"summary": summary} if summary else {}
    head |= {"description": entry.schema.description} if others else {}
    stored = {key: value for key, value in entry.schema.stored.items() if key != "$defs"}
    own = {"event_type": {"const": entry.event_type}, "payload": _draft_07(stored, names)}
    event = {"$ref": f"#/components/schemas/{_EVENT}"}
    return {**head, "payload": {"allOf": [event, {"type": "object", "properties": own}]}}


def _event() -> Json:
    """Return the schema of an event of any type, as Event JSON."""
    properties: Json = {
        "event_id": {"type": "string"},
        "event_type": {"type": "string"},
        "timestamp": _TIME,
        "tenant_id": _NULLABLE_TEXT,
        "actor_id": _NULLABLE_TEXT,
        "payload": {"type": "object"},
        "causation_id": _NULLABLE_TEXT,
        "correlation_id": _NULLABLE_TEXT,
        "delivery": {"type": ["object", "null"]},
    }
    optional: Json = {
        "trace_context": {
            "description": "the W3C trace context of the publisher, where it was traced",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "redacted": {
            "description": "where the payload was removed on request: it is empty then",
            "type": "object",
        },
    }
    return {"title": _EVENT, "type": "object", "properties": properties | optional, "required": list(properties)}


def _operation(handler: Handler, channel: str) -> Json:
    summary = next(iter((getdoc(handler.function) or "").splitlines()), "")
    return {
        "action": "receive",
        "title": handler.id,
        **({"summary": summary} if summary else {}),
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{channel}"}],
    }


def _draft_07(schema: Any, names: Mapping[str, str]) -> Any:
    """Return a schema as AsyncAPI has it.

    Args:
        schema: a schema, or a part of one.
        names: the keys under `components/schemas` of the definitions that it refers to.
    """
    if isinstance(schema, list):
        return [_draft_07(one, names) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "bsonType" in schema:
        return _extended(schema)
    if isinstance(schema.get("$ref"), str):  # draft 07 ignores what is beside a reference
        return {"$ref": f"#/components/schemas/{names[schema['$ref'].removeprefix(REF)]}"}
    found = {key: _part(key, value, names) for key, value in schema.items() if key != "discriminator"}
    if "prefixItems" in found:
        found["additionalItems"] = found.get("items", True)
        found["items"] = found.pop("prefixItems")
    return found


def _part(key: str, value: Any, names: Mapping[str, str]) -> Any:
    if key in ("properties", "patternProperties") and isinstance(value, Mapping):
        return {name: _draft_07(one, names) for name, one in value.items()}
    return value if key in ("enum", "const", "default", "examples", "required") else _draft_07(value, names)


def _extended(schema: Mapping[str, Any]) -> Json:
    """Return the schema of a value in Extended JSON."""
    key, value = {
        "date": ("$date", {"anyOf": [_TIME, _BEFORE_1970]}),
        "decimal": ("$numberDecimal", {"type": "string"}),
        "binData": ("$binary", _BINARY),
    }[schema["bsonType"]]
    found: Json = {"type": "object", "properties": {key: value}, "required": [key]}
    return found | {name: schema[name] for name in ("title", "description") if name in schema}
