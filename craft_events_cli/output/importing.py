"""The output of an import: rejected lines, progress and summary."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shlex import join
from types import TracebackType
from typing import IO, Any, Final, Self

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost
from craft_easy.core.events.errors import EventsError, StoreUnavailable
from craft_easy.core.events.operations.import_ import Imported, ImportNotice, LinesRead, Refused
from craft_easy.core.events.operations.intake import STDIN, count_lines
from craft_events_cli import terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted
from craft_events_cli.output.progress import SHOWN_AFTER, Progress
from craft_events_cli.output.rows import RowWriter, json_line
from craft_events_cli.output.spans import elapsed_text
from craft_events_cli.terminal import Output

COLUMNS: Final = ("line", "event_id", "outcome", "error")
MOST_SHOWN: Final = 5
"""At most this many rejected lines are shown to people."""
_KEYS: Final = {"line", "error", "text"}
_MAX_FIRST: Final = 1 << 20


class Rejects:
    """A file of rejected lines: `{line, error, text}`, one object a line.

    It replaces the rejects of an earlier run, and refuses to replace any other file.

    Raises:
        UsageError: the file exists and is not a file of rejects, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._refuse_another()
            self._file: IO[str] = open(path, "w", encoding="ascii")  # noqa: SIM115 - `close` closes it
        except OSError as error:
            raise self._failed(error) from error

    def _refuse_another(self) -> None:
        if not self.path.is_file():
            return
        with open(self.path, "rb") as file:
            first = file.readline(_MAX_FIRST)
        found = None
        with suppress(ValueError, RecursionError):
            found = json.loads(first)
        if first and (len(first) < _MAX_FIRST and not (isinstance(found, dict) and found.keys() == _KEYS)):
            raise UsageError(f"--rejects: {self.path} exists and is not a file of rejects", hint="name another file")

    def write(self, refused: Refused) -> None:
        """Write one line.

        Raises:
            UsageError: the file cannot be written.
        """
        row = {"line": refused.line, "error": refused.error, "text": refused.text}
        try:
            self._file.write(json_line(row))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _failed(self, error: OSError) -> UsageError:
        reason = (error.strerror or type(error).__name__).lower()
        return UsageError(f"--rejects: {self.path} cannot be written: {reason}", hint="name a file that can be written")


class ImportView:
    """Follows one import.

    Args:
        source: the name of the input.
        output: the format of stdout: a row for each rejected line, or one object at the end.
        rejects: the file for rejected lines.
        total: the number of lines, if they were counted.
        is_dry: nothing is written to the log.
    """

    def __init__(
        self, source: str, output: Output, *, rejects: Rejects | None, total: int | None = None, is_dry: bool = False
    ) -> None:
        self._source = source
        self._output = output
        self._rejects = rejects
        self._is_dry = is_dry
        has_rows = output in (Output.NDJSON, Output.CSV) and not is_dry
        self._rows = RowWriter(COLUMNS, output) if has_rows else None
        self._progress = Progress("looking at" if is_dry else "importing", total=total)
        self._counting: asyncio.Task[None] | None = None
        self._seen = 0
        self._shown = 0
        self._began = steady()
        self._is_lost = False

    def __enter__(self) -> Self:
        if self._rows is not None:
            self._rows.begin()
        if self._progress.is_shown and self._progress.total is None:
            self._counting = asyncio.create_task(self._count())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._counting is not None:
            self._counting.cancel()
        self._progress.close()
        if self._rows is not None:
            self._rows.close()
        if isinstance(error, StoreUnavailable) and self._seen:
            self._say_how_to_go_on("the outage")
        elif isinstance(error, asyncio.CancelledError):
            self._say_how_to_go_on("the interruption")

    def _say_how_to_go_on(self, ending: str) -> None:
        """Say what was read: a line that is stored already changes nothing, so that the same command goes on."""
        again = "" if self._is_dry else ": run the same command again to continue"
        so_far = f"{counted(self._seen, 'line')} read before" if self._seen else "stopped by"
        terminal.note(f"{so_far} {ending}{again}")

    async def _count(self) -> None:
        await asyncio.sleep(SHOWN_AFTER)
        with suppress(EventsError):  # the reader reports the same error
            self._progress.total = await count_lines(self._source)

    def observe(self, notice: ImportNotice) -> None:
        """Show a notice of the import."""
        match notice:
            case Refused():
                self._refused(notice)
            case LinesRead(lines):
                self._progress.advance(lines - self._seen)
                self._seen = lines
            case ConnectionLost(reason) if not self._is_lost:
                self._is_lost = True
                self._progress.note(f"connection lost, trying again … ({reason})")

    def _refused(self, refused: Refused) -> None:
        if self._rejects is not None:
            self._rejects.write(refused)
        if self._rows is not None:
            self._rows.write(_row(refused))
            terminal.flush()
        self._shown += 1
        if self._shown <= MOST_SHOWN:
            self._progress.note(f"line {refused.line:,}: {refused.error}")

    def write_summary(self, imported: Imported, *, with_delivery: bool) -> None:
        """Write the summary: to stderr, and with `-o json` as an object to stdout."""
        if self._output is Output.JSON and not self._is_dry:
            terminal.stdout().write(json_line(self._summary(imported)))
        terminal.flush()
        for line in self._lines(imported, with_delivery=with_delivery):
            terminal.note(line)

    def _summary(self, imported: Imported) -> dict[str, Any]:
        names = ("lines", "stored", "present", "conflicts", "bad")
        elapsed = round(steady() - self._began, 3)
        return {**{name: getattr(imported, name) for name in names}, "dry_run": False, "elapsed_s": elapsed}

    def _lines(self, imported: Imported, *, with_delivery: bool) -> Iterable[str]:
        more = imported.conflicts + imported.bad - MOST_SHOWN
        if more > 0:
            yield f"and {counted(more, 'more line')} like these"
        yield headline(imported, steady() - self._began, is_dry=self._is_dry)
        if not imported.is_clean:
            yield self._what_to_mend()
        elif imported.open and not self._is_dry:
            are = "is" if imported.open == 1 else "are"
            yield f"{counted(imported.open, 'event')} {are} open; next: {next_step.loading('redispatch')}"
        elif imported.stored and not with_delivery and not self._is_dry:
            deliver = next_step.loading("redispatch", "--include-untracked", "--since", "TIME")
            yield f"stored untracked; to run handlers for them: {deliver}"

    def _what_to_mend(self) -> str:
        if self._rejects is None:
            return "to keep the rejected lines and correct them: --rejects FILE"
        lines, again = join(["jq", "-r", ".text", str(self._rejects.path)]), next_step.command("import", "-", "--yes")
        return f"rejected lines are in {self._rejects.path}; once corrected: {lines} | {again}"


def headline(imported: Imported, seconds: float, *, is_dry: bool = False) -> str:
    """Return the summary in one line: what happened to the lines, or would happen."""
    if not imported.lines:
        return "no lines"
    parts = [counted(imported.lines, "line"), f"{imported.stored:,} {'new' if is_dry else 'stored'}"]
    for number, one, many in (
        (imported.present, "present before", ""),
        (imported.conflicts, "in conflict with a stored event", ""),
        (imported.bad, "bad line", "bad lines"),
    ):
        if number:
            parts.append(f"{number:,} {one if number == 1 else many or one}")
    return " · ".join([*parts, "nothing was written" if is_dry else elapsed_text(seconds)])


def _row(refused: Refused) -> dict[str, Any]:
    outcome = "conflict" if refused.is_conflict else "bad"
    return {"line": refused.line, "event_id": refused.event_id, "outcome": outcome, "error": refused.error}


def shown_source(source: str) -> str:
    """Return the name of a source for messages."""
    return "standard input" if source == STDIN else source
