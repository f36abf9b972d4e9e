"""The output of a replay through handlers: its plan, a row for each delivery for machines, a summary for people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.times import Window
from craft_events_cli import terminal
from craft_events_cli.output import next_step, redispatch
from craft_events_cli.output.counts import counted, missing_lines, shorten
from craft_events_cli.output.redispatch import report_row
from craft_events_cli.output.rows import json_line
from craft_events_cli.output.spans import elapsed_text, window_text
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.engine.report import DeliveryReport
    from craft_easy.core.events.history.plan import ReplayPlan
    from craft_easy.core.events.history.progress import Position
    from craft_easy.core.events.history.replay import ReplaySummary
    from craft_events_cli.output.failures import Failures

MOST_NAMED: Final = 5
SEPARATOR: Final = " · "


class ReplayView(redispatch.RedispatchView):
    """Follows one run: writes deliveries as they end, and failed ones to a file as well.

    Args:
        output: how deliveries are written.
        failures: the file for failed deliveries.
    """

    def __init__(self, output: Output, failures: Failures) -> None:
        super().__init__(output, label="replaying")
        self._failures = failures
        self.first_failed: str | None = None
        """The first event for which a handler failed."""

    def show_delivery(self, report: DeliveryReport) -> None:
        if report.outcome == "failed":
            self._failures.write(report_row(report))
            self.first_failed = self.first_failed or report.event_id
        super().show_delivery(report)


def position_line(position: Position, checkpoint: str) -> str:
    """Return the position of the earlier run, and the window that it had."""
    if position.is_complete:
        return f"{checkpoint}: this replay is complete; remove the file to run it again"
    window = Window(position.since, position.until)
    stays = "" if window == Window() else f", with the window of that run, {window_text(window)}"
    return f"continuing from {checkpoint}: {counted(position.passed, 'event')} {_are(position.passed)} done{stays}"


def plan_lines(plan: ReplayPlan, *, is_counted: bool = False) -> Iterable[str]:
    """Write the plan: counts by type, tenant and handler unless they are shown elsewhere, and what is left out."""
    counts = plan.counts
    if counts.events and not is_counted:
        for title, numbers in (("type", counts.by_type), ("tenant", counts.by_tenant), ("handler", counts.by_handler)):
            yield (start := f"  by {title:<7}  ") + _most(numbers, terminal.width(sys.stderr) - len(start))
    for handler, deliveries in plan.not_replayable.most_common():
        yield f"left out: {handler} is not replayable ({counted(deliveries, 'delivery', 'deliveries')})"
    if plan.unhandled:
        yield f"{counted(plan.unhandled, 'event')} in this range {_have(plan.unhandled)} none of these handlers"


def amount(plan: ReplayPlan) -> str:
    """Return the size of the plan in words."""
    counts = plan.counts
    return f"{counted(counts.events, 'event')}, {counted(counts.deliveries, 'delivery', 'deliveries')}"


def headline(summary: ReplaySummary, *, goes_on: bool = False) -> str:
    """Return the summary of the run in one line; `goes_on`: it continued an earlier run."""
    if not summary.events and summary.is_complete and not summary.redacted:
        return "nothing is left to run" if goes_on else "no events in this selection"
    parts = [counted(summary.events, "event"), f"{summary.done:,} delivered"]
    for number, words in (
        (summary.failed, "failed"),
        (summary.skipped, "skipped"),
        (summary.redacted, "redacted and left out"),
        (summary.malformed, "malformed and left out"),
        (summary.suppressed, f"publish{'' if summary.suppressed == 1 else 'es'} suppressed"),
    ):
        if number:
            parts.append(f"{number:,} {words}")
    if not summary.is_complete:
        parts.append("stopped early")
    return " · ".join([*parts, elapsed_text(summary.elapsed_s)])


def summary_row(summary: ReplaySummary) -> dict[str, Any]:
    """Return the summary as one object."""
    return {
        "events": summary.events,
        "done": summary.done,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "suppressed": summary.suppressed,
        "redacted": summary.redacted,
        "malformed": summary.malformed,
        "not_found": list(summary.missing),
        "is_complete": summary.is_complete,
        "replay_id": summary.replay_id,
        "dry_run": False,
        "elapsed_s": summary.elapsed_s,
    }


def write_summary(
    view: ReplayView, summary: ReplaySummary, output: Output, next_step: str | None, *, goes_on: bool
) -> None:
    """Write the summary: to stderr for people, and with `-o json` as an object to stdout."""
    if output is Output.JSON:
        terminal.stdout().write(json_line(summary_row(summary)))
        terminal.flush()
    for line in (headline(summary, goes_on=goes_on), *view.errors(), *missing_lines(summary.missing)):
        terminal.note(line)
    if next_step is not None:
        terminal.note(f"next: {next_step}")


def show(event_id: str) -> str:
    """Return the command that shows an event."""
    return next_step.command("show", event_id)


def _most(numbers: Counter[Any], room: int) -> str:
    """Return the most frequent values, as many as fit on a line, at least one."""
    named: list[str] = []
    for name, number in numbers.most_common(MOST_NAMED):
        one = f"{'–' if name is None else shorten(name, 60)} {number:,}"
        if named and len(SEPARATOR.join([*named, one, "999 more"])) > room:
            break
        named.append(one)
    if len(numbers) > len(named):
        named.append(f"{len(numbers) - len(named):,} more")
    return SEPARATOR.join(named)


def _have(events: int) -> str:
    return "has" if events == 1 else "have"


def _are(events: int) -> str:
    return "is" if events == 1 else "are"
