"""The catalogue of event classes: a table, one type, documents, and what a check found.

FAIL   order.placed   customer: renamed to customer_id?
                      stored events no longer fit: all: they have no customer_id · 1,241 stored
OK     order.placed   note: added, optional
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.cells import NOTHING, folded
from craft_events_cli.output.counts import counted, shorten
from craft_events_cli.output.rows import RowWriter
from craft_events_cli.output.table import CYAN, DIM, MARGIN, Column, Table
from craft_events_cli.terminal import Output, safe

if TYPE_CHECKING:
    from craft_easy.core.events.model.schema.catalogue import SchemaChange
    from craft_easy.core.events.operations.schema.entries import CatalogueEntry
    from craft_easy.core.events.operations.schema.markdown import FieldLine
    from craft_easy.core.events.operations.schema.stored import Refusal, TypeSample

LIST_COLUMNS: Final = ("type", "class", "fields", "handlers", "file", "line")
CHECK_COLUMNS: Final = (
    "check", "level", "type", "field", "change", "message", "unfit", "events", "untyped", "event_id",
)  # fmt: skip
NARROW: Final = 60
READING_WIDTH: Final = 120
MAX_TYPE: Final = 40
MAX_NAMED: Final = 5
_STYLES: Final = {"OK": "32", "FAIL": "31;1"}
_GAP: Final = "   "


# ------------------------------------------------------------------ list and show


def list_row(entry: CatalogueEntry) -> dict[str, Any]:
    """Return an event type as a row, its keys in the order of `LIST_COLUMNS`."""
    return {
        "type": entry.event_type,
        "class": entry.schema.class_name,
        "fields": list(entry.schema.stored["properties"]),
        "handlers": [handler.id for handler in entry.handlers],
        "file": entry.file,
        "line": entry.line,
    }


def write_list(entries: Sequence[CatalogueEntry]) -> None:
    """Write a line for each event type, and one for each further handler."""
    columns = [
        Column("Type", style=CYAN),
        Column("Class", rank=3),
        Column("Fields", rank=1, least=10, good=30),
        Column("Handlers", rank=2),
        Column("Where", rank=4, style=DIM, least=12, good=30),
    ]
    rows = [cells for entry in entries for cells in _cells(list_row(entry))]
    # a line for a further handler is empty where there is no room for handlers
    terminal.stdout().writelines(f"{line}\n" for line in Table(columns).lines(rows) if line.strip())


def _cells(row: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    first, *others = row["handlers"] or [NOTHING]
    yield {
        "Type": row["type"],
        "Class": row["class"].rpartition(".")[2],
        "Fields": ", ".join(row["fields"]) or NOTHING,
        "Handlers": first,
        "Where": _place(row["file"], row["line"]),
    }
    for handler in others:
        yield {"Type": "", "Class": "", "Fields": "", "Handlers": handler, "Where": ""}


def _place(file: str | None, line: int | None) -> str:
    if file is None:
        return NOTHING
    relative = os.path.relpath(file)
    return f"{file if relative.startswith('..') else relative}:{line}"


def list_summary(entries: Sequence[CatalogueEntry]) -> str:
    """Return the number of event types, and of those that nobody handles."""
    alone = sum(not entry.handlers for entry in entries)
    return f"{counted(len(entries), 'event type')}" + (f" · {alone:,} without a handler" if alone else "")


def type_row(entry: CatalogueEntry) -> dict[str, Any]:
    """Return an event type as an object, with its schemas."""
    from craft_easy.core.events.operations.schema.markdown import fields

    row = list_row(entry)
    lines = fields(entry.schema.stored, entry.schema.accepted)
    described = [
        {"name": one.name, "type": one.type, "required": one.is_required, "default": one.default,
         "description": one.description}
        for one in lines
    ]  # fmt: skip
    return row | {
        "fields": described,
        "description": entry.schema.description,
        "stored": entry.schema.stored,
        "accepted": entry.schema.accepted,
    }


def write_type(entry: CatalogueEntry) -> None:
    """Write one event type: its class, its fields and those of their models, and its handlers."""
    from craft_easy.core.events.operations.schema.markdown import fields

    stream = terminal.stdout()
    schema = entry.schema
    room = terminal.width(stream) - len(MARGIN)
    lines = [terminal.paint(safe(entry.event_type), "1", stream)]
    lines += [line for text in schema.description.splitlines() for line in folded(safe(text), room)]
    lines += _facts(entry, room)
    stream.writelines(f"{MARGIN}{line}".rstrip() + "\n" for line in lines)
    _write_fields("Field", fields(schema.stored, schema.accepted))
    for name, one in schema.stored.get("$defs", {}).items():
        if "properties" in one:
            read = schema.accepted.get("$defs", {}).get(name, {})
            _write_fields(name, fields({**one, "$defs": schema.stored["$defs"]}, read))


def _facts(entry: CatalogueEntry, room: int) -> Iterator[str]:
    handlers = ", ".join(handler.id for handler in entry.handlers) or "none"
    facts = {"class": entry.schema.class_name, "where": _place(entry.file, entry.line), "handlers": handlers}
    indent = max(map(len, facts)) + len(_GAP)
    for name, value in facts.items():
        first, *others = folded(safe(value), max(room - indent, 20))
        yield terminal.paint(name.ljust(indent), DIM, terminal.stdout()) + first
        yield from (" " * indent + line for line in others)


def _write_fields(name: str, lines: Sequence[FieldLine]) -> None:
    if not lines:
        return
    columns = [
        Column(name, style=CYAN),
        Column("Type", least=12, good=40),
        Column("Required", rank=1),
        Column("Default", rank=2, least=8, good=20),
        Column("Description", rank=3, least=16, good=40),
    ]
    if not any(one.description for one in lines):
        columns.pop()
    terminal.stdout().write("\n")
    Table(columns).write([
        {name: one.name, "Type": one.type, "Required": "yes" if one.is_required else "no",
         "Default": NOTHING if one.default is None else one.default, "Description": one.description}
        for one in lines
    ])  # fmt: skip


# ------------------------------------------------------------------ documents


def document(entries: Sequence[CatalogueEntry], form: str, *, title: str, version: str) -> str:
    """Return a catalogue as a document of one of the forms; no form has a raw control character."""
    if form == "markdown":
        from craft_easy.core.events.operations.schema import markdown

        page = markdown.page(entries, title=title)
        return "".join(f"{safe(line)}\n" for line in page.splitlines())
    from craft_easy.core.events.operations.schema import asyncapi, baseline

    content = (
        asyncapi.document(entries, title=title, version=version) if form == "asyncapi" else baseline.document(entries)
    )
    return json.dumps(content, indent=2).replace("\x7f", "\\u007f") + "\n"


def written(entries: Sequence[CatalogueEntry], path: Path, form: str) -> str:
    """Return what was written, and the next step."""
    text = f"{counted(len(entries), 'event type')} written to {path}"
    if form != "json-schema":
        return text
    return f"{text} · compare later: {next_step.loading('schema', 'check', str(path))}"


# ------------------------------------------------------------------ check


class CheckView:
    """Writes what a check finds, as it finds it, and counts the failures.

    Args:
        output: the format.
    """

    def __init__(self, output: Output) -> None:
        self._rows = None if output is Output.TABLE else RowWriter(CHECK_COLUMNS, output)
        self._width = 0
        self._levels: Counter[str] = Counter()
        self._read = 0
        self._untyped = 0
        self._example: str | None = None

    @property
    def has_failed(self) -> bool:
        """True if a finding is a failure."""
        return self._levels["FAIL"] > 0

    def begin(self, types: Sequence[str]) -> None:
        """Write the header of the format, if it has one.

        Args:
            types: the event types that will be written.
        """
        self._width = min(max(map(len, types), default=0), MAX_TYPE)
        if self._rows is not None:
            self._rows.begin()

    def changes(self, changes: Sequence[SchemaChange], numbers: Mapping[str, int]) -> None:
        """Write the changes since a baseline.

        Args:
            changes: the changes.
            numbers: the numbers of stored events of each type, where they are known.
        """
        for change in changes:
            self._write(_change_row(change, numbers.get(change.event_type)))

    def sample(self, sample: TypeSample) -> None:
        """Write what was read of a type."""
        self._read += sample.read
        self._untyped += sample.untyped
        for refusal, number in sample.refusals.most_common():
            self._example = self._example or refusal.event_id
            self._write(_refusal_row(sample, refusal, number))
        if not sample.refusals:
            self._write(_sample_row(sample))

    def close(self) -> None:
        """Write the end of the format, if it has one."""
        if self._rows is not None:
            self._rows.close()
        terminal.flush()

    def summary(self, *, has_baseline: bool, has_log: bool) -> str:
        """Return the number of failures, and what was read."""
        parts = []
        if has_baseline:
            parts.append(_changes_text(self._levels))
        if has_log:
            parts.append(f"{counted(self._read, 'event')} read, {self._untyped:,} of them untyped")
        return " · ".join(parts)

    def next_step(self, *, has_log: bool) -> str | None:
        """Return what to type next after a failure."""
        if self._example is not None:
            return f"one of them: {next_step.command('show', self._example)}"
        if self.has_failed and not has_log:
            return f"in the log: {next_step.loading('schema', 'check', '--log')}"
        return None

    def _write(self, row: Mapping[str, Any]) -> None:
        self._levels[row["level"]] += 1
        self._levels[f"{row['check']} {row['level']}"] += 1
        if self._rows is not None:
            self._rows.write(row)
        else:
            terminal.stdout().writelines(f"{line}\n" for line in _lines(row, self._width))
        terminal.flush()


def _changes_text(levels: Counter[str]) -> str:
    breaking, fine = levels["baseline FAIL"], levels["baseline OK"]
    if not breaking and not fine:
        return "nothing has changed since the baseline"
    return f"{counted(breaking, 'breaking change')}, {counted(fine, 'change')} that {'fits' if fine == 1 else 'fit'}"


def _change_row(change: SchemaChange, events: int | None) -> dict[str, Any]:
    return {
        "check": "baseline",
        "level": "FAIL" if change.is_breaking else "OK",
        "type": change.event_type,
        "field": change.field,
        "change": change.kind.value,
        "message": change.text,
        "unfit": change.unfit,
        "events": events,
        "untyped": None,
        "event_id": None,
    }


def _refusal_row(sample: TypeSample, refusal: Refusal, number: int) -> dict[str, Any]:
    return {
        **_sample_row(sample),
        "level": "FAIL",
        "field": refusal.field,
        "change": "untyped",
        "message": refusal.reason,
        "untyped": number,
        "event_id": refusal.event_id,
    }


def _sample_row(sample: TypeSample) -> dict[str, Any]:
    redacted = f", {sample.redacted:,} redacted" if sample.redacted else ""
    text = f"read as {sample.class_name.rpartition('.')[2]}{redacted}" if sample.read else f"none to read{redacted}"
    return {
        "check": "log",
        "level": "OK",
        "type": sample.event_type,
        "field": None,
        "change": None,
        "message": text,
        "unfit": None,
        "events": sample.read,
        "untyped": 0,
        "event_id": None,
    }


def _lines(row: Mapping[str, Any], width: int) -> Iterator[str]:
    stream = terminal.stdout()
    level = terminal.paint(row["level"].ljust(4), _STYLES[row["level"]], stream)
    head = f"{MARGIN}{level}{_GAP}{safe(shorten(row['type'], MAX_TYPE)).ljust(width)}{_GAP}"
    indent = len(MARGIN) + 4 + len(_GAP) + width + len(_GAP)
    if terminal.width(stream) < NARROW:
        yield head.rstrip()
        head, indent = " " * 4, 4
    room = max(min(terminal.width(stream), READING_WIDTH) - indent, 20)
    first, *others = wrap(safe(_message(row)), room, break_on_hyphens=False) or [""]
    yield head + first
    more = wrap(safe(_consequence(row)), room, break_on_hyphens=False)
    yield from (" " * indent + line for line in others)
    yield from (" " * indent + terminal.paint(line, DIM, stream) for line in more)


def _message(row: Mapping[str, Any]) -> str:
    field = f"{row['field']}: " if row["field"] is not None else ""
    if row["check"] == "log" and row["level"] == "OK":
        return f"{row['events']:,} {row['message']}" if row["events"] else row["message"]
    if row["check"] == "log":
        return f"{field}{row['message']}"
    return f"{field}{row['message']}"


def _consequence(row: Mapping[str, Any]) -> str:
    if row["level"] == "OK":
        return ""
    if row["check"] == "log":
        return f"{row['untyped']:,} of the newest {row['events']:,}, for example {row['event_id']}"
    fate = "stored events still fit, their readers may not"
    if row["unfit"] is not None:
        fate = f"stored events that no longer fit: {row['unfit']}"
    return fate if row["events"] is None else f"{fate} · {_stored(row['events'])} stored"


def _stored(number: int) -> str:
    from craft_easy.core.events.operations.schema.stored import MAX_COUNTED

    return f"{number:,} or more" if number >= MAX_COUNTED else f"{number:,}"


def unclaimed_text(types: Sequence[str]) -> str:
    """Name the types of the log that no loaded class claims."""
    named = ", ".join(map(shorten, types[:MAX_NAMED]))
    more = f" and {len(types) - MAX_NAMED:,} more" if len(types) > MAX_NAMED else ""
    return f"{counted(len(types), 'event type')} of the log without a loaded class: {named}{more}"
