"""The progress and summary of a pruning and of a redaction."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import EventsError
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.rows import csv_line, json_line
from craft_events_cli.output.spans import elapsed_text
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.prune import Pruned
    from craft_easy.core.events.operations.redact import Redacted

MOST_NAMED: Final = 10


class _Acted:
    """Follows a command that acts on many events; if it is interrupted, it reports the number that are done.

    Args:
        label: the name of the work, for the progress line.
        done: what happened to an event, as a past participle.
        output: the format of stdout.
    """

    def __init__(self, label: str, done: str, output: Output) -> None:
        self._done = done
        self._output = output
        self._progress = Progress(label)
        self._events = 0
        self._began = steady()
        self._learning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        self._progress.close()
        if error is not None and self._events:
            done = f"{counted(self._events, 'event')} {self._done} before the interruption"
            terminal.note(f"{done}: run the same command again to continue")

    @property
    def elapsed_s(self) -> float:
        return steady() - self._began

    def expect(self, events: int | None) -> None:
        """Set the number of events to act on; None if they were not counted."""
        self._progress.start(events)

    def learn(self, counting: Coroutine[Any, Any, int]) -> None:
        """Count the events while the work goes on, if stderr is a terminal."""
        if not self._progress.is_shown:
            counting.close()
            return

        async def learn() -> None:
            with suppress(EventsError):
                self._progress.total = await counting

        self._learning = asyncio.create_task(learn())

    def advance(self, events: int) -> None:
        """Count events as done."""
        self._events += events
        self._progress.advance(events)

    def _write(self, row: dict[str, Any], lines: Iterable[str]) -> None:
        if self._output in (Output.JSON, Output.NDJSON):
            terminal.stdout().write(json_line(row))
        elif self._output is Output.CSV:
            terminal.stdout().write(csv_line(tuple(row)) + csv_line(list(row.values())))
        terminal.flush()
        for line in lines:
            terminal.note(line)


class Pruner(_Acted):
    """Follows a pruning; `archive` is the destination of the copies, as typed."""

    def __init__(self, archive: str | None, output: Output) -> None:
        super().__init__("removing" if archive is None else "archiving", "removed", output)
        self._archive = archive

    def write_summary(self, pruned: Pruned) -> None:
        """Write the summary: to stderr, and in the machine formats as an object to stdout."""
        row = {
            "events": pruned.counts.events,
            "deliveries": pruned.counts.deliveries,
            "held": pruned.held,
            "changed": pruned.changed,
            "archive": self._archive,
            "inexact": pruned.inexact,
            "inexact_ids": pruned.inexact_ids,
            "dry_run": False,
            "elapsed_s": round(self.elapsed_s, 3),
        }
        self._write(row, self._lines(pruned))

    def _lines(self, pruned: Pruned) -> Iterable[str]:
        events = pruned.counts.events
        if events:
            where = "removed without a copy" if self._archive is None else f"archived in {self._archive} and removed"
            yield " · ".join([f"{counted(events, 'event')} {where}", *remarks(pruned), elapsed_text(self.elapsed_s)])
        else:
            yield " · ".join(["nothing to prune", *remarks(pruned)])
        for event_id in pruned.inexact_ids[:MOST_NAMED]:
            yield f"{event_id} was not removed: the archive has no exact copy of it"
        if pruned.inexact > MOST_NAMED:
            yield f"and {pruned.inexact - MOST_NAMED:,} more"
        if pruned.inexact:
            yield "--archive collection:NAME keeps exact copies of events that JSON cannot represent"
        if events and self._archive is not None:
            yield f"to {_next(self._archive)}"


def _next(archive: str) -> str:
    if archive.startswith("collection:"):
        return "read the archive: " + next_step.command("replay", "--collection", archive.partition(":")[2])
    return "restore them: " + next_step.command("import", archive, "--with-delivery")


def remarks(pruned: Pruned) -> list[str]:
    """Return the counts of events that were not removed, each with its reason."""
    reasons = (
        (pruned.held, "an event that caused them is open or dead", "an event that caused it is open or dead"),
        (pruned.changed, "they were changed in the meantime", "it was changed in the meantime"),
        (pruned.inexact, "the archive has no exact copy of them", "the archive has no exact copy of it"),
    )
    return [
        f"{number:,} {'stays' if number == 1 else 'stay'}: {one if number == 1 else many}"
        for number, many, one in reasons
        if number
    ]


class Redactor(_Acted):
    """Follows a redaction of tenants and actors."""

    def __init__(self, tenants: Sequence[str], actors: Sequence[str], output: Output) -> None:
        super().__init__("redacting", "were redacted", output)
        self._flags = [word for tenant in tenants for word in ("--tenant", tenant)]
        self._flags += [word for actor in actors for word in ("--actor", actor)]

    def write_summary(self, redacted: Redacted) -> None:
        """Write the summary: to stderr, and in the machine formats as an object to stdout."""
        counts = redacted.counts
        row = {
            "events": counts.events,
            "deliveries": counts.deliveries,
            "kept": redacted.kept,
            "dry_run": False,
            "elapsed_s": round(self.elapsed_s, 3),
        }
        self._write(row, self._lines(redacted))

    def _lines(self, redacted: Redacted) -> Iterable[str]:
        counts = redacted.counts
        if counts.events:
            skipped = counted(counts.deliveries, "delivery", "deliveries")
            yield f"{counted(counts.events, 'event')} redacted · {skipped} skipped · {elapsed_text(self.elapsed_s)}"
        else:
            yield "nothing to redact in this selection"
        for event_id, reason in list(redacted.kept.items())[:MOST_NAMED]:
            yield f"{event_id} keeps its payload: {reason}"
        if len(redacted.kept) > MOST_NAMED:
            yield f"and {len(redacted.kept) - MOST_NAMED:,} more"
        if redacted.kept:
            yield "run the same command again to retry those"
        if counts.events:
            yield f"to see the redacted events: {next_step.command('replay', *self._flags)}"
