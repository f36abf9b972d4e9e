"""Dead deliveries: a line each, in groups, and what a command did to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.store.formats.event_json import text_of
from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING
from craft_events_cli.output.event_line import hue_of, hues
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.redispatch import COLUMNS as OUTCOME_COLUMNS
from craft_events_cli.output.redispatch import counted
from craft_events_cli.output.rows import RowWriter, json_line, write_rows
from craft_events_cli.output.spans import minutes
from craft_events_cli.output.table import CYAN, DIM, RED, Column, Table
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.dead import Touched
    from craft_easy.core.events.operations.dead_delivery import DeadDelivery, Deaths

COLUMNS: Final = (
    "event_id",
    "event_type",
    "timestamp",
    "tenant_id",
    "handler",
    "attempts",
    "crashes",
    "finished_at",
    "error_type",
    "error_message",
    "reason",
)
GROUP_COLUMNS: Final = ("group", "deaths", "oldest", "newest", "event_id", "handler", "error")
FIRST_PAGE: Final = 200
"""So many rows are held back to find how wide the columns of a table are."""
MOST_NAMED: Final = 10


class DeadWriter:
    """Writes dead deliveries to stdout as they come, and remembers what the last lines say of them."""

    def __init__(self, output: Output) -> None:
        self._rows = None if output is Output.TABLE else RowWriter(COLUMNS, output)
        self._table = Table(_columns())
        self._held: list[DeadDelivery] = []
        self.deliveries = 0
        self.events = 0
        self.last_event_id: str | None = None

    def begin(self) -> None:
        """Write what stands before the first one."""
        if self._rows is not None:
            self._rows.begin()

    def write(self, one: DeadDelivery) -> None:
        """Write one delivery."""
        self.deliveries += 1
        self.events += one.event_id != self.last_event_id
        self.last_event_id = one.event_id
        if self._rows is not None:
            self._rows.write(_row(one))
            return
        self._held.append(one)
        if len(self._held) == FIRST_PAGE:
            self._write_held()

    def close(self) -> None:
        """Write what is left."""
        if self._rows is not None:
            self._rows.close()
        self._write_held()
        terminal.flush()

    def _write_held(self) -> None:
        times = minutes(one.finished_at for one in self._held)
        self._table.write([_cells(one, died) for one, died in zip(self._held, times, strict=True)])
        self._held.clear()


def _columns() -> list[Column]:
    choice = hues()
    return [
        Column("Event"),
        Column("Died", rank=3, style=DIM),
        Column("Type", rank=5, least=8, good=24, style=CYAN),
        Column("Tenant", rank=4, least=6, good=16, style=lambda text: hue_of("" if text == NOTHING else text, choice)),
        Column("Handler", rank=2, least=20, good=36),
        Column("Attempts", rank=6, is_right=True),
        Column("Error", rank=1, least=16, good=24, style=RED),
    ]


def _cells(one: DeadDelivery, died: str) -> dict[str, str]:
    return {
        "Event": one.event_id,
        "Died": died,
        "Type": one.event_type,
        "Tenant": one.tenant_id or NOTHING,
        "Handler": one.handler,
        "Attempts": f"{one.attempts:,}",
        "Error": (one.error or "unknown")[:200],
    }


def _row(one: DeadDelivery) -> dict[str, Any]:
    row = {column: getattr(one, column) for column in COLUMNS}
    return row | {name: _time(row[name]) for name in ("timestamp", "finished_at")}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)


def write_groups(groups: Sequence[Deaths], by: str, output: Output) -> None:
    """Write groups of dead deliveries, the largest first."""
    if output is not Output.TABLE:
        write_rows(map(_group_row, groups), GROUP_COLUMNS, output)
        return
    oldest, newest = minutes(one.oldest for one in groups), minutes(one.newest for one in groups)
    columns = _group_columns(by)
    rows = []
    for one, first, last in zip(groups, oldest, newest, strict=True):
        in_common = [one.handler, one.error] if by == "error" else [NOTHING if one.group is None else one.group]
        of_newest = [] if by == "error" else [one.error] if by == "handler" else [one.handler, one.error]
        cells = [f"{one.deaths:,}", *in_common, first, last, *of_newest, one.event_id]
        rows.append({column.name: cell for column, cell in zip(columns, cells, strict=True)})
    Table(columns).write(rows)


def _group_columns(by: str) -> list[Column]:
    """Return the columns: what the deliveries of a group have in common, then what is of the newest alone."""
    choice = hues()
    handler, error = Column("Handler", least=12), Column("Error", least=12, style=RED)
    tenant = Column("Tenant", least=12, style=lambda text: hue_of("" if text == NOTHING else text, choice))
    kinds = {
        "error": ([handler, error], []),
        "handler": ([handler], ["error"]),
        "type": ([Column("Type", least=12, style=CYAN)], ["handler", "error"]),
        "tenant": ([tenant], ["handler", "error"]),
    }
    in_common, of_newest = kinds[by]
    return [
        Column("Deaths", is_right=True),
        *in_common,
        Column("Oldest", rank=5, style=DIM),
        Column("Newest", rank=4, style=DIM),
        *(Column(f"Last {name}", rank=3, least=12, good=24, style=RED * (name == "error")) for name in of_newest),
        Column("Example", rank=6, least=8, good=14),
    ]


def _group_row(one: Deaths) -> dict[str, Any]:
    row = {column: getattr(one, column) for column in GROUP_COLUMNS}
    return row | {name: _time(row[name]) for name in ("oldest", "newest")}


class Acted:
    """Follows a command that moves dead deliveries: a line each for machines, progress and a summary for people.

    Args:
        outcome: what becomes of a delivery: "retried" or "skipped".
        meant: the deliveries that it is about: "dead", or "dead or pending".
        output: the format of stdout.
        total: how many are expected, where that was counted.
    """

    def __init__(self, outcome: str, meant: str, output: Output, total: int | None) -> None:
        self._outcome = outcome
        self._meant = meant
        self._output = output
        self._rows = RowWriter(OUTCOME_COLUMNS, output) if output in (Output.NDJSON, Output.CSV) else None
        is_quiet = self._rows is not None and terminal.is_terminal(terminal.stdout())
        self._progress = Progress(outcome, total=total, is_quiet=is_quiet)
        self._modules: dict[str, None] = {}

    def begin(self) -> None:
        """Write what stands before the first delivery."""
        if self._rows is not None:
            self._rows.begin()

    def stored(self, one: DeadDelivery) -> None:
        """Take note of a delivery whose change is stored."""
        self._progress.advance()
        self._modules.setdefault(one.handler.partition(":")[0] if ":" in one.handler else "MODULE")
        if self._rows is not None:
            self._rows.write(_outcome_row(one, self._outcome))
            terminal.flush()

    def close(self) -> None:
        """Take the progress away."""
        self._progress.close()
        if self._rows is not None:
            self._rows.close()

    def write_summary(self, touched: Touched, elapsed_s: float) -> None:
        """Say what came of it: on stderr, and with `-o json` as an object on stdout."""
        if self._output is Output.JSON:
            terminal.stdout().write(json_line(_summary(self._outcome, touched, elapsed_s)))
            terminal.flush()
        for line in self._lines(touched):
            terminal.note(line)

    def _lines(self, touched: Touched) -> Iterable[str]:
        yield headline(self._outcome, self._meant, touched)
        yield from missing(self._meant, touched)
        if self._outcome == "retried" and touched.counts.deliveries:
            modules = self._modules if len(self._modules) <= 3 and "MODULE" not in self._modules else ["MODULE"]
            yield "next: " + " ".join(["craft-events redispatch", *(f"-m {module}" for module in modules)])


def headline(outcome: str, meant: str, touched: Touched) -> str:
    """Say in one line what became of how many deliveries."""
    counts = touched.counts
    if not (counts.deliveries or touched.moved_by_others):
        return f"no {meant} deliveries in this selection"
    what = amount(touched)
    one = counts.deliveries == 1
    told = {"retried": f"{'has' if one else 'have'} a fresh budget", "skipped": f"{'is' if one else 'are'} skipped"}
    parts = [f"{what} {told[outcome]}"]
    if touched.moved_by_others:
        parts.append(f"{touched.moved_by_others:,} moved by a worker meanwhile")
    return " · ".join(parts)


def amount(touched: Touched) -> str:
    """Return how many deliveries of how many events."""
    deliveries = counted(touched.counts.deliveries, "delivery", "deliveries")
    return f"{deliveries} of {counted(touched.counts.events, 'event')}"


def missing(meant: str, touched: Touched) -> Iterable[str]:
    """Yield a line for each event that was named in vain, and no more lines than a screen has room for."""
    for ids, words in ((touched.not_found, "is not in the log"), (touched.not_dead, f"has no {meant} delivery")):
        for event_id in ids[:MOST_NAMED]:
            yield f"{event_id} {words}"
        if len(ids) > MOST_NAMED:
            yield f"and {len(ids) - MOST_NAMED:,} more"


def _outcome_row(one: DeadDelivery, outcome: str) -> dict[str, Any]:
    return {
        "event_id": one.event_id,
        "event_type": one.event_type,
        "tenant_id": one.tenant_id,
        "handler": one.handler,
        "outcome": outcome,
        "attempt": one.attempts,
        "error": one.error,
    }


def _summary(outcome: str, touched: Touched, elapsed_s: float) -> Mapping[str, Any]:
    deliveries = touched.counts.deliveries
    skipped = deliveries if outcome == "skipped" else 0
    return {
        "events": touched.counts.events,
        "deliveries": deliveries,
        "retried": deliveries - skipped,
        "skipped": skipped,
        "moved_by_others": touched.moved_by_others,
        "not_found": list(touched.not_found),
        "not_dead": list(touched.not_dead),
        "dry_run": False,
        "elapsed_s": round(elapsed_s, 3),
    }
