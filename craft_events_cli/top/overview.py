"""The overview: the backlog in tiles, the last hour, handlers and workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Sparkline, Static

from craft_events_cli.output.pauses import pause_line
from craft_events_cli.output.spans import duration_text
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import cell, plain
from craft_events_cli.top.table import SortedTable, TableColumn, TableRow
from craft_events_cli.top.view import Banner, View

if TYPE_CHECKING:
    from craft_easy.core.events.operations.stats import Stats, StatsGroup
    from craft_easy.core.events.operations.workers import WorkerStatus

LONG: Final = 120.0
"""Seconds that the figures may take: each open record is counted."""
MAX_PAUSED: Final = 3
TILES: Final = ("open", "due", "waiting", "owned", "dead")
HANDLERS: Final = (
    TableColumn("Handler"),
    *(TableColumn(name, is_number=True) for name in ("Open", "Waiting", "Dead", "Failed", "Per hour", "Median ms")),
)
WORKERS: Final = (
    TableColumn("Worker"),
    TableColumn("State"),
    *(TableColumn(name, is_number=True) for name in ("Beat s ago", "Owned")),
    TableColumn("Runs"),
    TableColumn("For s", is_number=True),
)
_STATE_STYLES: Final = {"gone": "bold red", "silent": "bold yellow", "alive": "green", "fenced": "dim"}


class Tile(Static):
    """A figure and its name."""

    def show(self, name: str, value: str) -> None:
        """Show a figure; what is wrong is bold."""
        self.update(Content("\n").join([plain(value, "bold"), plain(name)]))


class OverviewView(View):
    """The overview."""

    MODE = "overview"

    def contents(self) -> ComposeResult:
        yield Banner(id="left-alone")
        yield Banner(id="paused")
        with Horizontal(id="tiles"):
            for name in (*TILES, "oldest"):
                yield Tile(id=f"tile-{name}")
        with Horizontal(id="hour"):
            for name in ("events", "failed"):
                with Vertical(classes="spark"):
                    yield Static(id=f"{name}-title")
                    yield Sparkline(id=f"{name}-spark")
        yield SortedTable(HANDLERS, id="handlers")
        yield SortedTable(WORKERS, id="workers")
        yield Static(plain("counting …"), id="pace")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (
            PolledQuestion(lambda: self.source.workers(), self._show_workers),
            PolledQuestion(lambda: self.source.figures(self.filter), self._show_figures, deadline=LONG),
        )

    def on_mount(self) -> None:
        for name in ("left-alone", "paused"):
            self.query_one(f"#{name}", Banner).show(None)

    def filter_changed(self) -> None:
        """Read the figures of what the filter selects."""
        if self.filter.texts or self.filter.chosen.states:
            self.notify("figures are filtered by tenant:, type: and actor:", severity="warning", markup=False)
        self.query_one("#pace", Static).update(plain("counting …"))
        self.poller.hurry()

    def _show_figures(self, answer: Answer[Stats]) -> None:
        found = answer.value
        if found is None:
            return
        for name in TILES:
            self.query_one(f"#tile-{name}", Tile).show(name, f"{getattr(found, name):,}")
        age = "–" if found.oldest is None else duration_text(found.oldest.age_s)
        self.query_one("#tile-oldest", Tile).show("oldest", age)
        self._show_hour(found)
        self.query_one("#handlers", SortedTable).show([_handler_row(one) for one in found.groups])
        self._show_left_alone(found)
        lines = [plain(pause_line(one)) for one in found.paused]
        self.query_one("#paused", Banner).show(Content("\n").join(lines[:MAX_PAUSED]) if lines else None)
        pace = "every second" if answer.every <= 1 else f"every {duration_text(answer.every)}, as they take long"
        narrowed = f" · filter {self.filter.typed}" if self.filter.typed else ""
        self.query_one("#pace", Static).update(plain(f"workers are read every second, figures {pace}{narrowed}"))

    def _show_hour(self, found: Stats) -> None:
        for name in ("events", "failed"):
            values = [float(getattr(bar, name)) for bar in found.bars]
            total, peak = getattr(found, name), max(values, default=0)
            title = f"{name} {total:,} last hour, peak {peak:,.0f}/min"
            self.query_one(f"#{name}-title", Static).update(plain(title))
            self.query_one(f"#{name}-spark", Sparkline).data = values

    def _show_left_alone(self, found: Stats) -> None:
        is_left_alone = bool(found.due) and not found.workers
        text = plain(f"! {found.due:,} due · no worker is alive: start craft-events redispatch --watch")
        self.query_one("#left-alone", Banner).show(text if is_left_alone else None)

    def _show_workers(self, answer: Answer[Sequence[WorkerStatus]]) -> None:
        self.query_one("#workers", SortedTable).show([_worker_row(one) for one in answer.value or ()])


def _handler_row(group: StatsGroup) -> TableRow:
    median = group.median_ms if group.median_ms is not None else group.mean_ms
    numbers = [group.open, group.waiting, group.dead, group.failed, group.events or 0]
    styles = ["", "", "bold red", "red", ""]
    cells = [
        cell(group.name),
        *(cell(f"{n:,}", style if n else "dim", is_right=True) for n, style in zip(numbers, styles, strict=True)),
        cell(None if median is None else f"{median:g}", is_right=True),
    ]
    return TableRow(group.name or "", cells, [group.name or "", *numbers, median])


def _worker_row(worker: WorkerStatus) -> TableRow:
    first = min(worker.running, key=lambda one: one.since, default=None)
    for_s = None if first is None else _seconds_since(first.since, worker)
    cells = [
        cell(worker.owner),
        cell(worker.state, _STATE_STYLES.get(worker.state, "")),
        cell(None if worker.silent_s is None else f"{worker.silent_s:.0f}", is_right=True),
        cell(f"{worker.open:,}", is_right=True),
        cell(None if first is None else first.handler),
        cell(None if for_s is None else f"{for_s:,.0f}", is_right=True),
    ]
    runs = None if first is None else first.handler
    values = [worker.owner, worker.state, worker.silent_s, worker.open, runs, for_s]
    return TableRow(worker.owner, cells, values)


def _seconds_since(moment: datetime, worker: WorkerStatus) -> float | None:
    """Return the seconds since a moment, by the database's clock at which the heartbeat's age was read."""
    if worker.beat_at is None or worker.silent_s is None:
        return None
    return max(0.0, (worker.beat_at - moment).total_seconds() + worker.silent_s)
