"""Numbers and what they count, and what a dry run found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output.rows import csv_line, json_line
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.figures import Counts

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
    from rich.table import Table
    from rich.text import Text

    console = terminal.console()
    for title, numbers in (("type", counts.by_type), ("tenant", counts.by_tenant), ("handler", counts.by_handler)):
        table = Table(box=None, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
        table.add_column(f"By {title}", overflow="fold")
        table.add_column("Deliveries" if title == "handler" else "Events", justify="right")
        for key, number in numbers.most_common():
            table.add_row(Text(terminal.safe("–" if key is None else key)), f"{number:,}")
        console.print(table)
        console.print()


def _shown(key: str | None) -> str:
    return "null" if key is None else key
