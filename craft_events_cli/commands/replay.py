"""`craft-events replay`: print history, or run handlers over it."""

import os
from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_events_cli import acting, lifecycle, pacing, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.checkpoint import Checkpoint
    from craft_easy.core.events.history.plan import ReplayPlan
    from craft_easy.core.events.history.replay import Replay, ReplayOptions, ReplaySummary
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore


app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the deliveries of an event stand."""

    state: params.States = field(default_factory=list)


RUNNING: Final = "Running handlers"


@dataclass(frozen=True, slots=True)
class Rerunning:
    """Which handlers run over the range, and how."""

    handler: params.HandlerIds = field(default_factory=list)
    all_handlers: Annotated[
        bool,
        typer.Option("--all-handlers", help="run every loaded handler", rich_help_panel=params.HANDLERS),
    ] = False
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade",
            help="store and dispatch what handlers publish",
            rich_help_panel=RUNNING,
        ),
    ] = False
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=1,
            help="run at most N tenants at once, each in order",
            rich_help_panel=RUNNING,
        ),
    ] = 10
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="N/s",
            parser=params.reads(pacing.events_a_second),
            help="limit the rate: 50/s, 600/m",
            rich_help_panel=RUNNING,
        ),
    ] = None
    pace: Annotated[
        float | None,
        typer.Option(
            "--pace",
            metavar="PACE",
            parser=params.reads(pacing.speed),
            help="keep the gaps between events: original, original*10",
            rich_help_panel=RUNNING,
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            parser=params.reads(params.deadline),
            help="limit a handler that sets no limit",
            show_default="15m",
            rich_help_panel=RUNNING,
        ),
    ] = 900
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="DURATION",
            parser=params.reads(params.seconds),
            help="wait this long for running handlers when stopped",
            show_default="10s",
            rich_help_panel=RUNNING,
        ),
    ] = 10
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="stop at the first failure", rich_help_panel=RUNNING),
    ] = False
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="keep the position here, and continue from it",
            rich_help_panel=RUNNING,
        ),
    ] = None
    failures_out: Annotated[
        Path | None,
        typer.Option(
            "--failures-out",
            metavar="FILE",
            help="write failed deliveries here, for --ids-from",
            rich_help_panel=RUNNING,
        ),
    ] = None
    ids_from: params.IdsFrom = None
    dry_run: params.DryRun = False
    yes: params.Yes = False

    @property
    def is_meant(self) -> bool:
        """Whether handlers are to run, and nothing is printed."""
        return self.all_handlers or bool(self.handler)

    def check(self, handling: params.Handling, where: params.Selecting) -> None:
        """Refuse what contradicts itself, before anything is loaded."""
        if self.handler and self.all_handlers:
            raise UsageError("--handler chooses handlers, and --all-handlers takes all", hint="leave one of them out")
        if self.is_meant and where.reverse:
            raise UsageError("handlers run oldest first, and --reverse is for printing", hint="leave --reverse out")
        if not self.is_meant and handling.named:
            raise UsageError(
                "-m loads handlers, and nothing says which of them are to run",
                hint="add --handler ID or --all-handlers to run them; leave -m out to print",
            )
        for one in () if self.is_meant else fields(self):
            if getattr(self, one.name) != (getattr(Rerunning(), one.name)):
                raise UsageError(
                    f"--{one.name.replace('_', '-')} is for running handlers, and this prints",
                    hint="add --handler ID or --all-handlers, and -m MODULE",
                )

    def options(self, only: Mapping[str, frozenset[str] | None] | None) -> "ReplayOptions":
        """Return what the library calls them."""
        from craft_easy.core.events.history.replay import ReplayOptions

        return ReplayOptions(
            handlers=tuple(self.handler),
            only=only,
            cascade=self.cascade,
            concurrency=self.concurrency,
            timeout=self.timeout,
            grace=self.grace,
            fail_fast=self.fail_fast,
            rate=self.rate,
            speed=self.pace,
        )


@app.command()
@params.expanded
def replay(
    where: params.Selecting,
    standing: Standing,
    connection: params.Acting,
    handling: params.Handling,
    how: Rerunning,
    output: params.Format = None,
) -> ExitCode:
    """Print a range of history, or run handlers over it.

    Examples:
        craft-events replay --tenant acme --type 'payment.*' --since 2d
        craft-events replay --reverse --limit 20
        craft-events replay --since 2026-01-31 --until 2026-02-01 > january-31.ndjson
        craft-events replay --type 'order.*' -m shop.handlers --all-handlers --checkpoint orders.json

    Printing changes nothing and runs no handler. With --handler ID or --all-handlers the handlers run, the oldest
    event first and each tenant in order; they can see that this is a replay. The deliveries in the log stay as they
    are. Events that handlers publish are suppressed and counted, unless --cascade. The range ends with the last
    event that is stored when the run starts.
    """
    how.check(handling, where)
    chosen = terminal.output_format(output)
    if how.is_meant:
        return _run(where, standing.state, connection, handling, how, chosen)
    return lifecycle.run(_replay(connection.settings(), where, standing.state, chosen))


async def _replay(settings: "Settings", where: params.Selecting, state: list[params.State], chosen: Output) -> ExitCode:
    async with opened(settings) as store:
        selection = where.selection(await store.now(), states=state)
        shown = await _print(store, selection, chosen)
    terminal.note(_summary(shown, selection, chosen))
    return ExitCode.DONE


async def _print(store: "EventStore", selection: "Selection", chosen: Output) -> int:
    from craft_easy.core.events.history.reading import Total, history
    from craft_events_cli.output.events import writer
    from craft_events_cli.output.progress import SHOWN_AFTER, Progress

    out, shown = writer(chosen), 0
    progress = Progress("replaying", is_quiet=terminal.is_terminal(terminal.stdout()))
    counted_after = SHOWN_AFTER if progress.is_shown else None
    async with Total(store, selection, after=counted_after) as total, aclosing(history(store, selection)) as pages:
        try:
            out.begin()
            async for page in pages:
                out.write(page)
                shown += len(page)
                progress.total = total.number
                progress.advance(len(page))
            out.close()
        finally:
            progress.close()
    return shown


def _summary(shown: int, selection: "Selection", chosen: Output) -> str:
    if not shown:
        return "no events in this selection"
    parts = [f"{shown:,} event{'' if shown == 1 else 's'}"]
    if chosen is Output.TABLE:
        has_window = selection.since is not None or selection.until is not None
        parts += [*([] if has_window else ["times are UTC"]), "in full: -o ndjson"]
    return " · ".join(parts)


# through handlers


def _run(
    where: params.Selecting,
    states: list[params.State],
    connection: params.Acting,
    handling: params.Handling,
    how: Rerunning,
    chosen: Output,
) -> ExitCode:
    from craft_easy.core.events.handlers.context import suppressing
    from craft_events_cli import event_ids, loading
    from craft_events_cli.output import failures

    if not how.dry_run:
        acting.check(yes=how.yes)
    failures.check(how.failures_out, how.ids_from)
    modules, settings = handling.modules(connection.env), connection.confirmed(is_dry=how.dry_run)
    only = None if how.ids_from is None else event_ids.read(str(how.ids_from))
    bus = loading.load_bus(modules)
    loading.require_handlers(bus, how.handler)
    work = _Work(bus, where, states, how, chosen, only, tuple(modules.handlers.value))
    with nullcontext() if how.cascade else suppressing():  # until the loop has closed: what handlers left may publish
        return lifecycle.run(_act(settings, work))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be run, and how it is to be told."""

    bus: "EventBus"
    where: params.Selecting
    states: list[params.State]
    how: Rerunning
    chosen: Output
    only: Mapping[str, frozenset[str] | None] | None
    modules: tuple[str, ...]

    def checkpoint(self, store: "EventStore") -> "Checkpoint | None":
        """Return the checkpoint that was asked for, of these filters alone."""
        from craft_easy.core.events.checkpoint import Checkpoint

        if self.how.checkpoint is None:
            return None
        log = f"{store.database_name}.{store.name}"
        return Checkpoint(self.how.checkpoint, kind="replay", log=log, filters=self._filters())

    def _filters(self) -> dict[str, Any]:
        """Return the filters as they were typed: `--since 2h` means the same window when it goes on."""
        where = self.where
        given = {
            "--tenant": sorted(where.tenant),
            "--no-tenant": where.no_tenant,
            "--type": sorted(where.type),
            "--actor": sorted(where.actor),
            "--state": sorted(self.states),
            "--since": where.since and where.since.text,
            "--until": where.until and where.until.text,
            "--limit": where.limit,
            "--handler": sorted(self.how.handler),
            "--cascade": self.how.cascade,
            "--ids-from": _digest(self.only),
        }
        return {name: value for name, value in given.items() if value}

    def again(self) -> str:
        """Return the command that runs what failed once more."""
        chosen = [part for one in self.how.handler for part in ("--handler", one)] or ["--all-handlers"]
        modules = [part for one in self.modules for part in ("-m", one)]
        return join(["craft-events", "replay", "--ids-from", str(self.how.failures_out), *modules, *chosen])


async def _act(settings: "Settings", work: _Work) -> ExitCode:
    async with opened(settings) as store:
        work.bus.configure_store(store)
        try:
            selection = work.where.selection(await store.now(), states=work.states)
            checkpoint = work.checkpoint(store)
            with nullcontext() if checkpoint is None or work.how.dry_run else checkpoint.lock():
                code, abandoned = await _plan_and_run(work, selection, checkpoint)
        finally:
            await work.bus.aclose()
    if abandoned:
        lifecycle.leave(code)
    return code


async def _plan_and_run(work: _Work, selection: "Selection", checkpoint: "Checkpoint | None") -> tuple[ExitCode, int]:
    """Say what would run, ask, and run it; return the code, and how many handlers never ended."""
    from craft_easy.core.events.engine.report import Began
    from craft_easy.core.events.history.replay import Replay
    from craft_events_cli.output.failures import Failures
    from craft_events_cli.output.replay import ReplayView, write_summary

    how = work.how
    one = Replay(work.bus, selection, how.options(work.only), checkpoint=checkpoint)
    one.on_hang = _end_what_hangs
    await one.begin()
    goes_on = one.position.mark is not None
    plan = await _plan(one, is_needed=how.dry_run or not how.yes)
    _tell(work, one, plan)
    if how.dry_run:
        return _count(work, one, plan), 0
    if plan.counts.events and not how.yes and not await acting.agreed(_question(plan, how)):
        terminal.note("nothing was run")
        return ExitCode.USAGE, 0
    terminal.acting()
    with Failures(how.failures_out, goes_on=goes_on) as failures, ReplayView(work.chosen, failures) as view:
        stop = lifecycle.Stop(view.note)
        view.show(Began(plan.counts.events))
        summary = await one.run(stop.event, observer=view.show)
    write_summary(view, summary, work.chosen, _next_step(work, summary, view.first_failed), goes_on=goes_on)
    return stop.exit_code or _code(summary), summary.abandoned


def _end_what_hangs(text: str) -> None:
    """End a process whose loop is blocked past every limit: nothing else can."""
    terminal.error(text)
    terminal.note("this run ends here; with --checkpoint the same command goes on, and comes to that event again")
    os._exit(ExitCode.UNFINISHED)


async def _plan(one: "Replay", *, is_needed: bool) -> "ReplayPlan":
    """Count what would run; where nobody is asked, a server that cannot count in time is no reason to end."""
    from craft_easy.core.events.errors import StoreUnavailable
    from craft_easy.core.events.history.plan import ReplayPlan

    try:
        return await one.plan()
    except StoreUnavailable as error:
        if is_needed:
            raise
        terminal.warn(f"how much that is could not be counted: {error.message}")
        return ReplayPlan()


def _tell(work: _Work, one: "Replay", plan: "ReplayPlan") -> None:
    from craft_events_cli.output.counts import missing_lines
    from craft_events_cli.output.replay import plan_lines, position_line

    if one.position.mark is not None:
        terminal.note(position_line(one.position, str(work.how.checkpoint)))
    for line in (*plan_lines(plan, is_counted=work.how.dry_run), *missing_lines(one.missing)):
        terminal.note(line)


def _question(plan: "ReplayPlan", how: Rerunning) -> str:
    from craft_events_cli.output.counts import counted

    counts = plan.counts
    deliveries, runs = counted(counts.deliveries, "delivery", "deliveries"), "runs" if counts.deliveries == 1 else "run"
    published = "and publish, which is stored and dispatched" if how.cascade else "publishing nothing"
    return f"{deliveries} of {counted(counts.events, 'event')} {runs} again, {published}."


def _count(work: _Work, one: "Replay", plan: "ReplayPlan") -> ExitCode:
    from craft_events_cli.output.counts import write_counts
    from craft_events_cli.output.replay import amount

    write_counts(plan.counts, work.chosen)
    terminal.flush()
    terminal.note(f"{amount(plan)} · nothing was run")
    return ExitCode.UNFINISHED if one.missing else ExitCode.DONE


def _next_step(work: _Work, summary: "ReplaySummary", failed: str | None) -> str | None:
    from craft_events_cli.output.replay import show

    if not summary.is_complete and work.how.checkpoint is not None:
        return f"the same command goes on from there ({work.how.checkpoint})"
    if summary.failed and work.how.failures_out is not None:
        return work.again()
    return None if failed is None else show(failed)


def _code(summary: "ReplaySummary") -> ExitCode:
    return ExitCode.DONE if summary.is_clean else ExitCode.UNFINISHED


def _digest(only: Mapping[str, frozenset[str] | None] | None) -> str | None:
    """Return a text that is the same for the same events and handlers."""
    if only is None:
        return None
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    for event_id in sorted(only):
        digest.update(repr((event_id, sorted(only[event_id] or ()))).encode("utf-8", "surrogatepass"))
    return f"{len(only)} events, {digest.hexdigest()}"
