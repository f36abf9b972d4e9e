"""`craft-events doctor`: check the log, its server, its workers and its handlers."""

from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import acting, lifecycle, loading, params, terminal, values
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.output.findings import Findings
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Registry
    from craft_easy.core.events.settings import Modules, Settings


app = typer.Typer(add_completion=False)

MAX_TTL: Final = 2**31 - 1
LEAST: Final = 0.1


def span(text: str) -> timedelta:
    """Read a duration that a TTL index may have: `90d`, `12h`."""
    seconds = int(values.seconds(text))
    if not 1 <= seconds <= MAX_TTL:
        raise ValueError(f'"{text[:80]}" is not a duration between a second and 68 years')
    return timedelta(seconds=seconds)


def time_to_answer(text: str) -> float:
    """Read how long an answer may take."""
    found = values.deadline(text)
    if found < LEAST:
        raise ValueError(f'"{text[:80]}" is too short, the minimum is {LEAST:g} s')
    return found


@dataclass(frozen=True, slots=True)
class Examining:
    """The checks in addition to those of the log, and the repairs."""

    checkpoint: Annotated[
        list[Path],
        typer.Option("--checkpoint", metavar="FILE", help="check this checkpoint too"),
    ] = field(default_factory=list)
    fix: Annotated[bool, typer.Option("--fix", help="create missing indexes; drops none")] = False
    ttl: Annotated[
        timedelta | None,
        typer.Option(
            "--ttl",
            metavar="DURATION",
            parser=values.reads(span),
            help="check for a TTL index of this age; with --fix create it",
        ),
    ] = None
    strict: params.Strict = False
    within: Annotated[
        float,
        typer.Option(
            "--within",
            metavar="DURATION",
            parser=values.reads(time_to_answer),
            help="limit the time of each check",
            show_default="10s",
        ),
    ] = 10.0


@app.command()
@expanded
def doctor(
    connection: params.Acting,
    handling: params.Handling,
    examining: Examining,
    output: params.Format = None,
) -> ExitCode:
    """Check the connection, indexes, clock, workers, contents and handlers.

    Examples:
        craft-events doctor -m shop.handlers
        craft-events doctor --fix
        craft-events doctor --checkpoint tail.checkpoint --strict
        craft-events doctor -o json | jq '.[] | select(.level != "OK")'

    Each line is OK, WARN or FAIL, with the next step. Nothing is written without --fix. A server that does not answer
    is checked step by step. FAIL ends with exit 3, a server that cannot be reached with 4.
    """
    settings = acting.confirmed(connection, is_dry=not examining.fix)
    modules = handling.modules(connection.env)
    chosen = terminal.output_format(output)
    return lifecycle.run(_doctor(settings, modules, examining, chosen))


async def _doctor(settings: "Settings", modules: "Modules", examining: Examining, chosen: Output) -> ExitCode:
    from craft_easy.core.events.operations.doctor.examine import examine, is_unreachable
    from craft_easy.core.events.operations.doctor.finding import Finding
    from craft_easy.core.events.store import EventStore

    out = Findings(chosen)
    out.begin()
    for warning in settings.warnings:
        out.write(Finding.warn("configuration", warning))
    registry = _loaded(modules, out)
    store = EventStore(settings.database.value, uri=settings.uri.value, collection=settings.collection.value)
    is_reached = True
    try:
        findings = examine(
            store,
            registry=registry,
            checkpoints=examining.checkpoint,
            uri=settings.uri.value,
            fix=examining.fix,
            ttl=examining.ttl,
            seconds=examining.within,
        )
        async with aclosing(findings) as found:
            async for finding in found:
                is_reached = is_reached and not is_unreachable(finding)
                out.write(finding)
    finally:
        await store.aclose()
    out.close()
    terminal.note(f"{settings.database.value}.{settings.collection.value}: {out.summary()}")
    if not is_reached:
        terminal.note(f"the address came from {settings.uri.origin}")
    elif not modules.handlers.value:
        terminal.note(f"whether your handlers fit the log: {next_step.loading('doctor')}")
    return _code(out, examining, is_reached=is_reached)


def _loaded(modules: "Modules", out: "Findings") -> "Registry | None":
    """Load the handler modules, and write a finding about them; None if there are none."""
    from craft_easy.core.events.errors import HandlerModuleError
    from craft_easy.core.events.operations.doctor.finding import Finding

    if not modules.handlers.value:
        return None
    try:
        bus = loading.load_bus(modules)
    except HandlerModuleError as error:
        out.write(Finding.fail("handler modules", error.message, error.hint))
        return None
    out.write(Finding.ok("handler modules", loading.announcement(bus, modules)))
    return bus.registry


def _code(out: "Findings", examining: Examining, *, is_reached: bool) -> ExitCode:
    if not is_reached:
        return ExitCode.UNREACHABLE
    is_bad = out.levels["FAIL"] or (examining.strict and out.levels["WARN"])
    return ExitCode.UNFINISHED if is_bad else ExitCode.DONE
