"""`craft-events handlers list | show | check | pause | resume`: the handlers of a module, and their fit to the log.

The pattern that other commands follow: the signature declares the options, `loading`, `opened` or the library
do the work, `output` writes data to stdout, `terminal.note` the summary to stderr; an exception is an error.
"""

from dataclasses import asdict
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_easy.core.events.model.times import Moment, parse_moment
from craft_events_cli import acting, lifecycle, loading, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.output.findings import Findings
from craft_events_cli.output.rows import json_line, write_rows
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.handlers.registry import Handler, Subscription
    from craft_easy.core.events.model.pause import PausedHandler
    from craft_easy.core.events.operations.handlers import HandlerBacklog
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

COLUMNS: Final = ("pattern", "order", "id", "mode", "replayable", "timeout", "retry", "aliases", "file", "line")


@app.callback()
@expanded
def handlers() -> None:
    """List, show or check the handlers of a module; pause one while what it calls is down.

    Examples:
      craft-events handlers list -m shop.handlers
      craft-events handlers check -m shop.handlers
      craft-events handlers pause shop.billing:charge --until 2h --reason "the bank is down"
    """


@app.command("list")
@expanded
def list_handlers(
    handling: params.Handling,
    env: params.Env = None,
    output: params.Format = None,
) -> ExitCode:
    """Show which handlers react to which events, in the order in which they run.

    Examples:
        craft-events handlers list -m shop.handlers
        craft-events handlers list -m shop.handlers -m billing.app:bus
        craft-events handlers list -o json | jq '.[] | select(.mode == "background").id'
    """
    modules = handling.modules(env)
    chosen = terminal.output_format(output)
    bus = loading.load_bus(modules)
    subscriptions = bus.subscriptions()
    if chosen is Output.TABLE:
        from craft_events_cli.output.handlers import write_table

        write_table(subscriptions)
    else:
        write_rows(map(row_of, subscriptions), COLUMNS, chosen)
    terminal.flush()
    loading.announce(bus, modules)
    return ExitCode.DONE


def row_of(subscription: "Subscription") -> dict[str, Any]:
    """Return a subscription as a row, its keys in the order of `COLUMNS`; null stands for a default."""
    handler = subscription.handler
    return {
        "pattern": subscription.pattern,
        "order": subscription.order,
        "id": handler.id,
        "mode": "background" if handler.background else "foreground",
        "replayable": handler.replayable,
        "timeout": handler.timeout,
        "retry": asdict(handler.retry) if handler.retry is not None else None,
        "aliases": list(handler.aliases),
        "file": handler.file,
        "line": handler.line,
    }


@app.command()
@expanded
def show(
    handler_id: Annotated[str, typer.Argument(metavar="ID", help="choose the handler, by its id or an alias")],
    handling: params.Handling,
    connection: params.Connecting,
    output: params.Format = None,
) -> ExitCode:
    """Show one handler: its patterns, its settings, and where its code is.

    Examples:
        craft-events handlers show shop.billing:charge -m shop.handlers
        craft-events handlers show shop.billing:charge -o json | jq .patterns

    With a database, also the number of events that wait for it and of its dead deliveries, and its pause.
    """
    modules = handling.modules(connection.env)
    settings = connection.settings()
    chosen = terminal.output_format(output)
    bus = loading.load_bus(modules)
    loading.require_handlers(bus, [handler_id])
    handler = bus.registry.handler(handler_id)
    assert handler is not None
    counts, pause = (None, None) if settings.uri.is_default else lifecycle.run(_in_the_log(settings, handler))
    row = described(handler, bus, counts, pause)
    if chosen is Output.TABLE:
        from craft_events_cli.output.handlers import write_handler

        write_handler(row)
    else:
        _write_one(row, chosen)
    terminal.flush()
    if counts is not None and (step := _next_step(handler.id, counts, pause)):
        terminal.note(step)
    return ExitCode.DONE


async def _in_the_log(settings: "Settings", handler: "Handler") -> "tuple[HandlerBacklog | None, PausedHandler | None]":
    """Return the backlog and the pause of a handler; None if the database is away, so that the rest is shown."""
    from craft_easy.core.events.errors import StoreError
    from craft_easy.core.events.model.pause import PausedHandler
    from craft_easy.core.events.operations.handlers import counts_of, pause_of

    try:
        async with opened(settings) as store:
            counts, pause = await counts_of(store, handler), await pause_of(store, handler)
    except StoreError as error:
        terminal.warn(f"its backlog is not known: {error.message}")
        return None, None
    return counts, None if pause is None else PausedHandler(pause, counts.pending)


def _next_step(handler_id: str, counts: "HandlerBacklog", paused: "PausedHandler | None") -> str | None:
    if paused is not None:
        return f"next: {next_step.command('handlers', 'resume', paused.handler)}"
    if counts.dead:
        return f"next: {next_step.command('dead', 'list', '--handler', handler_id)}"
    if counts.pending:
        return f"next: {next_step.loading('redispatch', '--handler', handler_id)}"
    return None


def described(
    handler: "Handler", bus: "EventBus", counts: "HandlerBacklog | None", paused: "PausedHandler | None"
) -> dict[str, Any]:
    """Return a handler as an object; null stands for a default, an unknown value, and no pause."""
    from craft_events_cli.output.pauses import row_of_pause

    mine = [one for one in bus.subscriptions() if one.handler.id == handler.id]
    row = row_of(mine[0])
    return {
        "id": handler.id,
        "patterns": [{"pattern": one.pattern, "order": one.order} for one in mine],
        "mode": row["mode"],
        "async": handler.is_async,
        **{name: row[name] for name in ("replayable", "timeout", "retry", "aliases", "file", "line")},
        "doc": next(iter((getdoc(handler.function) or "").splitlines()), None),
        "open": None if counts is None else counts.pending,
        "dead": None if counts is None else counts.dead,
        "paused": None if paused is None else row_of_pause(paused),
    }


def _write_one(row: dict[str, Any], chosen: Output) -> None:
    if chosen is Output.JSON:  # one handler is one object
        terminal.stdout().write(json_line(row))
    else:
        write_rows([row], tuple(row), chosen)


@app.command()
@expanded
def check(
    handling: params.Handling,
    connection: params.Connecting,
    strict: params.Strict = False,  # noqa: FBT002 - as Typer reads it
    output: params.Format = None,
) -> ExitCode:
    """Check whether the loaded handlers fit the log.

    Examples:
        craft-events handlers check -m shop.handlers
        craft-events handlers check -m shop.handlers --strict -o json

    FAIL: open events wait for a handler that is not loaded. WARN: a type in the log has no handler, or a handler
    waits for a type that the log does not hold. FAIL ends with exit 3.
    """
    modules = handling.modules(connection.env)
    settings = connection.settings()
    chosen = terminal.output_format(output)
    bus = loading.load_bus(modules)
    loading.announce(bus, modules)
    return lifecycle.run(_check(settings, bus, chosen, strict=strict))


async def _check(settings: "Settings", bus: "EventBus", chosen: Output, *, strict: bool) -> ExitCode:
    from craft_easy.core.events.operations.doctor.contents import about
    from craft_easy.core.events.operations.handlers import coverage

    async with opened(settings) as store:
        found = await coverage(store, bus.registry)
    out = Findings(chosen)
    out.begin()
    for finding in about(found):
        out.write(finding)
    out.close()
    terminal.note(out.summary())
    is_bad = not (found.is_perfect if strict else found.is_whole)
    return ExitCode.UNFINISHED if is_bad else ExitCode.DONE


def reason_given(text: str) -> str:
    """Check a reason."""
    if not text.strip():
        raise ValueError("the reason is empty")
    return text


@app.command()
@expanded
def pause(
    handler_id: Annotated[str, typer.Argument(metavar="ID", help="choose the handler, by its id or an alias")],
    asking: params.Asking,
    handling: params.Handling,
    connection: params.Acting,
    until: Annotated[
        Moment | None,
        typer.Option(
            "--until",
            metavar="TIME",
            parser=params.reads(parse_moment),
            help="end the pause by itself, in 2h or at a time",
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="TEXT",
            parser=params.reads(reason_given),
            help="give the reason, for those who see the pause",
        ),
    ] = None,
    output: params.Format = None,
) -> ExitCode:
    """Let the deliveries of a handler wait, without using up attempts.

    Examples:
        craft-events handlers pause shop.billing:charge --reason "the bank is down"
        craft-events handlers pause shop.billing:charge --until 2h
        craft-events handlers pause shop.billing:charge --until 1d12h --dry-run

    Every publisher and redispatch learns of it with its next heartbeat, within 10 s by default. Handlers that already
    run end as usual. With --until, 2h means two hours from now. A handler that is paused already gets the new end and
    reason. -m is needed only for a handler that no event names yet. A replay with handlers ignores pauses.
    """
    from craft_events_cli.actions import pauses

    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    modules = handling.modules(connection.env)
    wanted = pauses.WantedPause(handler_id, until, reason)
    return lifecycle.run(pauses.pause(settings, asking, modules, wanted, chosen))


@app.command()
@expanded
def resume(
    handler_id: Annotated[str, typer.Argument(metavar="ID", help="choose the handler, as it was paused")],
    asking: params.Asking,
    connection: params.Acting,
    output: params.Format = None,
) -> ExitCode:
    """End the pause of a handler.

    Examples:
        craft-events handlers resume shop.billing:charge
        craft-events handlers resume shop.billing:charge --yes -o json

    What waits for it is due at once: the next redispatch delivers it. Resuming a handler that is not paused is not an
    error.
    """
    from craft_events_cli.actions import pauses

    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(pauses.resume(settings, asking, handler_id, chosen))
