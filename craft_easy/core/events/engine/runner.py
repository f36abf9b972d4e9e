"""Running the deliveries of one record, and handing each outcome to the writer as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import DEFAULT_LIMIT
from craft_easy.core.events.engine.watchdog import RunningHandler
from craft_easy.core.events.errors import DeliveryOver, StoreUnavailable
from craft_easy.core.events.handlers.attempt import attempt, extra_of
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.model.delivery import Delivery, Ended, finish
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import DEFAULT_RETRY, ErrorText, Outcome, OutcomeKind
from craft_easy.core.events.store.deliveries import PendingChange
from craft_easy.core.events.store.sessions import check, plain_transaction, transaction

if TYPE_CHECKING:
    from craft_easy.core.events.engine.outcomes import OwnedRecord
    from craft_easy.core.events.engine.owner import RecordOwner

log: Final = logging.getLogger("craft_easy.core.events")

CANCELLED_S: Final = 1.0
"""Seconds that a handler gets to end after it was cancelled; one that swallows it is abandoned by a redispatch."""
LEAVING_S: Final = 5.0
"""Seconds that a `KeyboardInterrupt` waits at most for what it broke off to be given back."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that is about to run.

    Args:
        handler: as it is registered now.
        known_as: the id under which the record names it; another one after a rename.
        attempt: the number of this run, the first is 1.
        limit: seconds it may take.
    """

    handler: Handler
    known_as: str
    attempt: int = 1
    limit: float = DEFAULT_LIMIT

    @property
    def code(self) -> CodeType | None:
        """What its frames on a stack are known by."""
        return getattr(self.handler.function, "__code__", None)


class RecordRun:
    """Runs the deliveries of one event; with the last of them the record is given back.

    Args:
        desk: whose record it is.
        held: the record; None when the event could not be stored and runs all the same.
        event: what the handlers get.
        due: the deliveries that are to run.
    """

    def __init__(
        self, record_owner: RecordOwner, held: OwnedRecord | None, event: DomainEvent, due: Sequence[DueDelivery]
    ) -> None:
        self._record_owner = record_owner
        self._held = held
        self._event = event
        self._due = {one.known_as: one for one in due}
        self._waiting = deque(due)
        self._began: dict[str, float] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._turn = 0
        self.is_alone = False
        """Whether it is a suspect, run by `dispatch_alone`."""
        self.is_broken_off: Callable[[], bool] = lambda: True
        """Asked when a task of it is cancelled: whether that came from outside, and not from the handler itself."""

    @property
    def is_over(self) -> bool:
        """Whether every delivery has ended."""
        return not self._due

    async def dispatch(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Await the foreground deliveries in order and start the background ones beside them.

        A caller who is cancelled meanwhile leaves that foreground delivery, and the later ones, pending; background
        ones still start.
        """
        turn = self._turn
        try:
            while self._waiting and turn == self._turn:
                due = self._waiting.popleft()
                if due.handler.background:
                    start(self._one(due))
                else:
                    await self._one(due)
        finally:
            while self._waiting and turn == self._turn:
                due = self._waiting.popleft()
                if due.handler.background:
                    start(self._one(due))
                else:
                    self._end(due, _given_back(due))

    async def dispatch_and_wait(self) -> None:
        """Run every delivery to its end; who breaks this off breaks off all of them."""
        turn = self._turn
        try:
            await self.dispatch(self._start_beside)
            while self._beside and turn == self._turn:
                await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in self._beside:
                task.cancel()
            if self._beside:
                await asyncio.wait(self._beside)
            raise
        finally:
            if turn == self._turn:
                for due in list(self._due.values()):
                    self._end(due, _given_back(due))

    async def dispatch_alone(self) -> None:
        """Run the deliveries of a suspect: one at a time, each noted in the record before it starts."""
        turn = self._turn
        try:
            while self._waiting and turn == self._turn:
                due = self._waiting.popleft()
                if await self._note(due):
                    await self._one(due)
                    await self._record_owner.settle(self._held)
                else:
                    self._end(due, _given_back(due))
        finally:
            if turn == self._turn:
                for due in list(self._due.values()):
                    self._end(due, _given_back(due))

    def abandon_what_is_late(self, now: float) -> bool:
        """Give up the deliveries that went on after they were cancelled at their limit; tell whether there were any.

        What they still come to is of no account. The caller dispatches what is left.

        Args:
            now: seconds of `clock.steady`.
        """
        late = [
            due
            for name, began in self._began.items()
            if (due := self._due.get(name)) is not None and now - began > due.limit + CANCELLED_S
        ]
        for due in late:
            self._abandon(due, (now - self._began[due.known_as]) * 1000)
        if late:
            self._turn += 1
        if late and self.is_alone:
            # what is abandoned may still end its process, and whatever were noted then would be charged
            self._waiting.clear()
            for due in list(self._due.values()):
                self._end(due, _given_back(due))
        return bool(late)

    def _abandon(self, due: DueDelivery, took_ms: float) -> None:
        handler, event = due.handler, self._event
        text = "handler %r is abandoned on %r %s: it went on after it was cancelled at its limit of %g s"
        log.error(text, handler.id, event.event_type, event.event_id, due.limit, extra=extra_of(handler, event))
        error = ErrorText("TimeoutError", f"ran past its limit of {due.limit:g} s, and went on after that")
        outcome = Outcome(
            handler.id, OutcomeKind.FAILED, due.attempt, took_ms, error, retry=handler.retry or DEFAULT_RETRY
        )
        self._end(due, outcome)

    def _start_beside(self, one: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(one)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _note(self, due: DueDelivery) -> bool:
        if self._held is None or not await self._may_start():
            return False
        is_ours = await self._record_owner.note_running(self._held, due.known_as)
        hooks.kill_point("suspect.noted")
        return is_ours

    async def _one(self, due: DueDelivery) -> None:
        """Run one delivery; what breaks it off from outside gives it back and is raised on."""
        outcome = _given_back(due)
        running_handlers = self._record_owner.worker.running_handlers
        try:
            if await self._may_start():
                current = CurrentDelivery(self._event, due.known_as, due.attempt, keeper=self)
                self._began[due.known_as] = steady()
                try:
                    with running_handlers.including(current, RunningHandler(due.handler.id, due.code, due.limit)):
                        hooks.kill_point("handler.running")
                        outcome = await attempt(due.handler, current, timeout=due.limit)
                        hooks.kill_point("handler.returned")
                except asyncio.CancelledError:
                    if self.is_broken_off():
                        raise
                    outcome = self._cancelled_by_itself(due)
        except KeyboardInterrupt:
            await self._leave(due)
            raise
        finally:
            if self._due.get(due.known_as) is due:
                self._end(due, outcome)

    def _cancelled_by_itself(self, due: DueDelivery) -> Outcome:
        """Return the outcome of a handler that cancelled the task that it runs in, and go on with that task."""
        task, handler, event = asyncio.current_task(), due.handler, self._event
        while task is not None and task.cancelling():
            task.uncancel()
        text = "handler %r cancelled the task that it runs in on %r %s"
        log.error(text, handler.id, event.event_type, event.event_id, extra=extra_of(handler, event))
        took_ms = (steady() - self._began[due.known_as]) * 1000
        error = ErrorText("CancelledError", "cancelled the task that it runs in")
        return Outcome(
            handler.id, OutcomeKind.FAILED, due.attempt, took_ms, error, retry=handler.retry or DEFAULT_RETRY
        )

    async def _leave(self, due: DueDelivery) -> None:
        """Give back a delivery, and those that have not begun, and have that stored: what follows ends the loop."""
        for one in (due, *self._waiting):
            if self._due.get(one.known_as) is one:
                self._end(one, _given_back(one))
        self._waiting.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await self._record_owner.settle(self._held)

    async def _may_start(self) -> bool:
        if self._held is None:
            return True
        worker = self._record_owner.worker
        try:
            await worker.ready()
        except StoreUnavailable as error:
            text = "deliveries of event %s are left to a redispatch: %s"
            log.warning(text, self._event.event_id, error.message)
            return False
        if worker.owner != self._held.owner:
            return False  # taken over: the record is another's to finish
        self._held.has_run = True
        return True

    def _end(self, due: DueDelivery, outcome: Outcome) -> None:
        del self._due[due.known_as]
        if self._held is not None and self._record_owner.is_current:  # what a closed loop left is freed with its worker
            ended = Ended(outcome, self._record_owner.worker.now(), due.known_as)
            self._record_owner.writer.add(self._held, ended, is_through=not self._due)

    # exactly once: the handler's own writes and its `done` together

    @asynccontextmanager
    async def transaction(self, current: CurrentDelivery, client: Any) -> AsyncIterator[Any]:
        """Give a session for `CurrentDelivery.transaction`."""
        held, due = self._held, self._due.get(current.handler_id)
        if held is None or current.is_replay:
            async with plain_transaction(client) as session:
                yield session
            return
        if due is None:
            raise DeliveryOver(current.idempotency_key)
        flush = await check(client, self._record_owner.store, held.owner)
        async with self._record_owner.writer.exclusive(held):
            async with transaction(client, flush=flush) as session:
                yield session
                after = await self._record_owner.deliveries.change_within(session, client, self._done(held, due))
            held.record.delivery = after

    def _done(self, held: OwnedRecord, due: DueDelivery) -> PendingChange:
        """Return the change that stores a success, and refuses where the delivery is pending no more."""
        took_ms = (steady() - self._began[due.known_as]) * 1000
        at = self._record_owner.worker.now()
        ended = Ended(Outcome(due.handler.id, OutcomeKind.SUCCEEDED, due.attempt, took_ms), at, due.known_as)

        def transition(delivery: Delivery) -> Delivery:
            entry = delivery.handler(due.known_as)
            if entry is None or not entry.is_pending:
                raise DeliveryOver(f"{held.key}:{due.known_as}")
            return finish(delivery, [ended], owner=held.owner, key=held.key, at=at)

        return PendingChange(held.record, transition)


def _given_back(due: DueDelivery) -> Outcome:
    return Outcome(due.handler.id, OutcomeKind.GIVEN_BACK, due.attempt)
