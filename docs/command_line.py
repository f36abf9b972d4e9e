"""The help pages of `craft-events`, as a terminal of 100 columns shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from craft_events_cli import completion


def commands() -> list[str]:
    """Return the commands that the help lists, those of groups as `dead list`."""
    return [command.words for command in completion.commands()]


@cache
def pages() -> dict[str, str]:
    """Return each command's help page; the page of the program has the empty text as its key."""
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
