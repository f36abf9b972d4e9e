r"""`--template`: a line an event in a form of one's own.

    {timestamp} {tenant_id:<12} {event_type:>20} {payload.order.id}

Fields are those of Event JSON; a dot leads into a payload or a delivery, a number into an array. Behind a colon stand
alignment (`<`, `>`, `^`, after a letter to fill with), width, and after a point the most columns it may take. `{{` and
`}}` are braces, `\t` and `\n` a tab and a line's end. Nothing is evaluated: a name is a key and never an attribute.
What an event has not is `–`; every text goes through `safe`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.matching import unescaped
from craft_events_cli.render.cells import cut, width_of
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.model.envelope import Envelope

Record = Mapping[str, Any]

FIELDS: Final = (
    "event_id",
    "event_type",
    "timestamp",
    "tenant_id",
    "actor_id",
    "payload",
    "causation_id",
    "correlation_id",
    "delivery",
)
DEEP: Final = ("payload", "delivery")
NOTHING: Final = "–"
MAX_WIDTH: Final = 1_000
_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\\[tn\\]|[^{}\\]+|\\", re.DOTALL)
_SPEC: Final = re.compile(r"(?:(.)?([<>^]))?([0-9]{0,4})(?:\.([0-9]{1,4}))?", re.DOTALL)
_LITERALS: Final = {"{{": "{", "}}": "}", r"\t": "\t", r"\n": "\n", "\\\\": "\\", "\t": "\t"}


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a template: the path to a value, and how it is set."""

    path: tuple[str, ...]
    fill: str = " "
    align: str = "<"
    width: int = 0
    most: int | None = None

    def set(self, text: str) -> str:
        """Return a text in its columns."""
        shown = text if self.most is None else cut(text, self.most)
        room = max(self.width - width_of(shown), 0)
        left = {"<": 0, ">": room, "^": room // 2}[self.align]
        return self.fill * left + shown + self.fill * (room - left)


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and fields in turn."""

    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> list[Field]:
        """What it shows of an event."""
        return [part for part in self.parts if isinstance(part, Field)]

    def line(self, record: Record) -> str:
        """Return the line of an event, without its end."""
        from craft_easy.core.events.model.envelope import read_envelope

        envelope = read_envelope(record)
        return "".join(
            part if isinstance(part, str) else part.set(safe(_text(_value(part.path, envelope, record))))
            for part in self.parts
        )


def template(text: str) -> Template:
    """Read a template.

    Raises:
        ValueError: it names what no event has, or cannot be read; the message says what to write.
    """
    parts = tuple(_parts(text))
    if not any(isinstance(part, Field) for part in parts):
        raise ValueError("it shows nothing of an event. Try '{timestamp} {event_type} {tenant_id}'")
    return Template(parts)


def _parts(text: str) -> Iterator[str | Field]:
    for piece in _PIECE.finditer(text):
        found = piece[0]
        if piece[1] is not None:
            yield _field(piece[1])
        elif found in ("{", "}"):
            raise ValueError(f"a single {found} stands for nothing: write {found * 2} for a brace")
        else:
            yield _LITERALS.get(found) or "".join(one if one == "\t" else safe(one) for one in found)


def _field(text: str) -> Field:
    name, colon, spec = text.partition(":")
    path = tuple(name.split("."))
    _check_path(name, path)
    form = _SPEC.fullmatch(spec)
    if form is None or (colon and not spec):
        raise ValueError(f'"{spec[:40]}" in {{{text[:40]}}} sets no columns. Try {{{name}:>20}} or {{{name}:<12.12}}')
    fill, align, width, most = form.groups()
    if int(width or 0) > MAX_WIDTH:
        raise ValueError(f"{{{text[:40]}}} is wider than {MAX_WIDTH:,} columns")
    return Field(path, safe(fill or " "), align or "<", int(width or 0), None if most is None else int(most))


def _check_path(name: str, path: Sequence[str]) -> None:
    first, *rest = path
    if not name:
        raise ValueError("{} names no field. Try {event_id}, or {{}} for two braces")
    if first not in FIELDS:
        close = get_close_matches(first, FIELDS, n=1, cutoff=0.75)
        instead = ".".join([*close, *rest]) if close else f"payload.{name}"
        raise ValueError(f"no such field: {name[:80]}. Did you mean {instead[:80]}?")
    if rest and first not in DEEP:
        raise ValueError(f"no such field: {name[:80]}: {first} is a text, and nothing is in it")
    if not all(rest):
        raise ValueError(f"no such field: {name[:80]}: a name is missing beside a dot")


def _value(path: Sequence[str], envelope: Envelope, record: Record) -> Any:
    first, *rest = path
    value = getattr(envelope, first) if first != "delivery" else _delivery_of(record)
    for step in rest:
        value = _step(value, step)
    return value


def _delivery_of(record: Record) -> Any:
    from craft_easy.core.events.store.formats.event_json import event_json

    return event_json(record)["delivery"]


def _step(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, (list, tuple)) and name.isascii() and name.isdigit() and len(name) < 9:
        return value[int(name)] if int(name) < len(value) else None
    return None


def _text(value: Any) -> str:
    from craft_easy.core.events.store.formats.event_json import text_of, to_json

    if value is None or isinstance(value, str):
        return NOTHING if value is None else value
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, (Mapping, list, tuple, bool, bytes)):
        return unescaped(to_json(value))
    return str(value)


class TemplateWriter:
    """Writes events to stdout, each in the form of a template."""

    def __init__(self, form: Template) -> None:
        self._form = form

    def begin(self) -> None:
        """Write nothing."""

    def write(self, records: Sequence[Record]) -> None:
        terminal.stdout().writelines(f"{self._form.line(record)}\n" for record in records)
        terminal.flush()

    def close(self) -> None:
        """Write nothing."""
