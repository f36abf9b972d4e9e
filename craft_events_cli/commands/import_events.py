"""`craft-events import`: read events from NDJSON into the log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Taking:
    """The source, and how it is read."""

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


@app.command()
@expanded
def import_events(
    what: Taking,
    asking: params.Asking,
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
    from craft_events_cli.actions import import_events as action

    source = str(what.source)
    _refuse_what_does_not_fit(source, what, asking)
    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(
        action.run(settings, asking, source, chosen, with_delivery=what.with_delivery, rejects=what.rejects)
    )


def _refuse_what_does_not_fit(source: str, what: Taking, asking: params.Asking) -> None:
    from craft_easy.core.events.operations import intake

    if source == "-" and not (asking.yes or asking.dry_run):
        raise UsageError(
            "this command asks before it acts, and standard input holds the events",
            hint="--yes acts without asking; --dry-run reports what would be done",
        )
    intake.check(source)
    if what.rejects is not None and what.rejects.exists() and source != "-" and what.rejects.samefile(what.source):
        raise UsageError("--rejects: this is the file that is imported", hint="name another file")
