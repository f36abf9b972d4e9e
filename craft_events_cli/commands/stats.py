"""`craft-events stats`: the backlog, its age and its owners; events and failures over time."""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import lifecycle, loading, params, terminal, values
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.spans import minutes
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.operations.stats import Limits, Meter, Stats
    from craft_easy.core.events.settings import Settings
    from craft_events_cli.output.looks import Looks

app = typer.Typer(add_completion=False)

FIGURES: Final = "Figures"
ALERTING: Final = "Alerting (exit 3 where one is crossed)"
LEAST_PAUSE: Final = 0.2
"""Seconds between two looks, however long the first of them took."""


class StatsGrouping(StrEnum):
    """The key of a group."""

    HANDLER = "handler"
    TYPE = "type"
    TENANT = "tenant"
    ERROR = "error"


def pause(text: str) -> float:
    """Read how long to wait between two looks, in seconds."""
    seconds = values.seconds(text)
    if seconds < LEAST_PAUSE:
        raise ValueError(f'"{text[:80]}" is too short, the minimum is {LEAST_PAUSE} s')
    return seconds


def width(text: str) -> timedelta:
    """Read how wide a bar is."""
    seconds = values.seconds(text)
    if not 1 <= seconds <= timedelta.max.total_seconds() / 2:
        raise ValueError(f'"{text[:80]}" is not a valid width: the minimum is a second')
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Looking:
    """The figures, and how often they are read."""

    by: Annotated[StatsGrouping, typer.Option("--by", help="group by this", rich_help_panel=FIGURES)] = (
        StatsGrouping.HANDLER
    )
    bar: Annotated[
        timedelta | None,
        typer.Option(
            "--bar",
            metavar="DURATION",
            parser=values.reads(width),
            help="set the width of a bar, such as 5m or 1h",
            rich_help_panel=FIGURES,
        ),
    ] = None
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            metavar="DURATION",
            parser=values.reads(pause),
            help="refresh after this long, such as 2s, until stopped",
            rich_help_panel=FIGURES,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Alerting:
    """The thresholds of an alert."""

    max_backlog: Annotated[
        int | None,
        typer.Option(
            "--max-backlog",
            metavar="N",
            parser=values.reads(values.whole_number),
            help="exit 3 if more than N events are open",
            rich_help_panel=ALERTING,
        ),
    ] = None
    max_age: Annotated[
        float | None,
        typer.Option(
            "--max-age",
            metavar="DURATION",
            parser=values.reads(values.seconds),
            help="exit 3 if the oldest open event is older",
            rich_help_panel=ALERTING,
        ),
    ] = None
    max_dead: Annotated[
        int | None,
        typer.Option(
            "--max-dead",
            metavar="N",
            parser=values.reads(values.whole_number),
            help="exit 3 if more than N deliveries are dead",
            rich_help_panel=ALERTING,
        ),
    ] = None

    def limits(self) -> "Limits":
        """Return the limits of the library."""
        from craft_easy.core.events.operations.stats import Limits

        return Limits(self.max_backlog, self.max_age, self.max_dead)


@app.command()
@expanded
def stats(
    where: params.Choosing,
    looking: Looking,
    alerting: Alerting,
    connection: params.Connecting,
    handling: params.Handling,
    output: params.Format = None,
) -> ExitCode:
    """Show what is stuck, since when and whose it is, and failures over time.

    Examples:
        craft-events stats
        craft-events stats --by error --since 2h
        craft-events stats --tenant acme --watch 2s
        craft-events stats --max-backlog 1000 --max-age 15m --max-dead 0 -o json

    Open and dead deliveries are counted whole, however old. --since and --until set the window of the figures over
    time, by default the last 24 hours. Failures are the stored errors, at most five of a delivery. The median is of
    the newest 10,000 events. With -m, open events whose handlers are not loaded are reported, exit 3.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output, endless=looking.watch is not None)
    loaded = _loaded(handling, connection)
    return lifecycle.run(_stats(settings, where, looking, alerting, loaded, chosen))


def _loaded(handling: params.Handling, connection: params.Connecting) -> list[str] | None:
    """Return the ids of the handlers that `-m` loads; modules of a variable are not loaded for figures alone."""
    if not handling.named:
        return None
    bus = loading.load_bus(handling.modules(connection.env))
    handlers = [one.handler for one in bus.subscriptions()]
    return list(dict.fromkeys(name for one in handlers for name in (one.id, *one.aliases)))


async def _stats(
    settings: "Settings",
    where: params.Choosing,
    looking: Looking,
    alerting: Alerting,
    loaded: list[str] | None,
    chosen: Output,
) -> ExitCode:
    from craft_easy.core.events.operations.stats import Meter
    from craft_events_cli.output.looks import Looks
    from craft_events_cli.output.stats import alarms_of, bars_that_fit

    limits = alerting.limits()
    async with opened(settings) as store:
        meter = Meter(store, by=looking.by.value, bar=looking.bar, loaded=loaded)
        if chosen is Output.TABLE:
            meter.most_bars = bars_that_fit()
        selection = where.selection(await store.now())
        first = await _first_look(meter, selection, chosen)
        looks = Looks(chosen, partial(_window_of, where), looking.watch)
        with looks:
            looks.write(first, limits.crossed(first), _hints(first, where))
            if looking.watch is not None:
                terminal.serving()
                await _go_on(meter, where, selection, limits, looks, looking.watch)
    alarms = list(alarms_of(first, limits.crossed(first)))
    for text in alarms:
        terminal.warn(text)
    for text in _hints(first, where):
        terminal.note(text)
    return ExitCode.UNFINISHED if alarms else ExitCode.DONE


async def _first_look(meter: "Meter", selection: "Selection", chosen: Output) -> "Stats":
    is_quiet = chosen is not Output.TABLE and terminal.is_terminal(terminal.stdout())
    progress = Progress("counting", is_quiet=is_quiet)

    def advance(_: int, total: int) -> None:
        progress.total = total
        progress.advance()

    meter.on_bar = advance
    try:
        return await meter.read(selection)
    finally:
        progress.close()
        meter.on_bar = None


async def _go_on(
    meter: "Meter",
    where: params.Choosing,
    selection: "Selection",
    limits: "Limits",
    looks: "Looks",
    every: float,
) -> None:
    """Look again and again; ends by a signal, or when the reader of a pipe has gone."""
    import asyncio

    from craft_easy.core.events.errors import StoreUnavailable

    with lifecycle.while_read():
        while True:
            await asyncio.sleep(every)
            try:
                window = where.window_at(await meter.store.now())
                found = await meter.read(replace(selection, since=window.since, until=window.until))
            except StoreUnavailable as error:
                looks.lost(str(error))
                continue
            looks.write(found, limits.crossed(found), _hints(found, where))


def _window_of(where: params.Choosing, found: "Stats") -> str:
    """Say which window the figures over time are of."""
    from craft_events_cli.output.stats import span_of

    since, until = minutes([found.since, found.until])
    if where.until is not None:
        return f"{since} … {until}"
    if where.since is not None and where.since.ago is None:
        return f"since {since}"
    return f"last {span_of((found.until - found.since).total_seconds())}"


def _hints(found: "Stats", where: params.Choosing) -> list[str]:
    """Return what stands still, and the next step."""
    known = [f"{found.due:,} due · no worker is running"] if _is_left_alone(found) else []
    return [*known, _next_step(found, where)]


def _is_left_alone(found: "Stats") -> bool:
    """Return whether events are due, and nothing runs that could deliver them."""
    return bool(found.due) and not found.workers


def _next_step(found: "Stats", where: params.Choosing) -> str:
    flags = where.flags()
    if found.dead and not _is_left_alone(found):
        return f"next: {next_step.command('dead', 'list', '--by', 'error', *flags)}"
    if found.due:
        return f"next: {next_step.loading('redispatch', *flags)}"
    if found.owned:
        return f"next: {next_step.command('workers')}"
    if found.waiting:
        return f"next: nothing, {found.waiting:,} wait for their next attempt"
    return "nothing is stuck"
