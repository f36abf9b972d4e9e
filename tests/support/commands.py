"""Every command of the application with its options, read from Typer."""

from __future__ import annotations

import re
from inspect import cleandoc

from typer.core import TyperGroup

from craft_events_cli import app
from craft_events_cli.completion import Parameter, commands

COMMANDS = {one.words: one for one in commands()}
"""Every command by its words."""
GROUPS = [name for name in app.COMMANDS if name not in COMMANDS]
PAGES = ["", *GROUPS, *COMMANDS]
"""Every page by the words of its command."""


def parameters_of(words: str) -> list[Parameter]:
    """Return the options and arguments of a command."""
    return [*COMMANDS[words].options, *COMMANDS[words].arguments]


def help_of(words: str) -> str:
    """Return the text of a page as in the source, without markup."""
    first, _, second = words.partition(" ")
    if not first:
        return cleandoc(app.root.__doc__ or "")
    found = app.StandIn(first, app.COMMANDS[first]).load()
    if second:
        assert isinstance(found, TyperGroup)
        return _plain(found.commands[second].help)
    return _plain(found.help)


def _plain(text: str | None) -> str:
    return re.sub(r"\[not dim\]|\[/\]|\\(?=\[)", "", text or "")


def examples_of(words: str) -> list[str]:
    """Return the examples of a page, each on one line."""
    _, _, block = help_of(words).partition("Examples:\n")
    lines = re.sub(r" \\+\n +", " ", block.split("\n\n")[0]).splitlines()
    return [line.strip() for line in lines]
