"""The entry point: a table of commands, of which one is loaded when it is named.

The root's own pages (`--version`, `--help`) come from this table alone and import neither Typer nor the library.
A command is a plain function: its signature declares its options, its docstring is its help page (see `parsing`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, NamedTuple

from craft_events_cli import __version__, terminal
from craft_events_cli.errors import ExitCode, Terminated, UsageError, guarded

PROGRAM: Final = "craft-events"


class Entry(NamedTuple):  # a dataclass would cost --version 7 ms of imports
    """Where a command is, and what it does in one line; a hidden one is on no page."""

    target: str
    help: str
    is_hidden: bool = False


COMMANDS: Final[dict[str, Entry]] = {
    "replay": Entry("craft_events_cli.commands.replay:replay", "print or re-run history"),
    "tail": Entry("craft_events_cli.commands.tail:tail", "follow the log live"),
    "redispatch": Entry("craft_events_cli.commands.redispatch:redispatch", "deliver what was never finished"),
    "show": Entry("craft_events_cli.commands.show:show", "one event, its deliveries, attempts and errors"),
    "trace": Entry("craft_events_cli.commands.trace:trace", "an event, what caused it, what it caused"),
    "stats": Entry("craft_events_cli.commands.stats:stats", "backlog, rates, failures, over time"),
    "dead list": Entry("craft_events_cli.commands.dead:list_dead", "show what used up its attempts"),
    "dead retry": Entry("craft_events_cli.commands.dead:retry", "give it a fresh budget of attempts"),
    "dead discard": Entry("craft_events_cli.commands.dead:discard", "give it up, with a reason"),
    "workers": Entry("craft_events_cli.commands.workers:workers", "who owns what, and who is silent"),
    "export": Entry("craft_events_cli.commands.export:export", "write events as NDJSON"),
    "publish": Entry("craft_events_cli.commands.publish:publish", "publish one event, or lines of them"),
    "import": Entry("craft_events_cli.commands.import_events:import_events", "take events in from NDJSON"),
    "prune": Entry("craft_events_cli.commands.prune:prune", "archive and remove what is done, or redact it"),
    "prune redact": Entry("craft_events_cli.commands.prune:redact", "remove payloads on request, keep the events"),
    "handlers list": Entry("craft_events_cli.commands.handlers:list_handlers", "show which handlers there are"),
    "handlers show": Entry("craft_events_cli.commands.handlers:show", "one handler: what it reacts to, and how"),
    "handlers check": Entry("craft_events_cli.commands.handlers:check", "do the handlers fit the log?"),
    "doctor": Entry("craft_events_cli.commands.doctor:doctor", "is all well, and what is to be done?"),
    "config show": Entry("craft_events_cli.commands.config:show", "show every setting, and where it came from"),
    "serve": Entry("craft_events_cli.commands.serve:serve", "run the embedded event log"),
    "demo": Entry("craft_events_cli.commands.demo:demo", "watch a two-minute story on an embedded log"),
    "completion": Entry("craft_events_cli.commands.completion:completion", "print the completions of a shell"),
    "completion-values": Entry(
        "craft_events_cli.commands.completion_values:completion_values", "values for completion", is_hidden=True
    ),
}
"""Every command by its words; a group is what several commands begin with."""

GROUPS: Final = {
    "dead": "deliveries that used up their attempts",
    "prune": "archive and remove what is done, or redact it",
    "handlers": "the handlers that a module registers",
    "config": "every setting, and where it came from",
}

SECTIONS: Final = {
    "What happened": ("replay", "tail", "show", "trace", "export"),
    "What is wrong": ("stats", "dead", "workers", "handlers", "doctor"),
    "What to do": ("redispatch", "publish", "import", "prune"),
    "Setting up": ("serve", "demo", "config", "completion", "help"),
}
"""How the root's page orders its commands; what is in none of them comes last."""

GROUP_EXAMPLES: Final = {
    "dead": (
        f"{PROGRAM} dead list --by error",
        f"{PROGRAM} dead retry --handler shop.billing:charge",
        f'{PROGRAM} dead discard --tenant trial --reason "tenant has left"',
    ),
    "handlers": (
        f"{PROGRAM} handlers list --handlers shop.handlers",
        f"{PROGRAM} handlers check --handlers shop.handlers",
    ),
    "config": (f"{PROGRAM} config show", f"{PROGRAM} config show --env prod"),
}
"""What the page of a group begins with; a group that is a command too has that command's page."""

EXAMPLES: Final = (
    f"{PROGRAM} stats",
    f"{PROGRAM} replay --tenant acme --since 2d",
    f"{PROGRAM} redispatch --since 2h --handlers shop.handlers",
    f"{PROGRAM} demo",
)


def main() -> None:
    """Run the console script."""
    _hear_sigterm()
    sys.exit(run([_decoded(argument) for argument in sys.argv[1:]]))


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    options = args[: args.index("--")] if "--" in args else args
    with terminal.streams(options):
        return guarded(lambda: dispatch(args), debug=terminal.is_debug())


def _decoded(argument: str) -> str:
    """Read as UTF-8 what a locale without it could not: a surrogate stands for each byte then."""
    try:
        return os.fsencode(argument).decode() if not argument.isprintable() else argument
    except UnicodeError:
        return argument


def dispatch(args: Sequence[str]) -> int | None:
    """Find the command that the words name, load it, and run it."""
    first = args[0] if args else "--help"
    if first == "--version":
        terminal.stdout().write(f"{PROGRAM} {__version__}\n")
        return ExitCode.DONE
    if first in ("--help", "-h"):
        return _show_page("")
    if first == "help":
        return _help(args[1:])
    if first.startswith("-"):
        raise UsageError(_misplaced(first), hint=f"see {PROGRAM} --help")
    if first in GROUPS:
        return _dispatch_group(first, args[1:])
    if first not in COMMANDS:
        raise UsageError(_unknown(first, _all_names()), hint=f"see {PROGRAM} --help")
    return _call(first, args[1:])


def _help(args: Sequence[str]) -> int | None:
    """Show the page of a command."""
    words = [word for word in args if word not in ("--help", "-h")]
    if words[:1] == ["help"] or not words:
        return _show_page("")
    if words[0] not in {*_names(), *GROUPS}:
        raise UsageError(_unknown(words[0], _all_names()), hint=f"see {PROGRAM} --help")
    return dispatch([*words, "--help"])


def _dispatch_group(group: str, args: Sequence[str]) -> int | None:
    if group in COMMANDS and (not args or args[0].startswith("-")):
        return _call(group, args)  # a word that is a command by itself too
    if args and args[0] in ("--help", "-h"):
        return _show_page(group)
    names = _names(group)
    if not args or args[0].startswith("-"):
        raise UsageError(f"{group} needs one of: {', '.join(names)}", hint=f"see {PROGRAM} {group} --help")
    if args[0] not in names:
        raise UsageError(_unknown(f"{group} {args[0]}", [f"{group} {name}" for name in names]))
    return _call(f"{group} {args[0]}", args[1:])


def load(words: str) -> Callable[..., int | None]:
    """Import the function of one command."""
    from importlib import import_module

    module, _, name = COMMANDS[words].target.partition(":")
    function: Callable[..., int | None] = getattr(import_module(module), name)
    return function


def _call(words: str, args: Sequence[str]) -> int | None:
    function = load(words)
    if getattr(function, "takes_bare_arguments", False):
        return function(list(args))
    from craft_events_cli import parsing

    return parsing.call(function, f"{PROGRAM} {words}", list(args))


def _names(group: str = "") -> list[str]:
    """Return the words that may come next, in the order of the table."""
    prefix = f"{group} " if group else ""
    found = (
        words.removeprefix(prefix)
        for words, entry in COMMANDS.items()
        if not entry.is_hidden and words.startswith(prefix)
    )
    return list(dict.fromkeys(words.split()[0] for words in found))


def _all_names() -> list[str]:
    """Return what may come first, and the full words of what only comes second."""
    return list(dict.fromkeys([*_names(), *(words for words, entry in COMMANDS.items() if not entry.is_hidden)]))


def _show_page(group: str) -> ExitCode:
    """Print the page of the root or of a group: examples first, then its commands."""
    prefix = f"{group} " if group else ""
    summary = GROUPS[group] if group else "the operators' command line of the event log"
    examples = GROUP_EXAMPLES[group] if group else EXAMPLES
    lines = [f"{PROGRAM} {prefix}".rstrip() + f": {summary}", ""]
    lines += [f"  {example}" for example in examples]
    for title, names in _sections(group).items():
        lines += ["", terminal.heading(title)]
        lines += [line for name in names for line in _row(name, _help_of(prefix + name))]
    if not group:
        lines += ["", terminal.heading("Options")]
        lines += ["  --version     print the version", "  --help        print this page"]
    lines += ["", f"{PROGRAM} {prefix}COMMAND --help shows a command's options; they come after its name."]
    terminal.stdout().write("\n".join(lines) + "\n")
    return ExitCode.DONE


def _sections(group: str) -> dict[str, list[str]]:
    """Return the names on a page under their headings."""
    if group:
        return {"Commands": _names(group)}
    names = [*_names(), "help"]
    placed = {title: [name for name in members if name in names] for title, members in SECTIONS.items()}
    rest = [name for name in names if not any(name in members for members in placed.values())]
    return placed | ({"More": rest} if rest else {})


def _row(name: str, text: str) -> list[str]:
    """Return a name and what it does; on a narrow terminal the text goes on below itself."""
    start, room = f"  {name:<12}  ", terminal.width() - 16
    if len(text) <= room:
        return [start + text]
    from textwrap import wrap

    first, *rest = wrap(text, room)
    return [start + first, *(" " * 16 + line for line in rest)]


def _help_of(words: str) -> str:
    if words == "help":
        return "the page of a command: help COMMAND"
    return COMMANDS[words].help if words in COMMANDS else f"{GROUPS[words]}: {', '.join(_names(words))}"


def _misplaced(option: str) -> str:
    name = option.partition("=")[0]
    return f"options come after the command, as in: {PROGRAM} replay {name}" if name != "-" else "no such command: -"


def _unknown(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    inside = [words for words in known if words.endswith(f" {name}")]
    close = get_close_matches(name[:200], known, n=1) or inside[:1]
    return f"no such command: {name}" + (f". Did you mean {close[0]}?" if close else "")


def _hear_sigterm() -> None:
    """Make SIGTERM end the run as an exception does; a command with work in flight sets a handler of its own."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    try:
        signal.signal(signal.SIGTERM, terminate)
    except ValueError:
        return  # not the main thread: an application or a test runs this, and signals are its own


if __name__ == "__main__":
    main()
