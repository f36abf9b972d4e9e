"""The catalogue as one JSON object, to be kept in a repository and compared with what the code holds later.

    {"craft_events_schema": 1, "types": {"order.placed": {"class": …, "description": …, "stored": …, "accepted": …}}}

`stored` is the JSON schema of the payload that the log keeps. `accepted` is that of what the class reads; it is left
out where it is the same. Types are in alphabetical order and fields in that of the class, so that a small change of the
code is a small change of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.model.schema.generate import EventSchema
from craft_easy.core.events.operations.schema.entries import CatalogueEntry

VERSION: Final = 1
_VERSION_KEY: Final = "craft_events_schema"
_HINT: Final = "it is written by: craft-events schema export FILE"
_MAX_DEPTH: Final = 200


def document(catalogue: Iterable[CatalogueEntry]) -> dict[str, Any]:
    """Return a catalogue as an object that `read` reads."""
    return {_VERSION_KEY: VERSION, "types": {entry.event_type: _as_object(entry.schema) for entry in catalogue}}


def _as_object(schema: EventSchema) -> dict[str, Any]:
    content = {"class": schema.class_name, "description": schema.description, "stored": schema.stored}
    return content if schema.accepted == schema.stored else content | {"accepted": schema.accepted}


def read(path: Path) -> dict[str, EventSchema]:
    """Return the catalogue of a file, by event type.

    Raises:
        InvalidSetting: the file cannot be read, or is not a catalogue.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidSetting(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidSetting(str(path), "is not JSON", hint=_HINT) from error
    return _catalogue(path, content)


def _catalogue(path: Path, content: Any) -> dict[str, EventSchema]:
    version = content.get(_VERSION_KEY) if isinstance(content, Mapping) else None
    if isinstance(version, int) and version > VERSION:
        raise InvalidSetting(str(path), f"has version {version}, and this program reads {VERSION}", hint="update it")
    types = content.get("types") if version == VERSION else None
    if not isinstance(types, Mapping):
        raise InvalidSetting(str(path), "is not a catalogue of events", hint=_HINT)
    return {name: _schema(path, name, one) for name, one in types.items()}


def _schema(path: Path, event_type: str, found: Any) -> EventSchema:
    parts = found if isinstance(found, Mapping) else {}
    stored = parts.get("stored")
    accepted = parts.get("accepted", stored)
    if not (isinstance(stored, dict) and isinstance(accepted, dict) and _is_shallow([stored, accepted])):
        raise InvalidSetting(str(path), f"has no valid schema for {event_type}", hint=_HINT)
    return EventSchema(event_type, str(parts.get("class")), str(parts.get("description") or ""), stored, accepted)


def _is_shallow(schema: Any, depth: int = 0) -> bool:
    """Return whether a schema can be compared without ending Python's stack."""
    if depth > _MAX_DEPTH:
        return False
    inner = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    return all(_is_shallow(one, depth + 1) for one in inner)
