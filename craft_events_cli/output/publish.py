"""The output of a publish: a line for each stored event, and a summary."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

from craft_easy.core.events.operations.import_ import Refused
from craft_easy.core.events.operations.publish import PublishedEvent, PublishNotice, PublishSummary, UnfitPayload
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.cells import cut
from craft_events_cli.output.counts import counted, shorten
from craft_events_cli.output.importing import MOST_SHOWN, Rejects
from craft_events_cli.output.rows import RowWriter, json_line
from craft_events_cli.terminal import Output, safe

COLUMNS: Final = ("event_id", "event_type", "tenant_id", "outcome", "state", "handlers")


class PublishView:
    """Writes each stored event to stdout, and counts events for the summary.

    Args:
        output: the format of stdout.
        is_one: a single event is written as one object.
        rejects: the file for rejected lines.
    """

    def __init__(self, output: Output, *, is_one: bool = False, rejects: Rejects | None = None) -> None:
        self._output = output
        self._is_one = is_one and output is Output.JSON
        self._rejects = rejects
        self._rows = None if output is Output.TABLE or self._is_one else RowWriter(COLUMNS, output)
        self._refused = 0
        self._failed = 0
        self._unfit: set[str] = set()
        self.last: PublishedEvent | None = None

    def __enter__(self) -> Self:
        if self._rows is not None:
            self._rows.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._rows is not None:
            self._rows.close()
        terminal.flush()

    def observe(self, notice: PublishNotice) -> None:
        """Show a notice of the publish."""
        match notice:
            case PublishedEvent():
                self._published(notice)
            case Refused():
                self._refuse(notice)
            case UnfitPayload(event_type, class_name) if event_type not in self._unfit:
                self._unfit.add(event_type)
                terminal.warn(
                    f"a payload of {event_type} does not fit {class_name}: handlers receive a plain DomainEvent"
                )

    def _published(self, published: PublishedEvent) -> None:
        self.last = published
        if self._rows is not None:
            self._rows.write(_row(published))
        elif self._is_one:
            terminal.stdout().write(json_line(_row(published)))
        else:
            terminal.stdout().write(_line(published))
        terminal.flush()
        for handler, error in published.failed.items():
            self._failed += 1
            if self._failed <= MOST_SHOWN:
                terminal.note(f"failed: {handler}   {shorten(error)}")

    def _refuse(self, refused: Refused) -> None:
        if self._rejects is not None:
            self._rejects.write(refused)
        self._refused += 1
        if self._refused <= MOST_SHOWN:
            terminal.note(f"line {refused.line:,}: {refused.error}")

    def write_summary(self, summary: PublishSummary, *, is_dispatched: bool = False) -> None:
        """Write the summary and the suggested next command to stderr."""
        if self._refused > MOST_SHOWN:
            terminal.note(f"and {counted(self._refused - MOST_SHOWN, 'more line')} like these")
        terminal.note(headline(summary, is_dispatched=is_dispatched))
        for line in self._next(summary):
            terminal.note(line)

    def _next(self, summary: PublishSummary) -> Iterable[str]:
        if self._refused and self._rejects is None:
            yield "to keep the rejected lines: --rejects FILE"
        elif self._refused and self._rejects is not None:
            yield f"rejected lines are in {self._rejects.path}"
        if summary.untracked:
            yield "stored untracked: no handler module was named, so no handler will run (-m MODULE)"
        elif summary.open or summary.failed:
            yield f"next: {next_step.loading('redispatch')}"
        elif self.last is not None:
            yield f"in full: {next_step.command('show', self.last.event.event_id)}"


def headline(summary: PublishSummary, *, is_dispatched: bool = False) -> str:
    """Return the summary in one line."""
    parts = [f"{counted(summary.stored, 'event')} stored"]
    if is_dispatched:
        parts.append(f"{summary.delivered:,} delivered")
    for number, words in (
        (summary.failed, "failed"),
        (summary.open, "open delivery" if summary.open == 1 else "open deliveries"),
        (summary.present, "present before"),
        (summary.conflicts, "in conflict with a stored event"),
        (summary.bad, "bad line" if summary.bad == 1 else "bad lines"),
    ):
        if number:
            parts.append(f"{number:,} {words}")
    return " · ".join(parts)


def _row(published: PublishedEvent) -> dict[str, Any]:
    event = published.event
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "tenant_id": event.tenant_id,
        "outcome": "stored" if published.is_new else "present",
        "state": published.state,
        "handlers": dict(published.handlers),
    }


def _line(published: PublishedEvent) -> str:
    event = published.event
    parts = [event.event_id, event.event_type, event.tenant_id or "–", published.state]
    text = "  ".join(map(safe, parts if published.is_new else [*parts, "present before"]))
    return cut(text, max(terminal.width(), len(event.event_id))) + "\n"
