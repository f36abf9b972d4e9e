"""The table of handlers, grouped by pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from craft_events_cli import terminal
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.registry import Subscription

_MARGIN: Final = "  "
_GAP: Final = 3
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "Pattern": {"style": "cyan", "overflow": "fold"},
    "#": {"justify": "right"},
    "Handler": {"overflow": "fold"},
    "Mode": {},
    "Retry": {"style": "dim"},
    "Where": {"style": "dim", "overflow": "fold"},
}
_LEAST_IMPORTANT_FIRST: Final = ("Where", "Retry", "Mode", "#")


def write_table(subscriptions: Sequence[Subscription]) -> None:
    """Write a line for each subscription, patterns in the order of their first handler.

    Where they do not fit, columns go by importance; an id is never cut.
    """
    console = terminal.console()
    room = console.width - len(_MARGIN)
    rows = _rows(subscriptions)
    columns = _that_fit(rows, room)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, _GAP, 0, 0))
    for name in columns:
        table.add_column(name, **_COLUMNS[name])
    for row in rows:
        table.add_row(*(Text(row[name]) for name in columns))
    with console.capture() as capture:
        console.print(table, width=room)
    terminal.stdout().writelines(f"{_MARGIN}{line.rstrip()}\n" for line in capture.get().splitlines())


def _rows(subscriptions: Sequence[Subscription]) -> list[dict[str, str]]:
    first: dict[str, int] = {}
    for one in subscriptions:
        first.setdefault(one.pattern, one.order)
    ordered = sorted(subscriptions, key=lambda one: (first[one.pattern], one.order))
    groups = [list(members) for _, members in groupby(ordered, key=lambda one: one.pattern)]
    return [_row(one, is_first=one is group[0]) for group in groups for one in group]


def _row(one: Subscription, *, is_first: bool) -> dict[str, str]:
    handler = one.handler
    return {
        "Pattern": safe(one.pattern) if is_first else "",
        "#": str(one.order),
        "Handler": safe(handler.id),
        "Mode": "background" if handler.background else "foreground",
        "Retry": "default" if handler.retry is None else safe(str(handler.retry)),
        "Where": safe(f"{_short(handler.file)}:{handler.line}"),
    }


def _that_fit(rows: Sequence[dict[str, str]], room: int) -> list[str]:
    widths = {name: max(cell_len(text) for text in (name, *(row[name] for row in rows))) for name in _COLUMNS}
    for name in _LEAST_IMPORTANT_FIRST:
        if sum(widths.values()) + _GAP * (len(widths) - 1) <= room:
            break
        del widths[name]
    return list(widths)


def _short(file: str) -> str:
    relative = os.path.relpath(file) if file else file
    return file if relative.startswith("..") else relative
