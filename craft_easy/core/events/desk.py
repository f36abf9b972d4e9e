"""A worker at work: the records that it holds, the handlers that it runs over them, the outcomes that it writes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from craft_easy.core.events.context import CurrentDelivery
from craft_easy.core.events.delivery import Ended, give_back
from craft_easy.core.events.dispatch import attempt
from craft_easy.core.events.outcome import Kind, Outcome
from craft_easy.core.events.outcomes import Held, OutcomeWriter
from craft_easy.core.events.registry import Handler
from craft_easy.core.events.store.deliveries import Change, Deliveries, Tracked
from craft_easy.core.events.store.wanted import Wanted
from craft_easy.core.events.store.workers import WorkerRegistry
from craft_easy.core.events.types import DomainEvent
from craft_easy.core.events.worker import DEFAULT_LIMIT, Worker

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore


class Desk:
    """What one event loop needs to own records of a log: a worker and a writer of outcomes.

    Args:
        store: the event log.
        lease: seconds of silence after which others may take over.
    """

    def __init__(self, store: EventStore, *, lease: float) -> None:
        self.registry = WorkerRegistry(store)
        self.deliveries = Deliveries(store)
        self.worker = Worker(self.registry, lease=lease)
        self.writer = OutcomeWriter(self.deliveries, self.worker.now)
        self.has_doubt = False
        """Whether a write may have landed whose reply was lost: then it is time to `reconcile`."""

    @property
    def is_here(self) -> bool:
        """Whether this is the process and the loop that the desk was made for."""
        return self.worker.is_here

    async def claim(self, ids: Sequence[Any], wanted: Wanted) -> list[Held]:
        """Claim records and hold them."""
        owner = await self.worker.ready()
        self.writer.held.update(ids)
        claimed: list[Tracked] = []
        try:
            claimed = await self.deliveries.claim(ids, wanted, owner=owner, at=self.worker.now())
        finally:
            self.writer.held.difference_update(set(ids) - {record.id for record in claimed})
        return [Held(record, owner) for record in claimed]

    async def reconcile(self) -> int:
        """Give back the open records that this worker owns and does not hold; return how many.

        An insert or a claim whose reply was lost may have landed, and a live worker must not sit on what it forgot.
        """
        owner, given_back = self.worker.owner, 0
        async with aclosing(self.deliveries.owned_by([owner])) as pages:
            async for page in pages:
                forgotten = [record for record in page if record.id not in self.writer.held]
                await self._give_back(forgotten, owner)
                given_back += len(forgotten)
        return given_back

    async def _give_back(self, records: Sequence[Tracked], owner: str) -> None:
        at = self.worker.now()
        await self.deliveries.change([Change(one, lambda now: give_back(now, owner, at=at)) for one in records])

    async def aclose(self) -> None:
        """Write what is left and leave the registry."""
        await self.writer.flush()
        await self.worker.stop()


@dataclass(frozen=True, slots=True)
class Due:
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


class Run:
    """Runs the deliveries of one event and hands each outcome to the writer as it comes.

    Args:
        desk: whose record it is.
        held: the record; None when the event could not be stored and runs all the same.
        event: what the handlers get.
        due: the deliveries that are to run; with the last of them the record is given back.
    """

    def __init__(self, desk: Desk, held: Held | None, event: DomainEvent, due: Sequence[Due]) -> None:
        self._desk = desk
        self._held = held
        self._event = event
        self._due = {one.known_as: one for one in due}
        for one in due:
            desk.worker.allow(one.limit)

    async def dispatch(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Await the foreground deliveries in order and start the background ones beside them.

        A caller who is cancelled meanwhile leaves that foreground delivery, and the later ones, pending; background
        ones still start.
        """
        waiting = deque(self._due.values())
        try:
            while waiting:
                due = waiting.popleft()
                if due.handler.background:
                    start(self._one(due))
                else:
                    await self._one(due)
        finally:
            for due in waiting:
                if due.handler.background:
                    start(self._one(due))
                else:
                    self._end(due, _given_back(due))

    async def dispatch_and_wait(self) -> None:
        """Run every delivery to its end; who breaks this off breaks off all of them."""
        beside: set[asyncio.Task[None]] = set()
        try:
            await self.dispatch(lambda one: beside.add(asyncio.create_task(one)))
            if beside:
                await asyncio.wait(beside)
        except asyncio.CancelledError:
            for task in beside:
                task.cancel()
            if beside:
                await asyncio.wait(beside)
            raise
        finally:
            for due in list(self._due.values()):
                self._end(due, _given_back(due))

    async def _one(self, due: Due) -> None:
        """Run one delivery; what breaks it off from outside gives it back and is raised on."""
        outcome = _given_back(due)
        try:
            if await self._may_start():
                current = CurrentDelivery(self._event, due.known_as, due.attempt)
                outcome = await attempt(due.handler, current, timeout=due.limit)
        finally:
            self._end(due, outcome)

    async def _may_start(self) -> bool:
        if self._held is None:
            return True
        if await self._desk.worker.ready() != self._held.owner:
            return False  # taken over: the record is another's to finish
        self._held.has_run = True
        return True

    def _end(self, due: Due, outcome: Outcome) -> None:
        del self._due[due.known_as]
        if self._held is not None and self._desk.is_here:  # what a closed loop left is freed with its worker
            ended = Ended(outcome, self._desk.worker.now(), due.known_as)
            self._desk.writer.add(self._held, ended, is_through=not self._due)


def _given_back(due: Due) -> Outcome:
    return Outcome(due.handler.id, Kind.GIVEN_BACK, due.attempt)
