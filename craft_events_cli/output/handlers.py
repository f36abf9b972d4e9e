"""The table of handlers, grouped by pattern."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from craft_easy.core.events.model.retry import RetryPolicy
from craft_events_cli import terminal
from craft_events_cli.output.cells import folded
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Subscription

_MARGIN: Final = "  "
_GAP: Final = 3
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "Pattern": {"overflow": "fold"},
    "#": {"justify": "right"},
    "Handler": {"overflow": "fold"},
    "Mode": {},
    "Retry": {"style": "dim"},
    "Where": {"style": "dim", "overflow": "fold"},
}
_LEAST_IMPORTANT_FIRST: Final = ("Where", "Retry", "Mode", "#")


def write_table(subscriptions: Sequence[Subscription]) -> None:
    """Write a line for each subscription; patterns are in the order of their first handler.

    Where the columns do not fit, the least important are left out; an id is never cut.
    """
    console = terminal.console()
    room = console.width - len(_MARGIN)
    rows = _rows(subscriptions)
    columns = _that_fit(rows, room)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, _GAP, 0, 0))
    for name in columns:
        table.add_column(name, **_COLUMNS[name])
    table.columns[0].style = terminal.rich_cyan()
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


def write_handler(row: Mapping[str, Any]) -> None:
    """Write one handler: its id, the first line of its docstring, and its options.

    Args:
        row: the handler as in the other formats.
    """
    stream = terminal.stdout()
    room = terminal.width(stream) - len(_MARGIN)
    where = f"{_short(row['file'])}:{row['line']}"
    lines = [terminal.paint(safe(row["id"]), "1", stream), *(folded(safe(row["doc"]), room) if row["doc"] else [])]
    facts = {"where": where, **_facts(row)}
    indent = max(map(len, facts)) + _GAP
    for name, value in facts.items():
        first, *others = folded(safe(value), max(room - indent, 20))
        lines.append(terminal.paint(name.ljust(indent), "2", stream) + first)
        lines += [" " * indent + line for line in others]
    stream.writelines(f"{_MARGIN}{line}\n" for line in lines)


def _facts(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the options and counts of a handler, in words."""
    patterns = ", ".join(f"{one['pattern']} ({_place(one['order'])})" for one in row["patterns"])
    how = (
        "awaited" if row["async"] else "in a thread" if row["mode"] == "background" else "inline, blocks the event loop"
    )
    facts = {
        "reacts to": patterns,
        "mode": f"{row['mode']}, {how}",
        "retry": _retry(row["retry"]),
        "timeout": "15 min, or --timeout (default)" if row["timeout"] is None else f"{row['timeout']:g} s",
        "replay": "allowed" if row["replayable"] else "never",
    }
    if row["aliases"]:
        facts["aliases"] = ", ".join(row["aliases"])
    if row["open"] is not None:
        facts["in the log"] = f"{row['open']:,} pending, {row['dead']:,} dead"
    if row["paused"]:
        facts["paused"] = _paused(row["paused"])
    return facts


def _paused(pause: Mapping[str, Any]) -> str:
    parts = [f"since {pause['paused_at']}"] if pause["paused_at"] else []
    parts += [f"by {pause['by']}"] if pause["by"] else []
    parts += [f"until {pause['until'] or 'it is resumed'}"]
    return " ".join(parts) + (f": {pause['reason']}" if pause["reason"] else "")


def _place(order: int) -> str:
    return f"position {order}"


def _retry(policy: Mapping[str, Any] | None) -> str:
    if policy is None:
        return "20 attempts within about 2 days 11 hours (default)"
    return str(RetryPolicy(**policy))
