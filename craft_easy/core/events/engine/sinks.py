"""The sinks of outcomes: the record of the event, a report, or none."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import DeliveryReport
from craft_easy.core.events.errors import DeliveryOver, StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended, finish
from craft_easy.core.events.model.retry import Outcome, OutcomeKind
from craft_easy.core.events.store.deliveries import PendingChange
from craft_easy.core.events.store.sessions import check, plain_transaction, transaction

if TYPE_CHECKING:
    from craft_easy.core.events.engine.outcomes import OwnedRecord
    from craft_easy.core.events.engine.owner import RecordOwner
    from craft_easy.core.events.engine.shares import Shares
    from craft_easy.core.events.engine.watchdog import RunningHandlers
    from craft_easy.core.events.handlers.context import CurrentDelivery, TransactionProvider
    from craft_easy.core.events.handlers.registry import Handler
    from craft_easy.core.events.model.event import DomainEvent

log: Final = logging.getLogger("craft_easy.core.events")


class Sink(Protocol):
    """Takes the outcomes of one event's deliveries.

    Attributes:
        running_handlers: the handlers that run on this loop.
        transactions: opens the transactions of the deliveries.
        replay_id: the replay that runs them; None outside of a replay.
    """

    running_handlers: RunningHandlers
    transactions: TransactionProvider
    replay_id: str | None

    async def may_start(self, handler: Handler) -> bool:
        """Return whether a delivery of a handler may start now."""

    async def note_running(self, handler: Handler, known_as: str) -> bool:
        """Note which handler of a suspect is about to start, and return whether it may."""

    def end(self, handler_id: str, outcome: Outcome, *, is_last: bool) -> None:
        """Take the outcome of a delivery; no other follows the last one."""

    async def wait_until_stored(self) -> None:
        """Return when all outcomes are stored."""


class PlainTransactions:
    """Opens transactions in which no record takes part."""

    @asynccontextmanager
    async def transaction(self, _: CurrentDelivery, client: Any) -> AsyncIterator[Any]:
        """Give a session; see `CurrentDelivery.transaction`."""
        async with plain_transaction(client) as session:
            yield session


class RecordSink:
    """Writes outcomes into the record that a worker owns; with the last one the record is given back.

    Args:
        record_owner: the worker.
        owned: its record.
        shares: where the deliveries that end give back their share of the slots; None where there are no shares.
    """

    replay_id: str | None = None

    def __init__(self, record_owner: RecordOwner, owned: OwnedRecord, shares: Shares | None = None) -> None:
        self._record_owner = record_owner
        self._owned = owned
        self._shares = shares
        self._ended: set[str] = set()
        self.running_handlers = record_owner.worker.running_handlers
        self.transactions: TransactionProvider = self

    async def may_start(self, handler: Handler) -> bool:
        """Return whether this worker still owns the record, by a lease that has not expired, and no pause holds."""
        worker, owned = self._record_owner.worker, self._owned
        try:
            await worker.ready()
        except StoreUnavailable as error:
            log.warning("the deliveries of event %s are left to a redispatch: %s", owned.key, error.message)
            return False
        if worker.owner != owned.owner:
            return False  # it was taken over: another worker finishes the record
        if worker.pauses.stored and worker.pauses.holds(handler):
            return False
        owned.has_run = True
        return True

    async def note_running(self, handler: Handler, known_as: str) -> bool:
        is_ours = await self.may_start(handler) and await self._record_owner.note_running(self._owned, known_as)
        hooks.kill_point("suspect.noted")
        return is_ours

    def end(self, handler_id: str, outcome: Outcome, *, is_last: bool) -> None:
        self._ended.add(handler_id)
        if self._shares is not None:
            self._shares.end(outcome)
        self._record_owner.end(self._owned, handler_id, outcome, is_last=is_last)

    async def wait_until_stored(self) -> None:
        await self._record_owner.writer.wait_until_stored(self._owned)

    # exactly once: the handler's own writes and its `done` together

    @asynccontextmanager
    async def transaction(self, current: CurrentDelivery, client: Any) -> AsyncIterator[Any]:
        """Give a session for `CurrentDelivery.transaction`."""
        record_owner, owned = self._record_owner, self._owned
        if current.handler_id in self._ended:
            raise DeliveryOver(current.idempotency_key)
        flush = await check(client, record_owner.store, owned.owner)
        async with record_owner.writer.locked(owned):
            async with transaction(client, flush=flush) as session:
                yield session
                after = await record_owner.deliveries.change_within(session, client, self._done(current))
            owned.record.delivery = after

    def _done(self, current: CurrentDelivery) -> PendingChange:
        """Return the change that stores a success, and refuses if the delivery is not pending."""
        owned, handler_id, at = self._owned, current.handler_id, self._record_owner.worker.now()
        running = self.running_handlers.find(current)
        took_ms = 0.0 if running is None else (steady() - running.since) * 1000
        ended = Ended(Outcome(handler_id, OutcomeKind.SUCCEEDED, current.attempt, took_ms), at, handler_id)

        def transition(delivery: Delivery) -> Delivery:
            entry = delivery.handler(handler_id)
            if entry is None or not entry.is_pending:
                raise DeliveryOver(current.idempotency_key)
            return finish(delivery, [ended], owner=owned.owner, key=owned.key, at=at)

        return PendingChange(owned.record, transition)


class UnstoredSink:
    """Drops the outcomes of an event that could not be stored and is handled anyway (`on_error="log"`)."""

    replay_id: str | None = None

    def __init__(self, running_handlers: RunningHandlers) -> None:
        self.running_handlers = running_handlers
        self.transactions: TransactionProvider = PlainTransactions()

    async def may_start(self, _: Handler) -> bool:
        return True

    async def note_running(self, _: Handler, known_as: str) -> bool:
        return True

    def end(self, handler_id: str, outcome: Outcome, *, is_last: bool) -> None:
        """Drop an outcome; an error is already in the log of the process."""

    async def wait_until_stored(self) -> None:
        """Return: nothing is stored."""


class ReportSink:
    """Reports the outcomes of a replay, which change no record.

    Args:
        event: the event that is replayed.
        report: called with each delivery that has ended.
        running_handlers: the handlers that run on this loop.
        replay_id: the replay.
    """

    def __init__(
        self,
        event: DomainEvent,
        report: Callable[[DeliveryReport], object],
        *,
        running_handlers: RunningHandlers,
        replay_id: str,
    ) -> None:
        self.running_handlers = running_handlers
        self.replay_id: str | None = replay_id
        self.transactions: TransactionProvider = PlainTransactions()
        self.has_failed = False
        """True if a delivery has failed."""
        self._event = event
        self._report = report

    async def may_start(self, _: Handler) -> bool:
        return True

    async def note_running(self, _: Handler, known_as: str) -> bool:
        return True

    def end(self, handler_id: str, outcome: Outcome, *, is_last: bool) -> None:
        """Report an outcome, except where the delivery was broken off by a stop."""
        if outcome.kind is OutcomeKind.GIVEN_BACK:
            return
        word = {OutcomeKind.SUCCEEDED: "done", OutcomeKind.DISCARDED: "skipped"}.get(outcome.kind, "failed")
        self.has_failed = self.has_failed or word == "failed"
        event = self._event
        self._report(
            DeliveryReport(
                event_id=event.event_id,
                event_type=event.event_type,
                tenant_id=event.tenant_id,
                handler=handler_id,
                outcome=word,
                attempt=outcome.attempt,
                error=_error_of(outcome),
                due_at=None,
                took_ms=outcome.took_ms,
            )
        )

    async def wait_until_stored(self) -> None:
        """Return: nothing is stored."""


def _error_of(outcome: Outcome) -> str | None:
    if outcome.kind is OutcomeKind.RETRY:
        return "Retry: asks for another attempt, which a replay does not give"
    return None if outcome.error is None else f"{outcome.error.type}: {outcome.error.message}"
