"""`craft-events redispatch`: deliver what was never finished."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, event_ids, lifecycle, loading, params, terminal, values
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded
from craft_events_cli.metrics.address import ListenAddress, listen_address

if TYPE_CHECKING:
    from craft_easy.core.events.redispatch import RedispatchOptions

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Delivering:
    """How deliveries run, and which records beyond the open ones are taken in."""

    handler: params.HandlerIds = field(default_factory=list)
    exclude_handler: Annotated[
        list[str],
        typer.Option(
            "--exclude-handler",
            metavar="ID",
            help="leave the deliveries of this handler open",
            rich_help_panel=params.HANDLERS,
        ),
    ] = field(default_factory=list)
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
    rate: params.Rate = None
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
            parser=values.reads(values.deadline),
            help="set how long this worker may be silent",
            show_default="30s",
            rich_help_panel=params.RUNNING,
        ),
    ] = 30
    metrics: Annotated[
        ListenAddress | None,
        typer.Option(
            "--metrics",
            metavar="HOST:PORT",
            parser=values.reads(listen_address),
            help="serve this worker's /metrics and /healthz here",
            rich_help_panel=params.RUNNING,
        ),
    ] = None
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
        """Return the options of the library."""
        from craft_easy.core.events.redispatch import RedispatchOptions

        return RedispatchOptions(
            handlers=tuple(self.handler),
            exclude_handlers=tuple(self.exclude_handler),
            concurrency=self.concurrency,
            rate=self.rate,
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
@expanded
def redispatch(
    where: params.Excluding,
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
        craft-events redispatch --watch --rate 50/s --exclude-handler shop.billing:charge -m shop.handlers
        craft-events redispatch --since 7d --include-untracked -m shop.handlers

    Records whose worker has been silent for a whole lease are taken over. Load every handler module of the
    application, and narrow with --handler: a delivery whose handler is not loaded stays pending, and is reported.
    With --now a delivery that waits for its back-off runs too; with --watch the run continues until it is stopped,
    and --metrics serves its metrics and a liveness probe.
    """
    from craft_events_cli.actions import redispatch as action

    _refuse_half_a_choice(how, where)
    _refuse_what_watch_cannot(how, where, ids_from or event_id, is_dry=dry_run)
    _check_metrics(how)
    chosen = terminal.output_format(output, endless=how.watch)
    modules, settings = handling.modules(connection.env), acting.confirmed(connection, is_dry=dry_run)
    ids = None if ids_from is None else tuple(event_ids.read(str(ids_from)))
    named = action.NamedEvents(tuple(event_id), ids)
    bus = loading.load_bus(modules)
    action.check_handlers(bus, how.options())
    return lifecycle.run(
        action.run(
            settings,
            bus,
            where,
            how.options(),
            chosen,
            lease=how.lease,
            named=named,
            is_dry=dry_run,
            metrics=how.metrics,
        )
    )


def _refuse_half_a_choice(how: Delivering, where: params.Limiting) -> None:
    if how.include_untracked and where.since is None:
        raise UsageError(
            "--include-untracked needs --since, or it would run the whole history",
            hint="add --since 2h, as far back as these events are to be delivered",
        )
    if how.any_type and not how.handler:
        raise UsageError("--any-type needs --handler: the handlers that run on any type")


def _check_metrics(how: Delivering) -> None:
    if how.metrics is None:
        return
    if not how.watch:
        raise UsageError("--metrics needs --watch: a run that ends is not scraped", hint="add --watch")
    from craft_events_cli.metrics.server import require_client

    require_client()


def _refuse_what_watch_cannot(how: Delivering, where: params.Limiting, ids: object, *, is_dry: bool) -> None:
    if how.lease < 1:
        raise UsageError("--lease: the minimum is a second", hint="30s is usual")
    if not how.watch:
        return
    if how.now:
        raise UsageError("--watch honours back-off", hint="leave out --now, or run once with --now and without --watch")
    endings = (("--until", where.until), ("--limit", where.limit), ("an event id", ids), ("--dry-run", is_dry))
    for name, is_given in endings:
        if is_given:
            raise UsageError(
                f"--watch continues until it is stopped, and {name} has an end", hint="leave one of them out"
            )
