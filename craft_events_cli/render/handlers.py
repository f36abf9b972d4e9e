"""The table of handlers, grouped by pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from craft_events_cli import terminal
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.registry import Subscription

_NARROW: Final = 80
_MARGIN: Final = "  "


def write_table(subscriptions: Sequence[Subscription]) -> None:
    """Write one line for each subscription, patterns in the order of their first handler; ids are never cut."""
    console = terminal.console()
    table = _table(is_narrow=console.width < _NARROW)
    first: dict[str, int] = {}
    for one in subscriptions:
        first.setdefault(one.pattern, one.order)
    ordered = sorted(subscriptions, key=lambda one: (first[one.pattern], one.order))
    for pattern, members in groupby(ordered, key=lambda one: one.pattern):
        for number, one in enumerate(members):
            table.add_row(*_cells(pattern if number == 0 else "", one)[: len(table.columns)])
    with console.capture() as capture:
        console.print(table, width=console.width - len(_MARGIN))
    terminal.stdout().writelines(f"{_MARGIN}{line.rstrip()}\n" for line in capture.get().splitlines())


def _table(*, is_narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Pattern", style="cyan", overflow="fold")
    table.add_column("#", justify="right")
    table.add_column("Handler", overflow="fold")
    table.add_column("Mode", no_wrap=True)
    if not is_narrow:
        table.add_column("Retry", no_wrap=True, style="dim")
        table.add_column("Where", overflow="fold", style="dim")
    return table


def _cells(pattern: str, one: Subscription) -> list[Text]:
    handler = one.handler
    return [
        Text(safe(pattern)),
        Text(str(one.order)),
        Text(safe(handler.id)),
        Text("background" if handler.background else "foreground"),
        Text("default" if handler.retry is None else safe(str(handler.retry))),
        Text(safe(f"{_short(handler.file)}:{handler.line}")),
    ]


def _short(file: str) -> str:
    relative = os.path.relpath(file) if file else file
    return file if relative.startswith("..") else relative
