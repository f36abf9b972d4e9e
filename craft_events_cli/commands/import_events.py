"""`craft-events import`: take events in from NDJSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore
    from craft_events_cli.output.importing import Rejects


app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Taking:
    """What is taken in, and how."""

    source: Annotated[
        Path, typer.Argument(metavar="FILE|-", help="read NDJSON from this file, gzip or not; - is stdin")
    ]
    with_delivery: Annotated[
        bool,
        typer.Option(
            "--with-delivery",
            help="keep the deliveries of the events; owned ones become open",
        ),
    ] = False
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="write rejected lines here: {line, error, text}"),
    ] = None
    dry_run: params.DryRun = False
    yes: params.Yes = False


@app.command()
@params.expanded
def import_events(
    what: Taking,
    connection: params.Acting,
    output: params.Format = None,
) -> ExitCode:
    """Read events from NDJSON into the log: Extended JSON or Event JSON.

    Examples:
        craft-events import events.ndjson.gz --dry-run
        craft-events import events.ndjson.gz --rejects rejects.ndjson
        craft-events export --uri mongodb://db-1/shop - | craft-events import - --with-delivery --yes

    Each line is checked before it is written. An invalid line is reported with its number, the others continue, and
    the run ends with exit 3. Nothing is overwritten: an event that is stored with the same content counts as
    present, with other content as a conflict. So the same import can run again after any end.

    Without --with-delivery the events are stored untracked, and no handler runs for them.
    """
    source = str(what.source)
    _refuse_what_cannot_be_asked(source, what)
    chosen = terminal.output_format(output)
    settings = connection.confirmed(is_dry=what.dry_run)
    return lifecycle.run(_import(settings, source, what, chosen))


def _refuse_what_cannot_be_asked(source: str, what: Taking) -> None:
    from craft_easy.core.events.operations import intake

    if source == "-" and not (what.yes or what.dry_run):
        raise UsageError(
            "this asks before it acts, and standard input holds the events",
            hint="--yes goes on without asking; --dry-run says what would be done",
        )
    intake.check(source)
    if not what.dry_run:
        acting.check(yes=what.yes)
    if what.rejects is not None and what.rejects.exists() and source != "-" and what.rejects.samefile(what.source):
        raise UsageError("--rejects: this is the file that is read", hint="name another file")


async def _import(settings: "Settings", source: str, what: Taking, chosen: Output) -> ExitCode:
    from craft_easy.core.events.operations.intake import count_lines
    from craft_events_cli.output.counts import counted
    from craft_events_cli.output.importing import Rejects, shown_source

    async with opened(settings, if_missing=IfMissing.BEGIN) as store:
        total = None
        if not (what.yes or what.dry_run):
            total = await count_lines(source)
            amount = "the lines" if total is None else counted(total, "line")
            log = f"{store.database_name}.{store.name} at {await store.open()}"
            if not await acting.agreed(f"{amount} of {shown_source(source)} are taken into {log}."):
                terminal.note("nothing was written")
                return ExitCode.USAGE
        rejects = None if what.rejects is None else Rejects(what.rejects)
        try:
            return await _carry_out(store, source, what, chosen, rejects, total)
        finally:
            if rejects is not None:
                rejects.close()


async def _carry_out(
    store: "EventStore", source: str, what: Taking, chosen: Output, rejects: "Rejects | None", total: int | None
) -> ExitCode:
    from craft_easy.core.events.operations.import_ import import_events
    from craft_events_cli.output.counts import write_counts
    from craft_events_cli.output.importing import ImportView

    if not what.dry_run:
        terminal.acting()
    with ImportView(source, chosen, rejects=rejects, total=total, is_dry=what.dry_run) as view:
        imported = await import_events(
            store, source, with_delivery=what.with_delivery, dry_run=what.dry_run, observer=view.observe
        )
    if what.dry_run:
        write_counts(imported.counts, chosen)
    view.write_summary(imported, with_delivery=what.with_delivery)
    return ExitCode.DONE if imported.is_clean else ExitCode.UNFINISHED
