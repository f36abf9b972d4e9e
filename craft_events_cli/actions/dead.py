"""`dead retry` and `dead discard`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from craft_easy.core.events.clock import steady
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.dead import Choice, Touched
from craft_easy.core.events.operations.handlers import require_in_log
from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, event_ids, params, terminal
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.output.counts import write_counts
from craft_events_cli.output.dead import Acted, amount, missing
from craft_events_cli.terminal import Output

OnStored = Callable[[UnfinishedDelivery], None]


async def retry(
    settings: Settings, asking: params.Asking, where: params.Selecting, named: Choice, output: Output
) -> ExitCode:
    """Give dead deliveries a fresh budget; `named` has the handlers and the events that were named."""
    async with opened(settings) as store:
        choice = await _choice(store, where, named)
        return await acting.carry_out(RetryAction(store, choice, output), asking, settings)


async def discard(
    settings: Settings,
    asking: params.Asking,
    where: params.Selecting,
    named: Choice,
    output: Output,
    *,
    reason: str,
    pending: bool,
) -> ExitCode:
    """Skip dead deliveries; `named` has the handlers and the events that were named."""
    async with opened(settings) as store:
        choice = await _choice(store, where, named)
        action = DiscardAction(store, choice, output, reason=reason, pending=pending)
        return await acting.carry_out(action, asking, settings)


async def _choice(store: EventStore, where: params.Selecting, named: Choice) -> Choice:
    """Return the deliveries that were named, with whole event ids.

    Raises:
        HandlerNotFound: the log has no delivery of a handler that was named.
    """
    await require_in_log(store, named.handlers)
    ids = await event_ids.whole(store, named.event_ids)
    return replace(named, event_ids=ids, selection=where.selection(await store.now()))


class _DeadAction(ABC):
    """Changes the chosen deliveries."""

    outcome: str
    """The outcome of a delivery: "retried" or "skipped"."""
    meant = "dead"
    """The deliveries that the command is about, in words."""
    pending = False

    def __init__(self, store: EventStore, choice: Choice, output: Output) -> None:
        self.store = store
        self._choice = choice
        self._output = output

    @abstractmethod
    async def change(self, choice: Choice, on_stored: OnStored) -> Touched:
        """Change the deliveries of a choice."""

    @abstractmethod
    def sentence(self, found: Touched) -> str:
        """Return the sentence of the question."""

    async def dry_run(self) -> ExitCode:
        found = await self.count()
        write_counts(found.counts, self._output)
        terminal.note(f"{amount(found)} · nothing was written")
        for line in missing(self.meant, found):
            terminal.note(line)
        return _code(found)

    async def count(self) -> Touched:
        return await dead.count(self.store, self._choice, pending=self.pending)

    def question(self, found: Touched) -> Confirmation | None:
        return Confirmation(self.sentence(found)) if found.counts.deliveries else None

    async def act(self, agreed: Touched | None) -> ExitCode:
        view = Acted(self.outcome, self.meant, self._output, None if agreed is None else agreed.counts.deliveries)
        began = steady()
        view.begin()
        try:
            touched = await self.change_agreed(agreed, view.stored)
        finally:
            view.close()
        view.write_summary(touched, steady() - began)
        return _code(touched)

    async def change_agreed(self, agreed: Touched | None, on_stored: OnStored) -> Touched:
        """Change no more deliveries than were agreed to: those that die meanwhile stay."""
        if agreed is None:
            return await self.change(self._choice, on_stored)
        if not agreed.counts.deliveries:
            return agreed
        return await self.change(replace(self._choice, as_of=agreed.last_death), on_stored)


class RetryAction(_DeadAction):
    """Gives dead deliveries a fresh budget."""

    outcome = "retried"

    async def change(self, choice: Choice, on_stored: OnStored) -> Touched:
        return await dead.retry(self.store, choice, on_stored=on_stored)

    def sentence(self, found: Touched) -> str:
        if found.counts.deliveries == 1:
            return f"{amount(found)} gets a fresh budget, by its handler's retry policy."
        return f"{amount(found)} get a fresh budget, by their handlers' retry policies."


class DiscardAction(_DeadAction):
    """Skips dead deliveries; with `pending` those that wait for a handler that is gone too."""

    outcome = "skipped"

    def __init__(self, store: EventStore, choice: Choice, output: Output, *, reason: str, pending: bool) -> None:
        super().__init__(store, choice, output)
        self.meant = "dead or pending" if pending else "dead"
        self.pending = pending
        self._reason = reason

    async def change(self, choice: Choice, on_stored: OnStored) -> Touched:
        return await dead.discard(
            self.store,
            choice,
            reason=self._reason,
            by=acting.operator(),
            pending=self.pending,
            on_stored=on_stored,
        )

    def sentence(self, found: Touched) -> str:
        return f"{amount(found)} {'is' if found.counts.deliveries == 1 else 'are'} skipped and never delivered."


def _code(touched: Touched) -> ExitCode:
    return ExitCode.DONE if touched.is_complete else ExitCode.UNFINISHED
