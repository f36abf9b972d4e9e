"""The Typer application: a table of commands and groups, of which one is imported when it is run or its page is shown.

Each module of `commands` has a `typer.Typer` of its own called `app`, with one command or with several as a group.
"""

from __future__ import annotations

import inspect
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from craft_events_cli import __version__, lifecycle, terminal
from craft_events_cli.errors import Terminated, carried, guarded

PROGRAM: Final = "craft-events"
HAPPENED: Final = "What happened"
WRONG: Final = "What is wrong"
ACT: Final = "What to do"
SETUP: Final = "Setting up"
EXAMPLE_WIDTH: Final = 76
_BREAKS: Final = re.compile(r"""[ ](?=--?[a-z]|[|>][ ])(?=(?:[^'"]|'[^']*'|"[^"]*")*$)""")
"""Where a command can continue on the next line: before an option, a pipe or a redirection, outside of quotes."""


class Entry(NamedTuple):
    """A command or group: its module in `commands`, its summary in one line, its panel on the root's page."""

    module: str
    help: str
    panel: str


COMMANDS: Final[dict[str, Entry]] = {
    "replay": Entry("replay", "Print or re-run history.", HAPPENED),
    "tail": Entry("tail", "Follow the log live.", HAPPENED),
    "show": Entry("show", "Show one event, its deliveries, attempts and errors.", HAPPENED),
    "trace": Entry("trace", "Show what caused an event and what it caused.", HAPPENED),
    "export": Entry("export", "Write events as NDJSON.", HAPPENED),
    "top": Entry("top", "Watch the log live, look at it, and act.", WRONG),
    "stats": Entry("stats", "Show the backlog, rates and failures over time.", WRONG),
    "dead": Entry("dead", "List, retry or discard deliveries that used up their attempts.", WRONG),
    "pending": Entry("pending", "Show what is open, why, and when it is next tried.", WRONG),
    "workers": Entry("workers", "Show the workers, the events they own, and which are silent.", WRONG),
    "handlers": Entry("handlers", "List, show or check the handlers of a module.", WRONG),
    "schema": Entry("schema", "List, export or check the event classes of a module.", WRONG),
    "doctor": Entry("doctor", "Check the connection, indexes, clock and handlers.", WRONG),
    "metrics": Entry("metrics", "Serve the backlog as Prometheus metrics.", WRONG),
    "redispatch": Entry("redispatch", "Deliver what was never finished.", ACT),
    "publish": Entry("publish", "Publish one event, or lines of them.", ACT),
    "import": Entry("import_events", "Read events from NDJSON into the log.", ACT),
    "prune": Entry("prune", "Archive and remove old events that are done.", ACT),
    "redact": Entry("redact", "Remove payloads on request, and keep the events.", ACT),
    "serve": Entry("serve", "Run the embedded event log.", SETUP),
    "demo": Entry("demo", "Watch a half-minute story on an embedded log.", SETUP),
    "config": Entry("config", "Show every setting and where it came from.", SETUP),
    "completion": Entry("completion", "Print the completions of a shell.", SETUP),
}


def page(docstring: str) -> str:
    """Return a docstring as Typer's Rich pages need it: paragraphs as one line, examples indented, brackets escaped."""
    paragraphs = inspect.cleandoc(re.sub(r"(\\*)(\[[a-zA-Z#/@])", r"\1\1\\\2", docstring)).split("\n\n")
    return "\n\n".join(_examples(one) if "\n " in one else one.replace("\n", " ") for one in paragraphs)


def _examples(paragraph: str) -> str:
    heading, *commands = paragraph.splitlines()
    lines = [line for command in commands for line in _continued(command.strip())]
    return "\n".join([heading, *(f"[not dim]  {line}[/]" for line in lines)])  # Typer cuts off plain margins


def _continued(command: str) -> list[str]:
    """Return a command in lines of a terminal of 80 columns, each but the last with the backslash of the shell."""
    lines: list[str] = []
    for part in _BREAKS.split(command):
        if lines and len(lines[-1]) + len(part) + len("  \\") <= EXAMPLE_WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"{'  ' if lines else ''}{part}")
    return [*(f"{line} \\\\" for line in lines[:-1]), lines[-1]]


class _WithContext:
    """Gives each usage error its context, and so its page: Typer's have none where an option lacks its value.

    On the page a flag has no value to type: Typer shows `<bool>`.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # a mixin of Typer's classes
        for one in found:
            if getattr(one, "is_flag", False):
                one.metavar = ""
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc,no-any-return]  # a mixin of Typer's classes
        except typer.TyperException as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]  # its usage errors have one
            raise


class LoadedCommand(_WithContext, TyperCommand):
    """A command of a module."""


class LoadedGroup(_WithContext, TyperGroup):
    """A group of a module."""


class StandIn(TyperCommand):
    """A command or group that has not been imported: its name and summary for the root's page."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, rich_help_panel=entry.panel)
        self._module = entry.module

    def load(self) -> TyperCommand | TyperGroup:
        """Import the module and return its command or group."""
        loaded: typer.Typer = import_module(f"craft_events_cli.commands.{self._module}").app
        loaded.info.cls = LoadedGroup
        for one in loaded.registered_commands:
            one.cls = LoadedCommand
        command = typer.main.get_command(loaded)
        assert isinstance(command, (TyperCommand, TyperGroup))
        for shown in (command, *getattr(command, "commands", {}).values()):
            shown.help = page(shown.help or "")
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent, **extra)


class Commands(_WithContext, TyperGroup):
    """The root: a stand-in for each entry of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.help = page(self.help or "")
        for name, entry in COMMANDS.items():
            self.add_command(StandIn(name, entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[:2] == ["prune", "redact"]:  # the name that `redact` had
            args = args[1:]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with carried():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Coloring = Annotated[terminal.Color, typer.Option("--color", help="colour the output", rich_help_panel="Output")]
Debugging = Annotated[bool, typer.Option("--debug", help="show the traceback of an error", rich_help_panel="Output")]
"""Options of every page; `terminal.streams` reads both before anything is parsed."""


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if is_asked:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="print the version")
    ] = False,
    color: Coloring = terminal.Color.AUTO,
    debug: Debugging = False,
) -> None:
    """Operate the event log: see what happened, what is wrong, and deliver what was never finished.

    Examples:
      craft-events stats
      craft-events replay --tenant acme --since 2d
      craft-events redispatch --since 2h -m shop.handlers
      craft-events demo
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the console script."""
    _handle_endings()
    lifecycle.reset_signals_in_forks()
    code = run([_decoded(argument) for argument in sys.argv[1:]])
    if not lifecycle.threads_end():
        lifecycle.leave(code)
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    if args[:1] == ["completion-values"]:  # within 300 ms: Typer loads Pydantic to parse, which takes a third of it
        from craft_events_cli.completion_values import completion_values

        completion_values(args[1:])
    options = args[: args.index("--")] if "--" in args else args
    with terminal.streams(options):
        return guarded(lambda: app(list(args), prog_name=PROGRAM, standalone_mode=False), debug=terminal.is_debug())


def _decoded(argument: str) -> str:
    """Decode an argument as UTF-8 where the locale could not: a surrogate stands for each of its bytes then."""
    try:
        return os.fsencode(argument).decode() if not argument.isprintable() else argument
    except UnicodeError:
        return argument


def _handle_endings() -> None:
    """Make SIGTERM and SIGHUP end the run as an exception does; a command with work in flight sets its own handlers."""

    def terminate(number: int, _frame: FrameType | None) -> None:
        raise Terminated(number)

    try:
        for number in lifecycle.endings():
            signal.signal(number, terminate)
    except ValueError:
        return  # not the main thread: an application or a test runs this, and signals are its own


if __name__ == "__main__":
    main()
