"""`craft-events prune` and `prune redact`: archive and remove what is done and old, remove payloads on request."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_easy.core.events.model.selection import parse_moment
from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from datetime import datetime

    from craft_easy.core.events.operations.prune import Archive, Old, Pruned
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

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
        raise ValueError(f'"{text[:80]}" is no age. Try 90d, 26w or 36h')
    return found


def archive_place(text: str) -> str:
    """Check that it is said whether an archive is a file or a collection."""
    is_file = "/" in text or text.endswith(ENDINGS)
    if text == "-" or text.endswith("/"):
        raise ValueError("what is archived is read back, so it cannot go there. Name a file, or collection:NAME")
    if text.startswith(COLLECTION) or is_file:
        return text
    raise ValueError(f'is "{text[:80]}" a file or a collection? Write ./{text[:80]} or collection:{text[:80]}')


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is old, and where its copies go."""

    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=params.reads(age),
            help="select events published and done before: 90d, 26w, 36h",
        ),
    ]
    archive: Annotated[
        str | None,
        typer.Option(
            "--archive",
            metavar="FILE",
            parser=params.reads(archive_place),
            help="append copies to a file or to collection:NAME",
        ),
    ] = None
    no_archive: Annotated[bool, typer.Option("--no-archive", help="remove without a copy")] = False
    include_untracked: Annotated[
        bool,
        typer.Option("--include-untracked", help="include events without deliveries"),
    ] = False
    dry_run: params.DryRun = False
    yes: params.Yes = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, or leaves open where the copies go."""
        if self.archive is not None and self.no_archive:
            raise UsageError("--archive and --no-archive contradict each other", hint="leave one out")
        if self.archive is None and not self.no_archive and not self.dry_run:
            raise UsageError(
                "--archive is missing: where do the copies go?",
                hint="--archive old.ndjson.gz or --archive collection:NAME; --no-archive keeps none",
            )


@dataclass(frozen=True, slots=True)
class Which:
    """Which of the old events."""

    tenant: params.Tenants = field(default_factory=list)
    no_tenant: params.NoTenant = False
    type: params.Types = field(default_factory=list)
    actor: params.Actors = field(default_factory=list)
    limit: params.Limit = None


@app.command()
@params.expanded
def prune(what: Pruning, which: Which, connection: params.Acting, output: params.Format = None) -> ExitCode:
    """Copy old events that are done into an archive, and remove them from the log.

    Examples:
        craft-events prune --older-than 90d --dry-run
        craft-events prune --older-than 90d --archive 2026-q1.ndjson.gz
        craft-events prune --older-than 26w --type 'audit.*' --archive collection:old_audit --yes

    An event is removed after its copy was read back and is identical, and only if it has not changed meanwhile.
    Events that handlers of an open or dead event published stay: a retry would publish them again. An interrupted
    run loses nothing, and the same command continues it.

    The log does not know an event that was pruned: if it is published again, it is handled again.
    """
    chosen = terminal.output_format(output)
    if not what.dry_run:
        acting.check(yes=what.yes)
    settings = connection.confirmed(is_dry=what.dry_run)
    return lifecycle.run(_prune(settings, what, which, chosen))


async def _prune(settings: "Settings", what: Pruning, which: Which, chosen: Output) -> ExitCode:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.operations.prune import Old

    async with opened(settings) as store, AsyncExitStack() as stack:
        archive = None if what.archive is None else await _opened(store, settings, what.archive, stack, what)
        selection = Selection(
            tenants=tuple(which.tenant),
            no_tenant=which.no_tenant,
            types=tuple(which.type),
            actors=tuple(which.actor),
            limit=which.limit,
        )
        old = Old(_before(await store.now(), what.older_than), selection, include_untracked=what.include_untracked)
        terminal.note(f"done before {old.before:%Y-%m-%d %H:%M:%S} UTC")
        if what.dry_run:
            return await _tell(store, old, chosen)
        expected = None if what.yes else await _counted(store, old)
        if expected is not None and not await _is_meant(expected, store, what):
            terminal.note("nothing was written")
            return ExitCode.USAGE
        return await _carry_out(store, old, archive, what, chosen, expected)


async def _opened(
    store: "EventStore", settings: "Settings", place: str, stack: AsyncExitStack, what: Pruning
) -> "Archive | None":
    from craft_easy.core.events.operations.prune import CollectionArchive, FileArchive
    from craft_easy.core.events.settings import Value
    from craft_easy.core.events.settings.checks import check_collection

    if place.startswith(COLLECTION):
        name = place.removeprefix(COLLECTION)
        check_collection(Value(name, "--archive"), settings.database.value)
        try:
            return CollectionArchive(store, name)
        except ValueError as error:
            raise UsageError(f"--archive: {error}", hint="name another collection") from None
    if what.dry_run:
        return None
    archive = await stack.enter_async_context(FileArchive(Path(place)))
    if archive.cut:
        terminal.note(f"{archive.cut:,} bytes that an interrupted run left half written were cut off {place}")
    return archive


def _before(now: "datetime", older_than: timedelta) -> "datetime":
    try:
        return now - older_than
    except OverflowError:
        raise UsageError("--older-than: that lies before the year 1", hint="try 90d") from None


async def _tell(store: "EventStore", old: "Old", chosen: Output) -> ExitCode:
    from craft_events_cli.output.counts import counted, write_counts
    from craft_events_cli.output.pruning import remarks

    found = await _counted(store, old)
    write_counts(found.counts, chosen)
    terminal.flush()
    terminal.note(" · ".join([counted(found.counts.events, "event"), *remarks(found), "nothing was written"]))
    return ExitCode.DONE


async def _counted(store: "EventStore", old: "Old") -> "Pruned":
    from craft_easy.core.events.operations import prune
    from craft_events_cli.output.progress import Progress

    progress = Progress("counting")
    try:
        return await prune.count(store, old, on_counted=progress.advance)
    finally:
        progress.close()


async def _is_meant(expected: "Pruned", store: "EventStore", what: Pruning) -> bool:
    from craft_events_cli.output.counts import counted
    from craft_events_cli.output.pruning import remarks

    events = expected.counts.events
    if not events:
        return True
    for line in remarks(expected):
        terminal.note(line)
    which, log = f"{counted(events, 'event')} {'is' if events == 1 else 'are'}", f"{store.database_name}.{store.name}"
    if what.archive is None:
        return await acting.typed(f"{which} removed from {log} for good, without a copy.", store.name)
    return await acting.agreed(f"{which} copied to {what.archive} and removed from {log}.")


async def _carry_out(
    store: "EventStore",
    old: "Old",
    archive: "Archive | None",
    what: Pruning,
    chosen: Output,
    expected: "Pruned | None",
) -> ExitCode:
    from craft_easy.core.events.operations import prune
    from craft_events_cli.output.pruning import Pruner

    terminal.acting()
    async with Pruner(what.archive, chosen) as view:
        if expected is None:
            view.learn(prune.estimate(store, old))
        else:
            view.expect(expected.counts.events)
        pruned = await prune.prune(store, old, archive, on_removed=view.advance)
    view.write_summary(pruned)
    return ExitCode.DONE if pruned.is_complete else ExitCode.UNFINISHED
