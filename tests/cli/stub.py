"""Commands for the tests of the application's frame."""

import asyncio
import builtins
import sys
from contextlib import suppress
from typing import Annotated

import typer

from craft_easy.core.events import errors
from craft_events_cli import lifecycle, params, terminal
from craft_events_cli.app import page
from craft_events_cli.errors import ExitCode, Terminated, UsageError
from craft_events_cli.expanding import Command, expanded


def command(
    where: params.Selecting,
    connection: params.Connecting,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="a name")] = None,
    state: params.States = [],  # noqa: B006 - Typer reads it like this
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="wait")] = True,
    output: params.Format = None,
) -> None:
    """Do nothing, and print the parsed options.

    Examples:
        craft-events stub one | jq '.[0]'
        craft-events stub two

    It has a second paragraph, with [brackets] in it.
    """
    chosen = terminal.output_format(output)
    settings = connection.settings()
    print("a print of the user's code")
    terminal.stdout().write(repr([where, settings, name, state, wait, chosen]) + "\n")


def fail(
    kind: Annotated[str, typer.Argument(metavar="KIND")], text: Annotated[str, typer.Argument()] = "it broke"
) -> None:
    """Raise an error."""
    found = getattr(errors, kind, None) or {"UsageError": UsageError, "Terminated": Terminated}.get(kind)
    if found is None:
        raise getattr(builtins, kind)(text)
    if found is errors.InvalidSetting:
        raise errors.InvalidSetting("uri", text, origin="CRAFT_EVENTS_URI")
    if found is errors.HandlerModuleError or found is errors.InvalidEvent:
        raise found("shop", text)
    raise found() if found is Terminated else found(text)


def lines(
    count: Annotated[int, typer.Option("--count", metavar="N", min=0)] = 1_000_000,
    acts: Annotated[bool, typer.Option("--acts")] = False,
) -> ExitCode:
    """Print lines, and end with 3 if it acts."""
    if acts:
        terminal.acting()
    for number in range(count):
        terminal.stdout().write(f"{number}\n")
    terminal.note("summary")
    return ExitCode.UNFINISHED if acts else ExitCode.DONE


def wait(
    stubborn: Annotated[bool, typer.Option("--stubborn")] = False,
    plain: Annotated[bool, typer.Option("--plain")] = False,
    forgetful: Annotated[bool, typer.Option("--forgetful")] = False,
) -> None:
    """Wait for a signal."""
    if plain:
        terminal.stdout().write("ready\n")
        terminal.flush()
        sys.stdin.read()
    lifecycle.run(_wait(stubborn=stubborn, forgetful=forgetful))


async def _wait(*, stubborn: bool, forgetful: bool) -> None:
    terminal.stdout().write("ready\n")
    terminal.flush()
    try:
        if forgetful:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()
    finally:
        terminal.stdout().write("cleaned up\n")
        terminal.flush()
        if stubborn:
            await asyncio.Event().wait()


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    functions: dict[str, Command] = {"stub": command, "fail": fail, "lines": lines, "wait": wait}
    for name, function in functions.items():
        app.command(name, help=page(function.__doc__ or ""))(expanded(function))
