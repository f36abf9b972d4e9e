"""Redispatch: deliver what was never finished.

take over   free the records of workers that are gone
claim       make unowned records one's own, in batches
dispatch    run the handlers that are not done
wait        for the living, until each has beaten, has let go, or is taken over
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from craft_easy.core.events.backlog import Backlog, Options, wanted
from craft_easy.core.events.clock import steady
from craft_easy.core.events.delivery import Delivery, Ended
from craft_easy.core.events.desk import Due, Run
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.outcome import Kind
from craft_easy.core.events.outcomes import Held
from craft_easy.core.events.selection import Selection
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.takeover import TakeOver
from craft_easy.core.events.types import DomainEvent

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.store.workers import WorkerEntry

log: Final = logging.getLogger("craft_easy.core.events")

BATCH: Final = 100
"""Records that one claim takes at most: few enough for a server that is slow at long lists of ids."""
UNWRITTEN: Final = 2 * BATCH
"""Records that may wait for their outcomes to be written before the next claim waits for them."""
POLLS_A_LEASE: Final = 10
LONGEST_POLL: Final = 1.0
WRITING_S: Final = 60.0
"""Seconds that the last outcomes get to be written."""
CANCELLED_S: Final = 1.0
"""Seconds that a handler gets to end after it was cancelled; one that swallows it is abandoned."""


@dataclass(slots=True)
class Summary:
    """What one run came to: the first four, and `taken_over`, count events, the rest deliveries.

    `owned` are still with a living worker, `lost` were claimed and then taken over by another, `orphaned` are pending
    for a handler that is not loaded.
    """

    claimed: int = 0
    held: int = 0
    owned: int = 0
    lost: int = 0
    done: int = 0
    failed: int = 0
    dead: int = 0
    skipped: int = 0
    orphaned: int = 0
    orphaned_handlers: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    taken_over: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, died or lacked its handler."""
        return not (self.failed or self.dead or self.orphaned)


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery of this run, as it is stored: `outcome` is done, failed, dead, skipped or lost."""

    event_id: str
    event_type: str
    tenant_id: str | None
    handler: str
    outcome: str
    attempt: int
    error: str | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records that a worker owns; it is taken over in `left` seconds unless it beats."""

    worker: WorkerEntry
    events: int
    left: float


class Observer:
    """Is told how a run goes; does nothing by itself."""

    def began(self, events: int) -> None:
        """So many events may be claimed now."""

    def reported(self, report: Report) -> None:
        """A delivery's outcome is stored."""

    def ended(self) -> None:
        """All deliveries of one event have ended."""

    def waits(self, waiting: Sequence[Waiting]) -> None:
        """Nothing else is left to do but to wait for these."""


async def redispatch(
    bus: EventBus,
    selection: Selection,
    options: Options | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
) -> Summary:
    """Deliver every unprocessed event of a selection through the handlers of a bus.

    The bus has a store. Each record runs at most once in a run, whatever its back-off. Setting `stop` ends the run:
    nothing more is claimed, what runs gets `options.grace`, the rest is given back without an attempt.

    Raises:
        HandlerNotFound: `options.handlers` names one that is not loaded.
        StoreUnavailable: the log was not reached; what was claimed is freed when the lease ends.
    """
    run = Redispatch(bus, selection, options or Options(), observer or Observer())
    return await run.run(stop or asyncio.Event())


class Redispatch:
    """One run of `redispatch`."""

    def __init__(self, bus: EventBus, selection: Selection, options: Options, observer: Observer) -> None:
        self._bus = bus
        self._desk = bus.tracking.desk()
        self._limit = selection.limit
        self._options = options
        self._observer = observer
        self._summary = Summary()
        self._take_over = TakeOver(self._desk)
        self._wanted = wanted(bus.registry, selection, options)
        self._handlers = {name: bus.registry.handler(name) for name in self._wanted.handlers}
        self._slots = asyncio.Semaphore(options.concurrency)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> Summary:
        """Go through rounds until nothing is left or `stop` is set; return what came of it."""
        began = steady()
        await self._begin()
        rounds = asyncio.create_task(self._rounds())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([rounds, stopped], return_when=asyncio.FIRST_COMPLETED)
            if rounds.done():
                rounds.result()
        finally:
            stopped.cancel()
            await self._end(rounds)
        await self._count_what_is_left()
        self._summary.elapsed_s = round(steady() - began, 3)
        return self._summary

    async def _begin(self) -> None:
        await self._desk.worker.ready()
        self._wanted = replace(self._wanted, began_at=await self._bus.tracking.store.now())
        events = await self._desk.deliveries.count(self._wanted)
        if self._options.include_untracked or self._options.include_unhandled:
            room = None if self._limit is None else self._limit - events
            events += await Backlog(self._bus, self._wanted, self._options).begin_to_track(room)
        self._observer.began(events)

    async def _rounds(self) -> None:
        await self._one_round()
        while self._options.wait and (owners := await self._awaited()):
            await self._pause(owners)
            await self._one_round()

    async def _one_round(self) -> None:
        self._summary.taken_over += await self._take_over.once()
        if self._room > 0:
            async with aclosing(self._desk.deliveries.unowned(self._wanted, size=BATCH)) as pages:
                async for ids in pages:
                    await self._claim(ids[: self._room])
                    if self._room <= 0:
                        break
        if self._running:
            await asyncio.wait(self._running)

    @property
    def _room(self) -> int:
        return BATCH if self._limit is None else self._limit - self._summary.claimed

    async def _claim(self, ids: Sequence[object]) -> None:
        await self._desk.writer.below(UNWRITTEN)
        claimed = await self._desk.claim(ids, self._wanted)
        self._summary.claimed += len(claimed)
        waiting = deque(claimed)
        try:
            while waiting:
                await self._slots.acquire()
                self._start(waiting.popleft())
        finally:
            for held in waiting:
                self._desk.writer.add(held, is_through=True)

    def _start(self, held: Held) -> None:
        held.on_stored = self._reporter(held.record)
        task = asyncio.create_task(self._deliver(held))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()
        self._observer.ended()

    async def _deliver(self, held: Held) -> None:
        event = DomainEvent.from_record(held.record.document)
        due = self._due(held.record.delivery)
        if due:
            await Run(self._desk, held, event, due).dispatch_and_wait()
        else:
            self._desk.writer.add(held, is_through=True)

    def _due(self, delivery: Delivery) -> list[Due]:
        """Return the deliveries of a record that are not done and have their handler here."""
        due = []
        for entry in delivery.pending:
            handler = self._handlers.get(entry.id)
            if handler is not None:
                limit = handler.timeout or self._options.timeout
                due.append(Due(handler, entry.id, entry.attempts + 1, limit))
        return due

    # wait

    async def _awaited(self) -> dict[str, int]:
        """Return the owners of selected records, and how many each owns, that have not beaten since the run began."""
        if self._room <= 0:
            return {}
        owners = await self._others()
        entries = await self._take_over.look() if owners else {}
        return {owner: events for owner, events in owners.items() if not self._has_beaten(entries.get(owner))}

    async def _others(self) -> dict[str, int]:
        owners = await self._desk.deliveries.owners(self._wanted)
        owners.pop(self._desk.worker.owner, None)
        return owners

    def _has_beaten(self, entry: WorkerEntry | None) -> bool:
        began_at = self._wanted.began_at
        return entry is not None and not entry.fenced and began_at is not None and entry.beat_at > began_at

    async def _pause(self, owners: Mapping[str, int]) -> None:
        """Wait a little for the living; who is gone is taken over by the next round, at once."""
        entries = await self._take_over.look()
        living = [entries[owner] for owner in owners if owner in entries and not entries[owner].fenced]
        if len(living) == len(owners):
            waiting = [Waiting(entry, owners[entry.owner], self._take_over.left(entry)) for entry in living]
            self._observer.waits(waiting)
            await asyncio.sleep(min(LONGEST_POLL, *(entry.lease / POLLS_A_LEASE for entry in living)))

    # end

    async def _end(self, rounds: asyncio.Task[None]) -> None:
        """Let what runs come to its end, for as long as the grace allows; write outcomes; own nothing any more."""
        rounds.cancel()
        await asyncio.wait([rounds])
        if self._running:
            await asyncio.wait(self._running, timeout=self._options.grace)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCELLED_S)
        try:
            await self._bus.drain(timeout=max(self._options.grace, WRITING_S))
            await self._desk.reconcile()
        except (TimeoutError, StoreUnavailable) as error:
            log.warning("what was left is freed when the lease ends: %s", error)

    async def _count_what_is_left(self) -> None:
        self._summary.owned = sum((await self._others()).values())
        orphans = await self._desk.deliveries.orphans(self._wanted)
        self._summary.orphaned = sum(orphans.values())
        self._summary.orphaned_handlers = sorted(orphans)

    # report

    def _reporter(self, record: Tracked) -> Callable[[Ended, Delivery], None]:
        """Return what counts and reports the outcomes of a record, once they are stored."""
        is_lost = False

        def report(ended: Ended, delivery: Delivery) -> None:
            nonlocal is_lost
            outcome = outcome_of(ended, delivery)
            if outcome is None:
                return
            if outcome == "lost":
                self._summary.lost += not is_lost
                is_lost = True
            else:
                setattr(self._summary, outcome, getattr(self._summary, outcome) + 1)
            self._observer.reported(_report(record, ended, delivery, outcome))

        return report


def outcome_of(ended: Ended, delivery: Delivery) -> Literal["done", "failed", "dead", "skipped", "lost"] | None:
    """Return what became of an attempt in the log; None when it was given back without one."""
    outcome, entry = ended.outcome, delivery.handler(ended.handler_id)
    if outcome.kind is Kind.GIVEN_BACK:
        return None
    if entry is None or entry.attempts < outcome.attempt:
        return "lost"
    if entry.state == "pending":
        return "failed"
    return entry.state


def _report(record: Tracked, ended: Ended, delivery: Delivery, outcome: str) -> Report:
    entry = delivery.handler(ended.handler_id)
    error = ended.outcome.error
    return Report(
        event_id=str(record.document.get("event_id")),
        event_type=str(record.document.get("event_type")),
        tenant_id=record.document.get("tenant_id"),
        handler=ended.handler_id,
        outcome=outcome,
        attempt=ended.outcome.attempt,
        error=None if error is None else f"{error.type}: {error.message}",
        due_at=None if entry is None else entry.due_at,
    )
