"""`craft-events schema list | show | export | check`: the event classes of the handler modules, as a catalogue."""

from contextlib import aclosing, closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import lifecycle, loading, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.output import schema as render
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.rows import json_line, write_rows
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.schema.catalogue import SchemaChange
    from craft_easy.core.events.operations.schema.entries import CatalogueEntry
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

app = typer.Typer(add_completion=False)

SAMPLE: Final = 1_000
"""The number of newest events of each type that are read by default."""
MAX_SAMPLE: Final = 1_000_000


class DocumentFormat(StrEnum):
    """The form of an exported catalogue."""

    JSON_SCHEMA = "json-schema"
    ASYNCAPI = "asyncapi"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True)
class ChoosingTypes:
    """Which event types."""

    type: params.Types = field(default_factory=list)
    exclude_type: params.ExcludeTypes = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WritingDocument:
    """The document, and where it is written to."""

    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="write to this file, .gz with gzip; - is stdout")
    ] = None
    format: Annotated[
        DocumentFormat,
        typer.Option("--format", metavar="FORM", help="write this form: json-schema, asyncapi or markdown"),
    ] = DocumentFormat.JSON_SCHEMA
    force: Annotated[bool, typer.Option("--force", help="overwrite an existing file")] = False
    title: Annotated[
        str | None,
        typer.Option("--title", metavar="TEXT", help="set the title of the document", show_default="the modules"),
    ] = None
    release: Annotated[
        str, typer.Option("--release", metavar="VERSION", help="set the version that an AsyncAPI document states")
    ] = "1.0.0"

    @property
    def is_to_file(self) -> bool:
        """True if it is a file, and not standard output."""
        return self.file is not None and str(self.file) != "-"


@app.callback()
@expanded
def schema() -> None:
    """List, show, export or check the event classes of a module.

    Examples:
      craft-events schema list -m shop.handlers
      craft-events schema check events.json -m shop.handlers
    """


@app.command("list")
@expanded
def list_types(
    which: ChoosingTypes,
    handling: params.Handling,
    env: params.Env = None,
    output: params.Format = None,
) -> ExitCode:
    """Show the event types that have a class, their fields, and who handles them.

    Examples:
        craft-events schema list -m shop.handlers
        craft-events schema list -m shop.events --exclude-type 'resource.*'
        craft-events schema list -o json | jq '.[] | select(.handlers == []).type'

    A class counts when its module is loaded. The classes that craft-events itself has are listed like others.
    """
    chosen = terminal.output_format(output)
    found = _entries(handling, env, which)
    if chosen is Output.TABLE:
        render.write_list(found)
    else:
        write_rows(map(render.list_row, found), render.LIST_COLUMNS, chosen)
    terminal.flush()
    terminal.note(render.list_summary(found))
    return ExitCode.DONE


@app.command()
@expanded
def show(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="choose the event type")],
    handling: params.Handling,
    env: params.Env = None,
    output: params.Format = None,
) -> ExitCode:
    """Show one event type: its class, its fields and its handlers.

    Examples:
        craft-events schema show order.placed -m shop.handlers
        craft-events schema show order.placed -o json | jq .stored

    With -o json also both JSON schemas of the payload: stored is what the log keeps, accepted what the class reads.
    """
    chosen = terminal.output_format(output)
    found = _entries(handling, env, ChoosingTypes())
    entry = next((one for one in found if one.event_type == event_type), None)
    if entry is None:
        return _unknown(event_type, found)
    if chosen is Output.TABLE:
        render.write_type(entry)
    elif chosen is Output.JSON:  # one type is one object
        terminal.stdout().write(json_line(render.type_row(entry)))
    else:
        row = render.type_row(entry)
        write_rows([row], tuple(row), chosen)
    terminal.flush()
    return ExitCode.DONE


def _unknown(event_type: str, found: "list[CatalogueEntry]") -> ExitCode:
    from difflib import get_close_matches

    terminal.error(f"no loaded class has the event type {event_type}")
    close = get_close_matches(event_type, [one.event_type for one in found], n=1)
    suggestion = f"did you mean {close[0]}? " if close else ""
    terminal.note(f"{suggestion}all of them: {next_step.loading('schema', 'list')}")
    return ExitCode.UNFINISHED


@app.command()
@expanded
def export(
    what: WritingDocument,
    which: ChoosingTypes,
    handling: params.Handling,
    env: params.Env = None,
) -> ExitCode:
    """Write the catalogue as JSON Schema, AsyncAPI 3.0 or Markdown.

    Examples:
        craft-events schema export events.json --force -m shop.handlers
        craft-events schema export --format asyncapi --title Shop --release 4.2.0 > asyncapi.json
        craft-events schema export --format markdown -m shop.handlers > EVENTS.md

    The JSON Schema of each type is the baseline that schema check compares with. AsyncAPI describes events as Event
    JSON, with a channel for each type and an operation for each handler.
    """
    if what.is_to_file:
        from craft_easy.core.events import target

        assert what.file is not None
        target.check(what.file, force=what.force)
    modules = handling.modules(env)
    found = _entries(handling, env, which)
    text = render.document(
        found, what.format.value, title=what.title or ", ".join(modules.handlers.value), version=what.release
    )
    if what.is_to_file:
        assert what.file is not None
        _write_file(what.file, text)
        terminal.note(render.written(found, what.file, what.format.value))
    else:
        terminal.stdout().write(text)
        terminal.flush()
    return ExitCode.DONE


def _write_file(path: Path, text: str) -> None:
    from craft_easy.core.events.target import Target

    target = Target(path)
    try:
        target.write(text.encode())
        target.finish()
    finally:
        target.close()


@app.command()
@expanded
def check(
    which: ChoosingTypes,
    handling: params.Handling,
    connection: params.Connecting,
    baseline: Annotated[
        Path | None, typer.Argument(metavar="BASELINE", help="compare with this file, which schema export wrote")
    ] = None,
    log: Annotated[  # noqa: FBT002 - as Typer reads it
        bool, typer.Option("--log", help="read stored events through the loaded classes")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", metavar="N", min=1, max=MAX_SAMPLE, help="read the newest N of each type", show_default="1000"
        ),
    ] = None,
    output: params.Format = None,
) -> ExitCode:
    """Check whether the event classes still fit a baseline, or the stored events.

    Examples:
        craft-events schema check events.json -m shop.handlers
        craft-events schema check --log --sample 10000 -m shop.handlers
        craft-events schema check events.json --log -o ndjson -m shop.handlers

    FAIL, which ends with exit 3: a type or field was removed or renamed; a field was made required, has another type or
    accepts less. OK: what is new and optional, or accepts more. With --log, FAIL: the class of a stored event refuses
    it, so that handlers get a plain DomainEvent.
    """
    if baseline is None and not log:
        raise UsageError("nothing to compare with", hint="name a baseline, or --log: craft-events schema check --help")
    if sample is not None and not log:
        raise UsageError("--sample: only --log reads stored events", hint="add --log, or leave --sample out")
    settings = connection.settings()
    view = render.CheckView(terminal.output_format(output))
    found = _entries(handling, connection.env, which)
    changes = [] if baseline is None else _changes(baseline, which, found)
    view.begin([*(one.event_type for one in changes), *(one.event_type for one in found if log)])
    if log:
        lifecycle.run(_check_log(settings, found, changes, view, sample or SAMPLE))
    else:
        view.changes(changes, _numbers_if_reachable(settings, changes))
    view.close()
    terminal.note(view.summary(has_baseline=baseline is not None, has_log=log))
    if step := view.next_step(has_log=log):
        terminal.note(step)
    return ExitCode.UNFINISHED if view.has_failed else ExitCode.DONE


def _changes(baseline: Path, which: ChoosingTypes, found: "list[CatalogueEntry]") -> "list[SchemaChange]":
    from craft_easy.core.events.model.schema.catalogue import changes
    from craft_easy.core.events.operations.schema import baseline as baselines
    from craft_easy.core.events.operations.schema.entries import is_chosen

    former = baselines.read(baseline)
    chosen = {name: one for name, one in former.items() if is_chosen(name, which.type, which.exclude_type)}
    return changes(chosen, {entry.event_type: entry.schema for entry in found})


def _numbers_if_reachable(settings: "Settings", changes: "list[SchemaChange]") -> "dict[str, int]":
    """Return the numbers of stored events that a breaking change concerns; none if no log is named or it is away."""
    from craft_easy.core.events.errors import StoreError

    if settings.uri.is_default or not any(one.is_breaking for one in changes):
        return {}
    try:
        return lifecycle.run(_count(settings, changes))
    except StoreError as error:
        terminal.warn(f"the stored events are not counted: {error.message}")
        return {}


async def _count(settings: "Settings", changes: "list[SchemaChange]") -> "dict[str, int]":
    async with opened(settings) as store:
        return await _numbers(store, changes)


async def _numbers(store: "EventStore", changes: "list[SchemaChange]") -> "dict[str, int]":
    from craft_easy.core.events.operations.schema.stored import number_stored

    return await number_stored(store, dict.fromkeys(one.event_type for one in changes if one.is_breaking))


async def _check_log(
    settings: "Settings",
    found: "list[CatalogueEntry]",
    changes: "list[SchemaChange]",
    view: render.CheckView,
    sample: int,
) -> None:
    from craft_easy.core.events.operations.schema.stored import check_stored, unclaimed_types

    async with opened(settings) as store:
        view.changes(changes, await _numbers(store, changes))
        with closing(Progress("reading", is_quiet=terminal.is_terminal(terminal.stdout()))) as progress:
            async with aclosing(check_stored(store, found, sample=sample, observer=progress.advance)) as samples:
                async for one in samples:
                    view.sample(one)
        unclaimed = await unclaimed_types(store, found)
    if unclaimed:
        terminal.note(render.unclaimed_text(unclaimed))


def _entries(handling: params.Handling, env: str | None, which: ChoosingTypes) -> "list[CatalogueEntry]":
    bus = loading.load_bus(handling.modules(env), needs_handlers=False)
    from craft_easy.core.events.operations.schema.entries import entries

    return entries(bus.registry, types=which.type, except_types=which.exclude_type)
