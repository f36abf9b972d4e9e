"""Completions for bash, zsh and fish, generated from the commands' own signatures.

The scripts know commands, flags and choices by heart and start no Python for them. The values of `--tenant`, `--type`,
`--handler` and `--env` come from the hidden command `completion-values`; here and there every value that is not
`[A-Za-z0-9._:@/+-]+` is dropped, so that no tenant's name can run code at TAB.

`python -m craft_events_cli.completion` writes the files in `completions/` anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from craft_events_cli.app import COMMANDS, GROUPS, load
from craft_events_cli.parsing import Parameter, signature_of


class Kind(StrEnum):
    """What may stand for a value."""

    NOTHING = "nothing"
    CHOICES = "choices"
    FILES = "files"
    DIRECTORIES = "directories"
    TENANTS = "tenant"
    TYPES = "type"
    HANDLERS = "handler"
    ENVIRONMENTS = "env"


DYNAMIC: Final = {
    "--tenant": Kind.TENANTS,
    "--type": Kind.TYPES,
    "--exclude-type": Kind.TYPES,
    "--handler": Kind.HANDLERS,
    "ID": Kind.HANDLERS,
    "--env": Kind.ENVIRONMENTS,
}
HELP: Final = "show the page of a command, or about a topic"
PATHS: Final = {"FILE": Kind.FILES, "FILE|-": Kind.FILES, "CHECKPOINT": Kind.FILES, "DIR": Kind.DIRECTORIES}


@dataclass(frozen=True, slots=True)
class Command:
    """What the scripts need of a command."""

    words: str
    help: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]

    @property
    def flags(self) -> list[str]:
        """Every spelling of every option, in the order of the help page."""
        return [flag for one in self.options for flag in one.flags] + ["--help"]

    @property
    def valued(self) -> list[Parameter]:
        """The options that take a value."""
        return [one for one in self.options if not one.is_flag]


def by_offer(parameters: Sequence[Parameter], offer: Callable[[Parameter], str]) -> dict[str, list[str]]:
    """Return the flags of options by what is offered for their values, so that a script says each thing once."""
    found: dict[str, list[str]] = {}
    for one in parameters:
        found.setdefault(offer(one), []).extend(one.flags)
    return found


def kind_of(parameter: Parameter) -> Kind:
    """Tell what may stand for an option's or argument's value."""
    if parameter.choices:
        return Kind.CHOICES
    return DYNAMIC.get(parameter.label) or PATHS.get(parameter.metavar, Kind.NOTHING)


def commands() -> list[Command]:
    """Return every command that is on a help page."""
    return [_command(words) for words, entry in COMMANDS.items() if not entry.is_hidden]


def _command(words: str) -> Command:
    shown = [one for one in signature_of(load(words)).parameters if not one.info.hidden]
    options = tuple(one for one in shown if one.is_option)
    return Command(words, COMMANDS[words].help, options, tuple(one for one in shown if not one.is_option))


def first_words() -> dict[str, str]:
    """Return what may come first, a command or a group, and what it does."""
    return {**_commands_and_groups(), "help": HELP}


def _commands_and_groups() -> dict[str, str]:
    return {
        words.split()[0]: GROUPS.get(words.split()[0], entry.help)
        for words, entry in COMMANDS.items()
        if not entry.is_hidden
    }


def groups() -> dict[str, dict[str, str]]:
    """Return what may follow a group or `help`, and what it does; a group may be a command by itself."""
    members = {
        group: {
            words.removeprefix(f"{group} "): entry.help
            for words, entry in COMMANDS.items()
            if words.startswith(f"{group} ")
        }
        for group in GROUPS
    }
    return {**members, "help": _commands_and_groups()}


def files() -> dict[str, Callable[[], str]]:
    """Return what writes each shell's file, by the file's name."""
    from craft_events_cli.completion import bash, fish, zsh

    return {"craft-events.bash": bash.script, "_craft-events": zsh.script, "craft-events.fish": fish.script}


def script(shell: str) -> str:
    """Return the script for `bash`, `zsh` or `fish`."""
    name = {"zsh": "_craft-events"}.get(shell, f"craft-events.{shell}")
    return files()[name]()
