"""`prune`: copy old events into an archive, and remove them from the log."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import prune
from craft_easy.core.events.operations.prune import Archive, CollectionArchive, FileArchive, Old, Pruned
from craft_easy.core.events.settings import Settings, Value
from craft_easy.core.events.settings.checks import check_collection
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, params, terminal
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.output.counts import counted, write_counts
from craft_events_cli.output.progress import Progress
from craft_events_cli.output.pruning import Pruner, remarks
from craft_events_cli.output.spans import stamp
from craft_events_cli.terminal import Output

COLLECTION: Final = "collection:"


async def run(
    settings: Settings,
    asking: params.Asking,
    selection: Selection,
    output: Output,
    *,
    older_than: timedelta,
    include_untracked: bool,
    archive: str | None,
) -> ExitCode:
    """Prune the selected events that are older; `archive` is where the copies go, as it was typed."""
    async with opened(settings) as store, AsyncExitStack() as stack:
        kept = None
        if archive is not None:
            kept = await _opened(store, settings, archive, stack, is_dry=asking.dry_run)
        old = Old(_before(await store.now(), older_than), selection, include_untracked=include_untracked)
        terminal.note(f"done before {stamp(old.before)}")
        return await acting.carry_out(PruneAction(store, old, kept, archive, output), asking, settings)


async def _opened(
    store: EventStore, settings: Settings, place: str, stack: AsyncExitStack, *, is_dry: bool
) -> Archive | None:
    if place.startswith(COLLECTION):
        name = place.removeprefix(COLLECTION)
        check_collection(Value(name, "--archive"), settings.database.value)
        try:
            return CollectionArchive(store, name)
        except ValueError as error:
            raise UsageError(f"--archive: {error}", hint="name another collection") from None
    if is_dry:
        return None
    archive = await stack.enter_async_context(FileArchive(Path(place)))
    if archive.cut:
        terminal.note(f"{archive.cut:,} bytes that an interrupted run left half written were cut off {place}")
    return archive


def _before(now: datetime, older_than: timedelta) -> datetime:
    try:
        return now - older_than
    except OverflowError:
        raise UsageError("--older-than: that is before the year 1", hint="try 90d") from None


class PruneAction:
    """Copies and removes old events; `place` is where the copies go, as it was typed."""

    def __init__(self, store: EventStore, old: Old, archive: Archive | None, place: str | None, output: Output) -> None:
        self._store = store
        self._old = old
        self._archive = archive
        self._place = place
        self._output = output

    async def dry_run(self) -> ExitCode:
        found = await self.count()
        write_counts(found.counts, self._output)
        terminal.note(" · ".join([counted(found.counts.events, "event"), *remarks(found), "nothing was written"]))
        return ExitCode.DONE

    async def count(self) -> Pruned:
        progress = Progress("counting")
        try:
            return await prune.count(self._store, self._old, on_counted=progress.advance)
        finally:
            progress.close()

    def question(self, found: Pruned) -> Confirmation | None:
        events = found.counts.events
        if not events:
            return None
        which, notes = f"{counted(events, 'event')} {'is' if events == 1 else 'are'}", tuple(remarks(found))
        if self._place is None:
            return Confirmation(f"{which} removed for good, without a copy.", self._store.name, notes)
        return Confirmation(f"{which} copied to {self._place} and removed.", notes=notes)

    async def act(self, agreed: Pruned | None) -> ExitCode:
        async with Pruner(self._place, self._output) as view:
            if agreed is None:
                view.learn(prune.estimate(self._store, self._old))
            else:
                view.expect(agreed.counts.events)
            pruned = await self._prune_agreed(agreed, view)
        view.write_summary(pruned)
        return ExitCode.DONE if pruned.is_complete else ExitCode.UNFINISHED

    async def _prune_agreed(self, agreed: Pruned | None, view: Pruner) -> Pruned:
        if agreed is not None and not agreed.counts.events:
            return agreed
        return await prune.prune(self._store, self._old, self._archive, on_removed=view.advance)
