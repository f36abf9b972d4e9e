"""`redact`: remove payloads on request."""

from __future__ import annotations

from collections.abc import Sequence

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import redact
from craft_easy.core.events.operations.redact import Redacted
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, params, terminal
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.output.counts import counted, write_counts
from craft_events_cli.output.pruning import Redactor
from craft_events_cli.terminal import Output

WARNING = (
    "this is the one command that changes the content of stored events, and nothing brings it back",
    "archives, exports and backups keep what they have, and so do copies that handlers made",
)


async def run(
    settings: Settings, asking: params.Asking, where: params.Selecting, output: Output, *, reason: str | None
) -> ExitCode:
    """Remove the payloads of the selected events."""
    async with opened(settings) as store:
        selection = where.selection(await store.now())
        return await acting.carry_out(RedactAction(store, selection, output, reason=reason), asking, settings)


class RedactAction:
    """Removes the payloads of the selected events."""

    def __init__(self, store: EventStore, selection: Selection, output: Output, *, reason: str | None) -> None:
        self._store = store
        self._selection = selection
        self._output = output
        self._reason = reason

    async def dry_run(self) -> ExitCode:
        found = await self.count()
        write_counts(found.counts, self._output)
        skipped = counted(found.counts.deliveries, "pending or dead delivery", "pending or dead deliveries")
        terminal.note(f"{counted(found.counts.events, 'payload')} · {skipped} · nothing was written")
        return ExitCode.DONE

    async def count(self) -> Redacted:
        return await redact.count(self._store, self._selection)

    def question(self, found: Redacted) -> Confirmation | None:
        events, deliveries = found.counts.events, found.counts.deliveries
        if not events:
            return None
        lose = "loses its payload" if events == 1 else "lose their payload"
        are = "is" if deliveries == 1 else "are"
        skipped = f", {counted(deliveries, 'unfinished delivery', 'unfinished deliveries')} {are} skipped"
        text = f"{counted(events, 'event')} {lose}{skipped if deliveries else ''}."
        return Confirmation(text, word_for([*self._selection.tenants, *self._selection.actors]), WARNING)

    async def act(self, agreed: Redacted | None) -> ExitCode:
        async with Redactor(self._selection.tenants, self._selection.actors, self._output) as view:
            view.expect(None if agreed is None else agreed.counts.events)
            redacted = await self._redact_agreed(agreed, view)
        view.write_summary(redacted)
        return ExitCode.DONE if redacted.is_complete else ExitCode.UNFINISHED

    async def _redact_agreed(self, agreed: Redacted | None, view: Redactor) -> Redacted:
        if agreed is not None and not agreed.counts.events:
            return agreed
        return await redact.redact(
            self._store, self._selection, by=acting.operator(), reason=self._reason, on_redacted=view.advance
        )


def word_for(names: Sequence[str]) -> str:
    """Return the word to type: the one name that was given, if a keyboard has its letters."""
    is_plain = len(names) == 1 and names[0].isascii() and names[0].isprintable() and names[0] == names[0].strip()
    return names[0] if is_plain and names[0] else "redact"
