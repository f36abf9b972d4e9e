"""The output of a redispatch: a row for each delivery for machines, progress and a summary for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from craft_easy.core.events.engine.report import (
    AwaitedWorker,
    Began,
    ConnectionLost,
    ConnectionResumed,
    DeliveryReport,
    EventEnded,
    HandlersPaused,
    HandlersResumed,
    Notice,
    WaitingFor,
    Working,
)
from craft_easy.core.events.store.formats.event_json import text_of
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted, shorten
from craft_events_cli.output.pauses import pause_line, paused_text
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.rows import csv_line, json_line
from craft_events_cli.output.spans import elapsed_text, time_of_day
from craft_events_cli.output.watching import WatchStatus
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.pause import PausedHandler
    from craft_easy.core.events.redispatch import RedispatchSummary

COLUMNS: Final = ("event_id", "event_type", "tenant_id", "handler", "outcome", "attempt", "error")
SUMMARY: Final = (
    "events",
    "claimed",
    "taken_over",
    "owned",
    "lost",
    "done",
    "failed",
    "retried",
    "dead",
    "skipped",
    "not_due",
)
MOST_ERRORS: Final = 5
ALIGNED: Final = 36
"""The width to which handler ids are aligned; a longer one shifts its own line only."""
MOST_KINDS: Final = 1_000
"""The number of kinds of errors that are counted separately; all others are counted together."""


class RedispatchView:
    """Follows one run: writes deliveries as they are stored, and counts them for the summary.

    Args:
        output: the format of deliveries.
        label: the name of the work.
    """

    def __init__(self, output: Output, *, label: str = "delivering") -> None:
        self._output = output
        self._errors: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        """The first error of each kind, and where it was raised."""
        self._next_due: datetime | None = None
        self._died_at: set[str] = set()
        self._announced: set[str] = set()
        self._paused: set[str] = set()
        writes_lines = output in (Output.NDJSON, Output.CSV)
        self._progress = Progress(label, is_quiet=writes_lines and terminal.is_terminal(terminal.stdout()))
        self._status = WatchStatus(self._progress)

    def __enter__(self) -> Self:
        if self._output is Output.CSV:
            terminal.stdout().write(csv_line(COLUMNS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._progress.close()
        terminal.flush()

    def note(self, text: str) -> None:
        """Write a line to stderr, above the progress line."""
        self._progress.note(text)

    def show(self, notice: Notice) -> None:
        """Show a notice of the run; the observer of `redispatch` and `replay`."""
        match notice:
            case Began(events=events):
                self._progress.start(events)
            case EventEnded():
                if not self._status.is_on:
                    self._progress.advance()
            case Working():
                self._status.show(notice)
            case DeliveryReport():
                self.show_delivery(notice)
            case WaitingFor(workers=workers):
                self._show_waiting(workers)
            case HandlersPaused(handlers=handlers):
                self._show_paused(handlers)
            case HandlersResumed(handlers=handlers):
                self._paused.difference_update(handlers)
                for handler in handlers:
                    self._progress.note(f"{handler} is resumed")
            case ConnectionLost(reason=reason):
                self._progress.note(f"connection lost, trying again … ({reason})")
            case ConnectionResumed(seconds=seconds):
                self._progress.note(f"resumed after {elapsed_text(seconds)}")

    def _show_waiting(self, workers: Iterable[AwaitedWorker]) -> None:
        for one in workers:
            if one.worker.owner not in self._announced:
                self._announced.add(one.worker.owner)
                self._progress.note(_words_for(one))

    def _show_paused(self, handlers: Iterable[PausedHandler]) -> None:
        for one in handlers:
            if one.handler not in self._paused:  # a run over named events reports them for each batch
                self._paused.add(one.handler)
                self._progress.note(pause_line(one))

    def show_delivery(self, report: DeliveryReport) -> None:
        """Count a delivery, and write its row if the format has rows."""
        self._status.count(report)
        if report.outcome in ("failed", "dead"):
            self._count_error(report)
        if report.outcome == "dead":
            self._died_at.add(report.handler)
        if self._output is Output.NDJSON:
            terminal.stdout().write(json_line(report_row(report)))
            terminal.flush()
        elif self._output is Output.CSV:
            terminal.stdout().write(csv_line([report_row(report)[column] for column in COLUMNS]))
            terminal.flush()

    def _count_error(self, report: DeliveryReport) -> None:
        error = report.error or ""
        kind = (report.handler, error.partition(": ")[0])
        if kind not in self._errors and len(self._errors) >= MOST_KINDS:
            kind, example = (report.handler, "other errors"), "other errors"
        else:
            example = shorten(error) + (f"   {report.where}" if report.where else "")
        self._errors[kind] += 1
        self._examples.setdefault(kind, example)
        if report.due_at is not None and (self._next_due is None or report.due_at < self._next_due):
            self._next_due = report.due_at

    def write_summary(self, summary: RedispatchSummary) -> None:
        """Write the summary: to stderr for people, and with `-o json` as an object to stdout."""
        if self._output is Output.JSON:
            terminal.stdout().write(json_line(summary_row(summary)))
            terminal.flush()
        for line in self._lines(summary):
            terminal.note(line)

    def _lines(self, summary: RedispatchSummary) -> Iterable[str]:
        yield headline(summary, self._next_due)
        yield from self.errors()
        for handler in summary.orphaned_handlers:
            yield f"{handler} is named by open events and is not loaded: load its module too, with -m"
        if (step := suggestion(summary, self._died_at)) is not None:
            yield f"next: {step}"

    def errors(self) -> Iterable[str]:
        """Yield a line for each of the most frequent errors, by handler and type, with the first as its example."""
        shown = self._errors.most_common(MOST_ERRORS)
        width = min(max((len(handler) for (handler, _), _ in shown), default=0), ALIGNED)
        for kind, count in shown:
            yield f"{count:5,}  {kind[0]:<{width}}   {self._examples[kind]}"
        if len(self._errors) > MOST_ERRORS:
            yield f"       and {len(self._errors) - MOST_ERRORS:,} other kinds of error"


def headline(summary: RedispatchSummary, next_due: datetime | None) -> str:
    """Return the summary of the run in one line.

    Args:
        next_due: when the first failed delivery of this run is retried.
    """
    if not summary.claimed and not summary.taken_over:
        return " · ".join(["nothing is due", *_left(summary)])
    parts = [counted(summary.events, "event"), f"{summary.done:,} delivered"]
    if summary.failed:
        again = "" if next_due is None else f", tried again from {time_of_day(next_due)}"
        parts.append(f"{summary.failed:,} failed{again}")
    for number, word in (
        (summary.retried, "to be retried at the request of their handlers"),
        (summary.dead, "dead"),
        (summary.skipped, "skipped"),
        (summary.lost, "lost to another worker"),
        (summary.taken_over, "taken over"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    return " · ".join([*parts, *_left(summary), elapsed_text(summary.elapsed_s)])


def _left(summary: RedispatchSummary) -> Iterable[str]:
    """Yield what the run left for other workers and later runs."""
    if summary.not_due and summary.next_due_at is not None:
        verb = "is" if summary.not_due == 1 else "are"
        yield f"{summary.not_due:,} {verb} not due before {time_of_day(summary.next_due_at)} (--now delivers them)"
    if summary.owned:
        yield f"{counted(summary.owned, 'event')} owned by living workers ({next_step.command('workers')})"
    if summary.paused_handlers:
        yield paused_text(summary.paused, summary.paused_handlers)
    if summary.orphaned:
        yield f"{counted(summary.orphaned, 'delivery', 'deliveries')} without a loaded handler"
    if summary.uncounted:
        yield f"what is left could not be counted: {summary.uncounted}"


def suggestion(summary: RedispatchSummary, died_at: Collection[str] = ()) -> str | None:
    """Return the suggested next command, or None.

    Args:
        died_at: the handlers whose deliveries died.
    """
    if summary.dead:
        where = ["--handler", *died_at] if len(died_at) == 1 else ["--by", "error"]
        return next_step.command("dead", "list", *where)
    if summary.failed or summary.orphaned:
        return next_step.command("pending", "--by", "error" if summary.failed else "handler")
    return None


def summary_row(summary: RedispatchSummary) -> dict[str, Any]:
    """Return the summary with the keys of the documented output."""
    next_due_at = None if summary.next_due_at is None else text_of(summary.next_due_at)
    return {
        **{name: getattr(summary, name) for name in SUMMARY},
        "next_due_at": next_due_at,
        "paused": summary.paused,
        "paused_handlers": summary.paused_handlers,
        "orphaned": summary.orphaned,
        "orphaned_handlers": summary.orphaned_handlers,
        "uncounted": summary.uncounted,
        "dry_run": False,
        "elapsed_s": summary.elapsed_s,
    }


def report_row(report: DeliveryReport) -> dict[str, Any]:
    """Return a delivery with the keys of the documented output."""
    return {column: getattr(report, column) for column in COLUMNS}


def _words_for(one: AwaitedWorker) -> str:
    worker = one.worker
    return (
        f"{counted(one.events, 'event')} {'belongs' if one.events == 1 else 'belong'} to {worker.host}:{worker.pid}: "
        f"taking over in {one.left:.0f} s unless it beats (--no-wait leaves them)"
    )
