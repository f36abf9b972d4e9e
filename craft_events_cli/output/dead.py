"""The output of the commands that retry or discard dead deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.redispatch import COLUMNS as OUTCOME_COLUMNS
from craft_events_cli.output.rows import RowWriter, json_line
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.dead import Touched
    from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery

MOST_NAMED: Final = 10


class Acted:
    """Follows a command that moves dead deliveries: rows for machines, progress and a summary for people.

    Args:
        outcome: the new state of a delivery: "retried" or "skipped".
        states: the state of the deliveries that it selects, for messages: "dead", or "dead or pending".
        output: the format of stdout.
        total: the expected number of deliveries, if they were counted.
    """

    def __init__(self, outcome: str, states: str, output: Output, total: int | None) -> None:
        self._outcome = outcome
        self._states = states
        self._output = output
        self._rows = RowWriter(OUTCOME_COLUMNS, output) if output in (Output.NDJSON, Output.CSV) else None
        is_quiet = self._rows is not None and terminal.is_terminal(terminal.stdout())
        self._progress = Progress(outcome, total=total, is_quiet=is_quiet)
        self._modules: dict[str, None] = {}

    def begin(self) -> None:
        """Write the header of the format, if it has one."""
        if self._rows is not None:
            self._rows.begin()

    def stored(self, one: UnfinishedDelivery) -> None:
        """Take note of a delivery whose change is stored."""
        self._progress.advance()
        self._modules.setdefault(one.handler.partition(":")[0] if ":" in one.handler else "MODULE")
        if self._rows is not None:
            self._rows.write(_outcome_row(one, self._outcome))
            terminal.flush()

    def close(self) -> None:
        """Remove the progress line."""
        self._progress.close()
        if self._rows is not None:
            self._rows.close()

    def write_summary(self, touched: Touched, elapsed_s: float) -> None:
        """Write the summary: to stderr, and with `-o json` as an object to stdout."""
        if self._output is Output.JSON:
            terminal.stdout().write(json_line(_summary(self._outcome, touched, elapsed_s)))
            terminal.flush()
        for line in self._lines(touched):
            terminal.note(line)

    def _lines(self, touched: Touched) -> Iterable[str]:
        yield headline(self._outcome, self._states, touched)
        yield from missing(self._states, touched)
        if self._outcome == "retried" and touched.counts.deliveries:
            modules = self._modules if len(self._modules) <= 3 and "MODULE" not in self._modules else ["MODULE"]
            yield f"next: {next_step.loading('redispatch', guess=list(modules))}"


def headline(outcome: str, states: str, touched: Touched) -> str:
    """Return one line with the number of deliveries that were changed."""
    counts = touched.counts
    if not (counts.deliveries or touched.moved_by_others):
        return f"no {states} deliveries in this selection"
    what = amount(touched)
    one = counts.deliveries == 1
    changed = {"retried": f"{'has' if one else 'have'} a fresh budget", "skipped": f"{'is' if one else 'are'} skipped"}
    parts = [f"{what} {changed[outcome]}"]
    if touched.moved_by_others:
        parts.append(f"{touched.moved_by_others:,} changed by a worker in the meantime")
    return " · ".join(parts)


def amount(touched: Touched) -> str:
    """Return the numbers of deliveries and events, in words."""
    deliveries = counted(touched.counts.deliveries, "delivery", "deliveries")
    return f"{deliveries} of {counted(touched.counts.events, 'event')}"


def missing(states: str, touched: Touched) -> Iterable[str]:
    """Yield a line for each named event that was not changed, at most `MOST_NAMED` of them."""
    for ids, words in ((touched.not_found, "is not in the log"), (touched.not_dead, f"has no {states} delivery")):
        for event_id in ids[:MOST_NAMED]:
            yield f"{event_id} {words}"
        if len(ids) > MOST_NAMED:
            yield f"and {len(ids) - MOST_NAMED:,} more"


def _outcome_row(one: UnfinishedDelivery, outcome: str) -> dict[str, Any]:
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
