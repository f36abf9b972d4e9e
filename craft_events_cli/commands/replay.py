"""`craft-events replay`: print history, or run handlers over it."""

from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, event_ids, lifecycle, loading, pacing, params, terminal, values
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded
from craft_events_cli.output import failures, next_step
from craft_events_cli.output.progress import SHOWN_AFTER, Progress
from craft_events_cli.output.spans import times_are
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.history.replay import ReplayOptions
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore


app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the deliveries of an event."""

    state: params.States = field(default_factory=list)


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
            rich_help_panel=params.RUNNING,
        ),
    ] = False
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=1,
            help="run at most N tenants at once, each in order",
            rich_help_panel=params.RUNNING,
        ),
    ] = 10
    rate: params.Rate = None
    pace: Annotated[
        float | None,
        typer.Option(
            "--pace",
            metavar="PACE",
            parser=values.reads(pacing.speed),
            help="keep the gaps between events: original, original*10",
            rich_help_panel=params.RUNNING,
        ),
    ] = None
    timeout: params.Timeout = 900
    grace: params.Grace = 10
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="stop at the first failure", rich_help_panel=params.RUNNING),
    ] = False
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="keep the position here, and continue from it",
            rich_help_panel=params.RUNNING,
        ),
    ] = None
    failures_out: Annotated[
        Path | None,
        typer.Option(
            "--failures-out",
            metavar="FILE",
            help="write failed deliveries here, for --ids-from",
            rich_help_panel=params.RUNNING,
        ),
    ] = None
    ids_from: params.IdsFrom = None

    @property
    def is_meant(self) -> bool:
        """True if handlers are to run, and nothing is printed."""
        return self.all_handlers or bool(self.handler)

    def check(self, handling: params.Handling, where: params.Selecting, asking: params.Asking) -> None:
        """Refuse contradictions, before anything is loaded."""
        if self.handler and self.all_handlers:
            raise UsageError("--handler chooses handlers, and --all-handlers runs all", hint="leave one of them out")
        if self.is_meant and where.reverse:
            raise UsageError("handlers run oldest first, and --reverse is for printing", hint="leave --reverse out")
        if not self.is_meant and handling.named:
            raise UsageError(
                "-m loads handlers, and no option chooses which of them run",
                hint="add --handler ID or --all-handlers to run them; leave -m out to print",
            )
        if not self.is_meant:
            _refuse_to_print_with(self, asking)

    def options(self, only: Mapping[str, frozenset[str] | None] | None) -> "ReplayOptions":
        """Return the options of the library."""
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
@expanded
def replay(
    where: params.Selecting,
    standing: Standing,
    connection: params.Acting,
    handling: params.Handling,
    how: Rerunning,
    asking: params.Asking,
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
    how.check(handling, where, asking)
    chosen = terminal.output_format(output)
    if how.is_meant:
        return _rerun(where, standing.state, connection, handling, how, asking, chosen)
    return lifecycle.run(_replay(connection.settings(), where, standing.state, chosen))


def _refuse_to_print_with(*groups: Rerunning | params.Asking) -> None:
    for group in groups:
        for one in fields(group):
            if getattr(group, one.name) != getattr(type(group)(), one.name):
                raise UsageError(
                    f"--{one.name.replace('_', '-')} is for running handlers, and this prints",
                    hint="add --handler ID or --all-handlers, and -m MODULE",
                )


async def _replay(settings: "Settings", where: params.Selecting, state: list[params.State], chosen: Output) -> ExitCode:
    async with opened(settings) as store:
        selection = where.selection(await store.now(), states=state)
        shown, last_id = await _print(store, selection, chosen)
    terminal.note(_summary(shown, last_id, selection, chosen))
    return ExitCode.DONE


async def _print(store: "EventStore", selection: "Selection", chosen: Output) -> tuple[int, str]:
    """Write the events, and return their number and the id of the last."""
    from craft_easy.core.events.history.reading import Total, history
    from craft_events_cli.output.events import writer

    out, shown, last_id = writer(chosen), 0, ""
    progress = Progress("replaying", is_quiet=terminal.is_terminal(terminal.stdout()))
    counted_after = SHOWN_AFTER if progress.is_shown else None
    async with Total(store, selection, after=counted_after) as total, aclosing(history(store, selection)) as pages:
        try:
            out.begin()
            async for page in pages:
                out.write(page)
                shown += len(page)
                last_id = str(page[-1].get("event_id", "")) if page else last_id
                progress.total = total.number
                progress.advance(len(page))
            out.close()
        finally:
            progress.close()
    return shown, last_id


def _summary(shown: int, last_id: str, selection: "Selection", chosen: Output) -> str:
    if not shown:
        return "no events in this selection"
    parts = [f"{shown:,} event{'' if shown == 1 else 's'}"]
    if chosen is Output.TABLE:
        has_window = selection.since is not None or selection.until is not None
        parts += [*([] if has_window else [times_are()]), f"one in full: {next_step.command('show', last_id)}"]
    return " · ".join(parts)


def _rerun(
    where: params.Selecting,
    states: list[params.State],
    connection: params.Acting,
    handling: params.Handling,
    how: Rerunning,
    asking: params.Asking,
    chosen: Output,
) -> ExitCode:
    from craft_easy.core.events.handlers.context import suppressing
    from craft_events_cli.actions import replay

    failures.check(how.failures_out, how.ids_from)
    settings, modules = acting.checked(connection, asking), handling.modules(connection.env)
    only = None if how.ids_from is None else event_ids.read(str(how.ids_from))
    bus = loading.load_bus(modules)
    loading.require_handlers(bus, how.handler)
    rerun = replay.Rerun(
        bus,
        where,
        tuple(states),
        how.options(only),
        chosen,
        checkpoint=how.checkpoint,
        failures_out=how.failures_out,
    )
    with nullcontext() if how.cascade else suppressing():  # until the loop has closed: what handlers left may publish
        return lifecycle.run(replay.run(settings, asking, rerun))
