"""The catalogue as a page for people, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from craft_easy.core.events.model.schema.shape import Schema, words
from craft_easy.core.events.operations.schema.entries import CatalogueEntry


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A field in words.

    Args:
        name: its name.
        type: its type.
        is_required: the class does not read an event without it.
        default: its default as JSON, or None.
        description: its description, or an empty text.
    """

    name: str
    type: str
    is_required: bool
    default: str | None
    description: str


def fields(stored: Schema, accepted: Schema) -> list[FieldLine]:
    """Return the fields of a payload, or of a definition in one, in the order of the class."""
    required = accepted.get("required", ())
    return [
        _field(name, one, stored, is_required=name in required, read=accepted.get("properties", {}).get(name, {}))
        for name, one in stored.get("properties", {}).items()
    ]


def _field(name: str, one: Any, whole: Schema, *, is_required: bool, read: Mapping[str, Any]) -> FieldLine:
    default = json.dumps(read["default"]) if "default" in read else None
    return FieldLine(name, words(one, whole), is_required, default, str(one.get("description", "")))


def page(catalogue: Sequence[CatalogueEntry], *, title: str) -> str:
    """Return a page with a section for each event type."""
    return "\n".join([f"# {_text(title)}", *(line for entry in catalogue for line in _section(entry)), ""])


def _section(entry: CatalogueEntry) -> Iterator[str]:
    schema = entry.schema
    yield from ("", f"## {_text(entry.event_type)}", "")
    if schema.description:
        yield from (*map(_text, schema.description.splitlines()), "")
    yield f"Class: `{schema.class_name}`"
    if entry.handlers:
        yield f"<br>Handlers: {', '.join(f'`{handler.id}`' for handler in entry.handlers)}"
    yield from _table(fields(schema.stored, schema.accepted))
    for name, one in schema.stored.get("$defs", {}).items():
        if "properties" in one:
            read = schema.accepted.get("$defs", {}).get(name, {})
            defs = {"$defs": schema.stored["$defs"]}
            yield from ("", f"**{_text(name)}**", *_table(fields({**one, **defs}, read)))


def _table(lines: Sequence[FieldLine]) -> Iterator[str]:
    if not lines:
        return
    yield from ("", "| field | type | required | description |", "|---|---|---|---|")
    for one in lines:
        needed = "yes" if one.is_required else "no" if one.default is None else f"no, default `{_cell(one.default)}`"
        yield f"| `{_cell(one.name)}` | {_cell(one.type)} | {needed} | {_cell(_text(one.description))} |"


def _cell(text: str) -> str:
    """Return a text as a cell of a table, on one line."""
    return " ".join(text.replace("|", "\\|").split())


def _text(text: str) -> str:
    """Return a text without the beginnings of HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
