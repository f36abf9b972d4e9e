"""Completions for bash, zsh and fish, generated from the Typer application.

The scripts contain commands, flags and choices, and start no Python for them. The values of `--tenant`, `--type`,
`--handler` and `--env` come from the hidden command `completion-values`. Command and scripts drop every value that is
not `[A-Za-z0-9._:@/+-]+`, so that no tenant's name can run code at TAB.

`python -m craft_events_cli.completion` writes the files in `completions/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from craft_events_cli.app import COMMANDS, StandIn, app

Parameter = TyperOption | TyperArgument


class Kind(StrEnum):
    """The kinds of value that an option or argument takes."""

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
    "--exclude-handler": Kind.HANDLERS,
    "--exclude-type": Kind.TYPES,
    "--handler": Kind.HANDLERS,
    "ID": Kind.HANDLERS,
    "TYPE": Kind.TYPES,
    "--env": Kind.ENVIRONMENTS,
}
PATHS: Final = {
    "FILE": Kind.FILES,
    "FILE|-": Kind.FILES,
    "CHECKPOINT": Kind.FILES,
    "BASELINE": Kind.FILES,
    "DIR": Kind.DIRECTORIES,
}


@dataclass(frozen=True, slots=True)
class Command:
    """The parts of a command that the scripts need."""

    words: str
    help: str
    options: tuple[TyperOption, ...]
    arguments: tuple[TyperArgument, ...]

    @property
    def flags(self) -> list[str]:
        """Every spelling of every option, in the order of the help page."""
        return [flag for one in self.options for flag in flags_of(one)] + ["--help"]

    @property
    def valued(self) -> list[TyperOption]:
        """The options that take a value."""
        return [one for one in self.options if not one.is_flag]


def flags_of(option: Parameter) -> list[str]:
    """Return every spelling of an option, short ones first; an argument has none."""
    return [] if isinstance(option, TyperArgument) else [*sorted(option.opts, key=len), *option.secondary_opts]


def choices_of(parameter: Parameter) -> list[str]:
    """Return the choices of an option or argument, or nothing if its values are free."""
    return [str(one.value) for one in parameter.type_descriptor.choices or ()]


def label_of(parameter: Parameter) -> str:
    """Return the long flag of an option, or the name of an argument."""
    return next((flag for flag in flags_of(parameter) if flag.startswith("--")), metavar_of(parameter))


def metavar_of(parameter: Parameter) -> str:
    """Return the placeholder for the value."""
    return parameter.metavar or "|".join(choices_of(parameter)) or str(parameter.name).upper()


def is_repeatable(parameter: Parameter) -> bool:
    """Return whether the option takes more than one value."""
    return parameter.multiple or parameter.nargs == -1


def by_offer(parameters: Sequence[TyperOption], offer: Callable[[Parameter], str]) -> dict[str, list[str]]:
    """Return the flags of options, grouped by the completion of their values, one branch of a script each."""
    found: dict[str, list[str]] = {}
    for one in parameters:
        found.setdefault(offer(one), []).extend(flags_of(one))
    return found


def kind_of(parameter: Parameter) -> Kind:
    """Return what is offered for the value of an option or argument."""
    if choices_of(parameter):
        return Kind.CHOICES
    return DYNAMIC.get(label_of(parameter)) or PATHS.get(metavar_of(parameter), Kind.NOTHING)


def commands() -> list[Command]:
    """Return every command that has a help page."""
    found: list[Command] = []
    for name, loaded in _loaded().items():
        members = loaded.commands if isinstance(loaded, TyperGroup) else {"": loaded}
        for member, command in members.items():
            assert isinstance(command, TyperCommand)
            found.append(_command(f"{name} {member}".strip(), command))
    return found


def _loaded() -> dict[str, TyperCommand | TyperGroup]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return {name: one.load() for name, one in root.commands.items() if isinstance(one, StandIn)}


def _command(words: str, command: TyperCommand) -> Command:
    shown = [one for one in command.params if isinstance(one, (TyperOption, TyperArgument)) and not one.hidden]
    options = tuple(one for one in shown if isinstance(one, TyperOption))
    arguments = tuple(one for one in shown if isinstance(one, TyperArgument))
    return Command(words, summary_of(command), options, arguments)


def summary_of(command: TyperCommand | TyperGroup) -> str:
    """Return the first paragraph of a command's help page."""
    return (command.help or "").split("\n\n")[0].replace("\n", " ")


def first_words() -> dict[str, str]:
    """Return the first words, commands and groups, each with its description."""
    return {name: entry.help for name, entry in COMMANDS.items()}


def groups() -> dict[str, dict[str, str]]:
    """Return the commands of a group, each with its description."""
    return {
        name: {
            member: summary_of(command)
            for member, command in loaded.commands.items()
            if isinstance(command, TyperCommand)
        }
        for name, loaded in _loaded().items()
        if isinstance(loaded, TyperGroup)
    }


def files() -> dict[str, Callable[[], str]]:
    """Return the function that writes the file of each shell, by the name of the file."""
    from craft_events_cli.completion import bash, fish, zsh

    return {"craft-events.bash": bash.script, "_craft-events": zsh.script, "craft-events.fish": fish.script}


def script(shell: str) -> str:
    """Return the script for `bash`, `zsh` or `fish`."""
    name = {"zsh": "_craft-events"}.get(shell, f"craft-events.{shell}")
    return files()[name]()
