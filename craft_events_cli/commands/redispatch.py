"""`craft-events redispatch`: deliver what was never finished."""

import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, event_ids, lifecycle, loading, params, terminal
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary
    from craft_easy.core.events.redispatch.event_ids import EventIds
    from craft_easy.core.events.store import EventStore

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Delivering:
    """How deliveries run, and which records beyond the open ones are taken in."""

    handler: params.HandlerIds = field(default_factory=list)
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=1,
            help="run the handlers of at most N events at once",
            rich_help_panel=params.RUNNING,
        ),
    ] = 10
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="wait for silent owners, and take over from them",
            rich_help_panel=params.RUNNING,
        ),
    ] = True
    any_type: Annotated[
        bool,
        typer.Option(
            "--any-type",
            help="run the --handler on types that its patterns do not match",
            rich_help_panel=params.RUNNING,
        ),
    ] = False
    now: Annotated[
        bool,
        typer.Option("--now", help="ignore back-off, and deliver what is not due yet", rich_help_panel=params.RUNNING),
    ] = False
    due: Annotated[bool, typer.Option("--due", hidden=True)] = False
    watch: Annotated[
        bool,
        typer.Option("--watch", help="keep delivering until stopped", rich_help_panel=params.RUNNING),
    ] = False
    lease: Annotated[
        float,
        typer.Option(
            "--lease",
            metavar="DURATION",
            parser=params.reads(params.deadline),
            help="set how long this worker may be silent",
            show_default="30s",
            rich_help_panel=params.RUNNING,
        ),
    ] = 30
    timeout: params.Timeout = 900
    grace: params.Grace = 10
    include_untracked: Annotated[
        bool,
        typer.Option(
            "--include-untracked",
            help="include events without deliveries; needs --since",
            rich_help_panel=params.RUNNING,
        ),
    ] = False
    include_unhandled: Annotated[
        bool,
        typer.Option(
            "--include-unhandled",
            help="include events that had no handler when published",
            rich_help_panel=params.RUNNING,
        ),
    ] = False

    def options(self) -> "RedispatchOptions":
        """Return what the library calls them."""
        from craft_easy.core.events.redispatch import RedispatchOptions

        return RedispatchOptions(
            handlers=tuple(self.handler),
            concurrency=self.concurrency,
            wait=self.wait,
            include_untracked=self.include_untracked,
            include_unhandled=self.include_unhandled,
            timeout=self.timeout,
            grace=self.grace,
            any_type=self.any_type,
            now=self.now,
            watch=self.watch,
        )


@app.command()
@params.expanded
def redispatch(
    where: params.Limiting,
    connection: params.Acting,
    handling: params.Handling,
    how: Delivering,
    *,
    event_id: Annotated[list[str], typer.Argument(metavar="EVENT_ID", help="deliver this event")] = [],  # noqa: B006
    dry_run: params.DryRun = False,
    ids_from: params.IdsFrom = None,
    output: params.Format = None,
) -> ExitCode:
    """Deliver what was never finished: run the handlers that are due.

    Examples:
        craft-events redispatch --since 2h -m shop.handlers
        craft-events redispatch 019abf3e-77d1-7000-8000-000000000057 -m shop.handlers --dry-run
        craft-events redispatch --watch -m shop.handlers
        craft-events redispatch --since 7d --include-untracked -m shop.handlers

    Records whose worker has been silent for a whole lease are taken over. Load every handler module of the
    application, and narrow with --handler: a delivery whose handler is not loaded stays pending, and is reported.
    With --now a delivery that waits for its back-off runs too; with --watch the run continues until it is stopped.
    """
    if how.include_untracked and where.since is None:
        raise UsageError(
            "--include-untracked needs --since, or it would run the whole history",
            hint="add --since 2h, as far back as these events are to be delivered",
        )
    if how.any_type and not how.handler:
        raise UsageError("--any-type needs --handler, the handlers that run on any type")
    _refuse_what_watch_cannot(how, where, ids_from or event_id, is_dry=dry_run)
    chosen = terminal.output_format(output, endless=how.watch)
    modules, settings = handling.modules(connection.env), acting.confirmed(connection, is_dry=dry_run)
    ids = None if ids_from is None else tuple(event_ids.read(str(ids_from)))
    named = _Named(tuple(event_id), ids)
    bus = loading.load_bus(modules)
    loading.require_handlers(bus, how.handler)
    log = opened(settings, if_missing=IfMissing.WAIT if how.watch else IfMissing.REFUSE)
    return lifecycle.run(_redispatch(bus, log, where, how, chosen, named, is_dry=dry_run))


@dataclass(frozen=True, slots=True)
class _Named:
    """The events that are named: as arguments, whose beginnings are enough, and in a file."""

    given: tuple[str, ...]
    listed: tuple[str, ...] | None

    async def ids(self, store: "EventStore") -> tuple[str, ...] | None:
        """Return their ids; None where none is named."""
        if not self.given:
            return self.listed
        return (*await event_ids.whole(store, self.given), *(self.listed or ()))


def _refuse_what_watch_cannot(how: Delivering, where: params.Limiting, ids: object, *, is_dry: bool) -> None:
    if how.lease < 1:
        raise UsageError("--lease: a worker needs a second at least to show that it lives", hint="30 is usual")
    if not how.watch:
        return
    if how.now:
        raise UsageError("--watch honours back-off", hint="leave out --now, or run once with --now and without --watch")
    endings = (("--until", where.until), ("--limit", where.limit), ("an event id", ids), ("--dry-run", is_dry))
    for name, is_given in endings:
        if is_given:
            raise UsageError(
                f"--watch goes on until it is stopped, and {name} has an end", hint="leave one of them out"
            )


async def _redispatch(
    bus: "EventBus",
    opened: AbstractAsyncContextManager["EventStore"],
    where: params.Limiting,
    how: Delivering,
    chosen: Output,
    named_events: _Named,
    *,
    is_dry: bool,
) -> ExitCode:
    from craft_easy.core.events.redispatch.event_ids import look_up

    async with opened as store:
        bus.configure_store(store, lease=how.lease)
        bus.publisher.record_owner().worker.watchdog.on_hang = _end_what_hangs
        try:
            selection = where.selection(await store.now())
            loaded = len({one.handler.id for one in bus.subscriptions()})
            terminal.note(f"{loaded:,} handler{'' if loaded == 1 else 's'} loaded")
            ids = await named_events.ids(store)
            named = None if ids is None else await look_up(store, selection, ids)
            if is_dry:
                return await _count(bus, named or selection, how.options(), chosen)
            code, summary = await _deliver(bus, named or selection, how.options(), chosen)
        finally:
            await bus.aclose()
    if summary.abandoned:
        lifecycle.leave(code)
    return code


async def _count(bus: "EventBus", meant: "Selection | EventIds", how: "RedispatchOptions", chosen: Output) -> ExitCode:
    from craft_easy.core.events.redispatch.backlog import count
    from craft_easy.core.events.redispatch.event_ids import EventIds, count_named
    from craft_events_cli.output.counts import counted, write_counts

    if isinstance(meant, EventIds):
        counts = await count_named(bus, meant, how)
    else:
        counts = await count(bus, meant, how)
    write_counts(counts, chosen)
    deliveries = counted(counts.deliveries, "delivery", "deliveries")
    terminal.note(f"{counted(counts.events, 'event')}, {deliveries} · nothing was written")
    if counts.after_take_over:
        terminal.note(f"{counts.after_take_over:,} of them after a take-over, in {counts.take_over_s:.0f} s")
    return ExitCode.UNFINISHED if _tell_missing(meant) else ExitCode.DONE


def _tell_missing(meant: "Selection | EventIds") -> bool:
    """Name the events that were asked for and are not in the log; tell whether there are any."""
    from craft_events_cli.output.counts import missing_lines

    lines = list(missing_lines(getattr(meant, "missing", ())))
    for line in lines:
        terminal.note(line)
    return bool(lines)


async def _deliver(
    bus: "EventBus", meant: "Selection | EventIds", how: "RedispatchOptions", chosen: Output
) -> tuple[ExitCode, "RedispatchSummary"]:
    from craft_easy.core.events.redispatch import redispatch
    from craft_easy.core.events.redispatch.event_ids import EventIds, redispatch_named
    from craft_events_cli.output.redispatch import RedispatchView

    terminal.acting()
    with RedispatchView(chosen) as view:
        stop = lifecycle.Stop(view.note)
        if isinstance(meant, EventIds):
            summary = await redispatch_named(bus, meant, how, observer=view.show, stop=stop.event)
        else:
            summary = await redispatch(bus, meant, how, observer=view.show, stop=stop.event)
    view.write_summary(summary)
    is_missing = _tell_missing(meant)
    return stop.exit_code or (ExitCode.UNFINISHED if is_missing else _code(summary)), summary


def _code(summary: "RedispatchSummary") -> ExitCode:
    return ExitCode.DONE if summary.is_clean else ExitCode.UNFINISHED


def _end_what_hangs(text: str) -> None:
    """End a process whose loop is blocked past every limit: nothing else can, and others finish what it owned."""
    terminal.error(text)
    terminal.note("this run ends here; another one takes over what it had claimed")
    os._exit(ExitCode.UNFINISHED)
