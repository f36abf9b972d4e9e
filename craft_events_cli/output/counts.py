"""Numbers and what they count, and what a dry run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING
from craft_events_cli.output.rows import csv_line, json_line
from craft_events_cli.output.table import CYAN, MARGIN, Column, Table
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.figures import Counts

MAX_ROWS: Final = 20
"""The maximum number of rows of a table that a dry run shows to people."""
MOST_MISSING: Final = 5
"""The maximum number of events that are named as missing."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number, grouped, and what it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shorten(text: str, width: int = 100) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= width else text[: width - 1] + "…"


def missing_lines(missing: Sequence[str]) -> Iterable[str]:
    """Name the events that were asked for and are not in the log."""
    if missing:
        more = f" and {len(missing) - MOST_MISSING:,} more" if len(missing) > MOST_MISSING else ""
        yield f"not in the log: {', '.join(shorten(one) for one in missing[:MOST_MISSING])}{more}"


def write_counts(counts: Counts, output: Output) -> None:
    """Write what a run would do: three small tables, or one object."""
    if output is Output.TABLE:
        _write_tables(counts)
        terminal.flush()
        return
    row: dict[str, Any] = {"dry_run": True, "events": counts.events, "deliveries": counts.deliveries}
    for name in ("by_type", "by_tenant", "by_handler"):
        row[name] = {_shown(key): number for key, number in getattr(counts, name).most_common()}
    if output is Output.CSV:
        terminal.stdout().write(csv_line(tuple(row)) + csv_line(list(row.values())))
    else:
        terminal.stdout().write(json_line(row))
    terminal.flush()


def _write_tables(counts: Counts) -> None:
    from craft_events_cli.output.event_line import hue_of_cell  # here, since no help page needs it and the driver

    _write_table(Column("By type", least=12, style=CYAN), "Events", counts.by_type)
    _write_table(Column("By tenant", least=12, style=hue_of_cell), "Events", counts.by_tenant)
    _write_table(Column("By handler", least=12), "Deliveries", counts.by_handler)


def _write_table(column: Column, amount: str, numbers: Counter[Any]) -> None:
    shown = [
        {column.name: NOTHING if key is None else key, amount: f"{number:,}"}
        for key, number in numbers.most_common(MAX_ROWS)
    ]
    if not shown:
        return
    Table([column, Column(amount, is_right=True)]).write(shown)
    if more := len(numbers) - len(shown):
        terminal.stdout().write(f"{MARGIN}… and {more:,} more: -o json\n")
    terminal.stdout().write("\n")


def _shown(key: str | None) -> str:
    return "null" if key is None else key
