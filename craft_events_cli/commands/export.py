"""`craft-events export`: write events as NDJSON, in MongoDB's Extended JSON."""

from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import lifecycle, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.operations.export import Exported
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore
    from craft_events_cli.output.exporting import ExportView


app = typer.Typer(add_completion=False)


class JsonFormat(StrEnum):
    """Which of the two forms of Extended JSON."""

    RELAXED = "relaxed"
    CANONICAL = "canonical"


@dataclass(frozen=True, slots=True)
class Writing:
    """Where the events are written to, and how."""

    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="write to this file, .gz with gzip; - is stdout"),
    ] = None
    json_format: Annotated[
        JsonFormat,
        typer.Option(
            "--json-format",
            help="choose the form; canonical keeps the types of numbers",
        ),
    ] = JsonFormat.RELAXED
    force: Annotated[bool, typer.Option("--force", help="overwrite an existing file")] = False
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="CHECKPOINT",
            help="keep the position here, and continue from it",
        ),
    ] = None
    state: params.States = field(default_factory=list)

    @property
    def is_to_file(self) -> bool:
        """True if it is a file, and not standard output."""
        return self.file is not None and str(self.file) != "-"


@app.command()
@expanded
def export(
    what: Writing,
    where: params.Selecting,
    connection: params.Connecting,
) -> ExitCode:
    """Write events as NDJSON in MongoDB's Extended JSON, oldest first.

    Examples:
        craft-events export events.ndjson.gz
        craft-events export --tenant acme --since 30d acme.ndjson
        craft-events export events.ndjson.gz --checkpoint events.checkpoint
        craft-events export --json-format canonical | zstd > events.ndjson.zst

    It changes nothing in the log. A line is a stored record with its deliveries and without its _id; import and
    mongoimport read it.

    A file is written as FILE.part and renamed when it is complete. With --checkpoint it is written in place, and
    the next run continues where this one ended.
    """
    _refuse_what_does_not_fit(what, where)
    settings = connection.settings()
    return lifecycle.run(_export(settings, what, where))


def _refuse_what_does_not_fit(what: Writing, where: params.Selecting) -> None:
    if what.checkpoint is not None and not what.is_to_file:
        raise UsageError("--checkpoint: a run cannot continue standard output", hint="name a file to write")
    if what.checkpoint is not None and where.reverse:
        raise UsageError("--checkpoint: its position moves forward in time", hint="leave --reverse out")
    if what.is_to_file and what.checkpoint is None:
        from craft_easy.core.events import target

        assert what.file is not None
        target.check(what.file, force=what.force)


async def _export(settings: "Settings", what: Writing, where: params.Selecting) -> ExitCode:
    from craft_events_cli.output.exporting import ExportView, write_summary

    async with opened(settings) as store:
        selection = where.selection(await store.now(), states=what.state)
        is_quiet = not what.is_to_file and terminal.is_terminal(terminal.stdout())
        async with ExportView(store, is_quiet=is_quiet) as view:
            if what.is_to_file:
                exported = await _to_file(store, selection, what, where, view)
            else:
                exported = await _to_stdout(store, selection, what, view)
    write_summary(exported, view.seconds, what.file if what.is_to_file else None)
    return ExitCode.UNFINISHED if exported.ambiguous else ExitCode.DONE


async def _to_file(
    store: "EventStore", selection: "Selection", what: Writing, where: params.Selecting, view: "ExportView"
) -> "Exported":
    from craft_easy.core.events.operations import export

    assert what.file is not None
    kept = None
    if what.checkpoint is not None:
        asked = {"since": where.since.text if where.since else None, "until": where.until.text if where.until else None}
        kept = export.checkpoint(what.checkpoint, store, what.file, selection, what.json_format.value, **asked)
    return await export.export_file(
        store,
        what.file,
        selection,
        json_format=what.json_format.value,
        force=what.force,
        checkpoint=kept,
        observer=view.observe,
    )


async def _to_stdout(store: "EventStore", selection: "Selection", what: Writing, view: "ExportView") -> "Exported":
    from craft_easy.core.events.operations import export
    from craft_events_cli.output.exporting import write_lines

    exported = export.Exported()
    view.observe(export.ExportBegan(selection))
    found = export.blocks(store, selection, json_format=what.json_format.value, observer=view.observe)
    async with aclosing(found) as blocks:
        async for block in blocks:
            write_lines(block)
            exported.add(block)
            view.observe(block)
    return exported
