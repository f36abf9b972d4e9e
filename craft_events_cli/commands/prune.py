"""`craft-events prune`: archive and remove old events that are done."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_easy.core.events.model.times import parse_moment
from craft_events_cli import acting, lifecycle, params, terminal, values
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection

app = typer.Typer(add_completion=False)

COLLECTION: Final = "collection:"
ENDINGS: Final = (".ndjson", ".jsonl", ".json", ".gz")


def age(text: str) -> timedelta:
    """Read an age with its unit: `90d`, `26w`, `36h`."""
    try:
        found = parse_moment(text).ago
    except ValueError:
        found = None
    if not found:
        raise ValueError(f'"{text[:80]}" is not a valid age. Try 90d, 26w or 36h')
    return found


def archive_place(text: str) -> str:
    """Check that an archive is clearly a file or a collection."""
    is_file = "/" in text or text.endswith(ENDINGS)
    if text == "-" or text.endswith("/"):
        raise ValueError("copies are read back, so they cannot go there. Name a file, or collection:NAME")
    if text.startswith(COLLECTION) or is_file:
        return text
    raise ValueError(f'is "{text[:80]}" a file or a collection? Write ./{text[:80]} or collection:{text[:80]}')


@dataclass(frozen=True, slots=True)
class Pruning:
    """The age, and the place of the copies."""

    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=values.reads(age),
            help="select events published and done before: 90d, 26w, 36h",
        ),
    ]
    archive: Annotated[
        str | None,
        typer.Option(
            "--archive",
            metavar="FILE",
            parser=values.reads(archive_place),
            help="append copies to a file or to collection:NAME",
        ),
    ] = None
    no_archive: Annotated[bool, typer.Option("--no-archive", help="remove without a copy")] = False
    include_untracked: Annotated[
        bool,
        typer.Option("--include-untracked", help="include events without deliveries"),
    ] = False


@dataclass(frozen=True, slots=True)
class Which(params.Filtering):
    """Which of the old events."""

    limit: params.Limit = None

    def selection(self) -> "Selection":
        """Return the selection, without its window."""
        return replace(self.filters(), limit=self.limit)


@app.command()
@expanded
def prune(
    what: Pruning,
    which: Which,
    asking: params.Asking,
    connection: params.Acting,
    output: params.Format = None,
) -> ExitCode:
    """Copy old events that are done into an archive, and remove them from the log.

    Examples:
        craft-events prune --older-than 90d --dry-run
        craft-events prune --older-than 90d --archive 2026-q1.ndjson.gz
        craft-events prune --older-than 26w --type 'audit.*' --archive collection:old_audit --yes

    An event is removed after its copy was read back and is identical, and only if it has not changed meanwhile.
    Events that handlers of an open or dead event published stay: a retry would publish them again. An interrupted
    run loses nothing, and the same command continues it.

    A pruned event is new to the log: if it is published again, its handlers run again.
    """
    from craft_events_cli.actions import prune

    _refuse_contradictions(what, asking)
    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(
        prune.run(
            settings,
            asking,
            which.selection(),
            chosen,
            older_than=what.older_than,
            include_untracked=what.include_untracked,
            archive=what.archive,
        )
    )


def _refuse_contradictions(what: Pruning, asking: params.Asking) -> None:
    if what.archive is not None and what.no_archive:
        raise UsageError("--archive and --no-archive contradict each other", hint="leave one out")
    if what.archive is None and not what.no_archive and not asking.dry_run:
        raise UsageError(
            "--archive is missing: where do the copies go?",
            hint="--archive old.ndjson.gz or --archive collection:NAME; --no-archive keeps none",
        )
