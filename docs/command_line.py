"""The help pages of `craft-events`, as a terminal of 100 columns shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.util import find_spec


def commands() -> list[str]:
    """Return the commands that the help lists, those of groups as `dead list`."""
    if find_spec("craft_events_cli.app") is None:
        table = import_module("craft_events_cli.main").COMMANDS
        return [words for words, command in table.items() if not command.is_hidden]
    import typer

    names: list[str] = []
    root = typer.main.get_command(import_module("craft_events_cli.app").app)
    for name, stand_in in root.commands.items():  # type: ignore[attr-defined]
        group = getattr(stand_in.load(), "commands", None)
        names += [f"{name} {one}" for one, command in group.items() if not command.hidden] if group else [name]
    return names


@cache
def pages() -> dict[str, str]:
    """Return each command's help page; the program's own is under the empty text."""
    every = ["", *commands()]
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(every, pool.map(_page, every), strict=True))


def _page(words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRAFT_EVENTS_")}
    return subprocess.run(
        [sys.executable, "-m", "craft_events_cli", *words.split(), "--help"],
        env={**environment, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
