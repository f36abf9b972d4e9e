"""`import`: read events from NDJSON into the log."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path

from craft_easy.core.events.operations.import_ import Imported, import_events
from craft_easy.core.events.operations.intake import count_lines
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, params
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.output.counts import counted, write_counts
from craft_events_cli.output.importing import ImportView, Rejects, shown_source
from craft_events_cli.terminal import Output


async def run(
    settings: Settings,
    asking: params.Asking,
    source: str,
    output: Output,
    *,
    with_delivery: bool,
    rejects: Path | None,
) -> ExitCode:
    """Read the events of a file, or of stdin, into the log; `rejects` is where rejected lines go."""
    async with opened(settings, if_missing=IfMissing.BEGIN) as store:
        action = ImportAction(store, source, output, with_delivery=with_delivery, rejects=rejects)
        return await acting.carry_out(action, asking, settings)


class ImportAction:
    """Reads events from a source into the log; it counts lines, None if their number is not known."""

    def __init__(
        self, store: EventStore, source: str, output: Output, *, with_delivery: bool, rejects: Path | None
    ) -> None:
        self._store = store
        self._source = source
        self._output = output
        self._with_delivery = with_delivery
        self._rejects = rejects

    async def dry_run(self) -> ExitCode:
        return await self._import(None, is_dry=True)

    async def count(self) -> int | None:
        return await count_lines(self._source)

    def question(self, found: int | None) -> Confirmation | None:
        lines = "the lines" if found is None else counted(found, "line")
        return Confirmation(f"{lines} of {shown_source(self._source)} {'is' if found == 1 else 'are'} imported.")

    async def act(self, agreed: int | None) -> ExitCode:
        return await self._import(agreed)

    async def _import(self, total: int | None, *, is_dry: bool = False) -> ExitCode:
        with nullcontext() if self._rejects is None else closing(Rejects(self._rejects)) as rejects:
            view = ImportView(self._source, self._output, rejects=rejects, total=total, is_dry=is_dry)
            with view:
                imported = await self._read(view, is_dry=is_dry)
            if is_dry:
                write_counts(imported.counts, self._output)
            view.write_summary(imported, with_delivery=self._with_delivery)
        return ExitCode.DONE if imported.is_clean else ExitCode.UNFINISHED

    async def _read(self, view: ImportView, *, is_dry: bool) -> Imported:
        return await import_events(
            self._store, self._source, with_delivery=self._with_delivery, dry_run=is_dry, observer=view.observe
        )
