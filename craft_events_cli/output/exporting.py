"""The progress and summary of an export."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost
from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.operations.export import ExportBegan, ExportBlock, Exported, ExportNotice
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted
from craft_events_cli.output.progress import SHOWN_AFTER, Progress
from craft_events_cli.output.spans import elapsed_text

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.store import EventStore

MOST_NAMED: Final = 3


class ExportView:
    """Follows one export; everything goes to stderr.

    Args:
        store: the log, for counting the events.
        is_quiet: show no progress, because the lines themselves go to the terminal.
    """

    def __init__(self, store: EventStore, *, is_quiet: bool) -> None:
        self._store = store
        self._progress = Progress("exporting", is_quiet=is_quiet)
        self._counting: asyncio.Task[None] | None = None
        self._began = steady()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._progress.close()
        if self._counting is not None:
            self._counting.cancel()
            with suppress(asyncio.CancelledError):
                await self._counting

    @property
    def seconds(self) -> float:
        """The time since the start, in seconds."""
        return steady() - self._began

    def observe(self, notice: ExportNotice) -> None:
        """Show a notice of the export."""
        match notice:
            case ExportBegan(selection):
                if self._progress.is_shown:
                    self._counting = asyncio.create_task(self._count(selection))
            case ExportBlock():
                self._progress.advance(notice.events)
            case ConnectionLost(reason):
                self._progress.note(f"connection lost, trying again … ({reason})")

    async def _count(self, selection: Selection) -> None:
        await asyncio.sleep(SHOWN_AFTER)  # most exports have ended before this
        with suppress(StoreError):
            self._progress.total = await self._store.count(selection)


def write_lines(block: ExportBlock) -> None:
    """Write lines to stdout, directly to its buffer if it has one."""
    stream = terminal.stdout()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(block.data.decode("ascii"))
    else:
        buffer.write(block.data)
    terminal.flush()


def write_summary(exported: Exported, seconds: float, file: Path | None) -> None:
    """Write the summary and the suggested next command to stderr."""
    for line in _lines(exported, seconds, file):
        terminal.note(line)


def _lines(exported: Exported, seconds: float, file: Path | None) -> Iterable[str]:
    if exported.ambiguous:
        number, named = exported.ambiguous, ", ".join(exported.ambiguous_ids[:MOST_NAMED])
        more = f" and {number - MOST_NAMED:,} more" if number > MOST_NAMED else ""
        yield (
            f"{counted(number, 'event')} cannot be exported exactly: an object in the payload looks like a type "
            f"of Extended JSON ({named}{more})"
        )
    if not exported.events and not exported.before:
        yield "no events in this selection"
        return
    parts = [counted(exported.events, "event")]
    if exported.before:
        parts.append(f"{exported.before + exported.events:,} with those of earlier runs")
    parts.append(elapsed_text(seconds))
    yield " · ".join(parts)
    if file is not None:
        check = next_step.command("import", str(file), "--dry-run")
        yield f"written to {file} · what an import would do: {check}"
