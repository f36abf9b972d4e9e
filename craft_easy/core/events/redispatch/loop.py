"""Redispatch: deliver what was never finished.

take over   free the records of workers that are gone
claim       make unowned records one's own, in batches
dispatch    run the handlers that are not done
wait        for the living, until each has beaten, has let go, or is taken over
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.owner import WRITING_S
from craft_easy.core.events.engine.pool import RunnerPool
from craft_easy.core.events.engine.report import (
    AwaitedWorker,
    Began,
    ConnectionLost,
    ConnectionResumed,
    DeliveryReport,
    EventEnded,
    Observer,
    RedispatchSummary,
    WaitingFor,
    ignore,
    outcome_of,
)
from craft_easy.core.events.engine.runner import DueDelivery
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch.backlog import Backlog, RedispatchOptions, wanted
from craft_easy.core.events.store.deliveries import Listed, Tracked

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.store.filters import ClaimFilter
    from craft_easy.core.events.store.registry import WorkerEntry

__all__ = [
    "Redispatch",
    "RedispatchOptions",
    "RedispatchSummary",
    "redispatch",
]

log: Final = logging.getLogger("craft_easy.core.events")

ALONE_AFTER: Final = 2
"""A record that was taken over so often runs alone: one of its handlers may be what kills its process."""
BATCH: Final = 100
"""Records that one claim takes at most: few enough for a server that is slow at long lists of ids."""
UNWRITTEN: Final = 2 * BATCH
"""Records that may wait for their outcomes to be written before the next claim waits for them."""
MOST_ALONE: Final = 10_000
"""So many records that are to run alone are remembered in one round, the others come in the next."""
FARTHEST: Final = 64
"""Batches that a worker passes over at most when it meets another at its place in the backlog."""
POLLS_A_LEASE: Final = 10
LONGEST_POLL: Final = 1.0
BEHIND_S: Final = 1.0
"""Seconds that a run waits at most until the database's clock is surely past every earlier claim."""
OUTAGE_S: Final = 60.0
"""Seconds for which a run that has an end goes on without its log."""


async def redispatch(
    bus: EventBus,
    selection: Selection,
    options: RedispatchOptions | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
) -> RedispatchSummary:
    """Deliver every unprocessed event of a selection through the handlers of a bus.

    The bus has a store. Each record runs at most once in a run, whatever its back-off, unless the options say
    otherwise. Setting `stop` ends the run: nothing more is claimed, what runs gets `options.grace`, the rest is given
    back without an attempt.

    Raises:
        HandlerNotFound: `options.handlers` names one that is not loaded.
        StoreUnavailable: the log was not reached; what was claimed is freed when the lease ends.
    """
    run = Redispatch(bus, selection, options or RedispatchOptions(), observer or ignore)
    return await run.run(stop or asyncio.Event())


@asynccontextmanager
async def redispatching(
    bus: EventBus,
    selection: Selection | None = None,
    options: RedispatchOptions | None = None,
    *,
    observer: Observer | None = None,
) -> AsyncIterator[None]:
    """Redispatch beside an application for as long as the block runs, as `--watch` does.

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with EventStore() as store, get_event_bus() as bus:
                bus.configure_store(store)
                async with redispatching(bus):
                    yield

    An outage of the log does not end it. The end of the block stops it as a signal stops the command.

    Args:
        bus: has a store.
        selection: all events when None.
        options: `watch` is set whatever they say.
        observer: called with each notice.
    """
    run = Redispatch(
        bus, selection or Selection(), replace(options or RedispatchOptions(), watch=True), observer or ignore
    )
    stop = asyncio.Event()
    running = asyncio.create_task(run.run(stop), name="redispatch")
    running.add_done_callback(_say_why_it_ended)
    try:
        yield
    finally:
        stop.set()
        with suppress(Exception):  # it was said already
            await running


def _say_why_it_ended(task: asyncio.Task[RedispatchSummary]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the redispatch beside the application has ended", exc_info=error)


class Redispatch:
    """One run of `redispatch`."""

    def __init__(self, bus: EventBus, selection: Selection, options: RedispatchOptions, observer: Observer) -> None:
        self._bus = bus
        self._record_owner = bus.tracking.record_owner()
        self._limit = selection.limit
        self._options = options
        self._observer = observer
        self._summary = RedispatchSummary()
        self._take_over = TakeOver(self._record_owner)
        self._wanted = wanted(bus.registry, selection, options)
        self._handlers = {name: bus.registry.handler(name) for name in self._wanted.handlers}
        self._crew = RunnerPool(self._record_owner, options.concurrency, self._due, lambda: observer(EventEnded()))
        self._crowd = 0
        self._reached_at = steady()

    async def run(self, stop: asyncio.Event) -> RedispatchSummary:
        """Go through rounds until nothing is left or `stop` is set; return what came of it."""
        began = steady()
        rounds = asyncio.create_task(self._begin_and_go_round())
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

    async def _begin_and_go_round(self) -> None:
        await self._reaching(self._begin)
        if self._options.watch:
            while True:
                await self._reaching(self._one_round)
                await asyncio.sleep(random.uniform(0.5, 1) * LONGEST_POLL)
        await self._reaching(self._rounds)

    async def _begin(self) -> None:
        worker = self._record_owner.worker
        await worker.ready()
        if not self._options.watch:
            self._wanted = replace(self._wanted, began_at=await self._beginning(worker))
        self._wanted = self._at_this_time()
        await self._record_owner.registry.forget(at=worker.now())
        events = await self._record_owner.deliveries.count(self._wanted)
        if self._options.include_untracked or self._options.include_unhandled:
            room = None if self._limit is None else self._limit - events
            events += await Backlog(self._bus, self._wanted, self._options).begin_to_track(room)
        self._observer(Began(events))

    async def _beginning(self, worker: Worker) -> datetime:
        """Return a time that is later than every claim before this run, and not later than any of its own.

        After a failover to a server whose clock is behind, the worker's time stands still until that has caught up: the
        run does not wait for it, and leaves what was claimed last to the next one.
        """
        began_at, hang_limit = worker.not_before(), steady() + BEHIND_S
        while worker.now() < began_at and steady() < hang_limit:  # noqa: ASYNC110 - a clock sets no event
            await asyncio.sleep(0.001)
        return min(began_at, worker.now())

    async def _reaching(self, step: Callable[[], Any]) -> None:
        """Take a step, and again where the log was not reached, until it was silent for too long."""
        is_lost = False
        while True:
            try:
                await step()
            except StoreUnavailable as error:
                if not self._options.watch and steady() - self._reached_at > OUTAGE_S:
                    raise
                if not is_lost:
                    self._observer(ConnectionLost(error.message))
                is_lost = True
                await asyncio.sleep(LONGEST_POLL)
            else:
                if is_lost:
                    self._observer(ConnectionResumed(steady() - self._reached_at))
                self._reached_at = steady()
                return

    async def _rounds(self) -> None:
        await self._until_nothing_is_left()
        while self._options.wait and (owners := await self._awaited()):
            await self._pause(owners)
            await self._until_nothing_is_left()

    async def _until_nothing_is_left(self) -> None:
        """Go round until a round finds nothing, with nothing under way that could be given back."""
        while await self._one_round() or await self._came_back():
            self._reached_at = steady()

    async def _came_back(self) -> bool:
        """Tell whether something may be claimed after all: what was to be written, or what a lost reply hid."""
        is_pending = self._record_owner.writer.is_busy
        await self._record_owner.writer.flush()
        return (self._record_owner.is_uncertain and bool(await self._record_owner.reconcile())) or is_pending

    async def _one_round(self) -> int:
        """Claim and run what there is, and return how many events that were."""
        before, died = self._summary.claimed, self._take_over.died
        self._wanted = self._at_this_time()
        self._summary.taken_over += await self._take_over.once()
        self._summary.dead += self._take_over.died - died
        await self._claim_all()
        await self._crew.idle()
        return self._summary.claimed - before

    def _at_this_time(self) -> ClaimFilter:
        if not (self._options.due or self._options.watch):
            return self._wanted
        return replace(self._wanted, due_at=self._record_owner.worker.now())

    # claim

    async def _claim_all(self) -> None:
        """Claim the backlog page by page, the next batch while the last one runs; suspects run alone, at the end."""
        alone: deque[Any] = deque(maxlen=MOST_ALONE)
        async with aclosing(self._batches(alone)) as batches:
            coming = asyncio.create_task(anext(batches, None))
            try:
                while (claimed := await coming) is not None:
                    coming = asyncio.create_task(anext(batches, None))
                    await self._crew.start(claimed)
            finally:
                await self._let_go(coming)
        for record_id in alone:
            await self._crew.idle()
            for held in await self._claim_one(record_id):
                await self._crew.alone(held)

    async def _let_go(self, coming: asyncio.Task[list[OwnedRecord] | None]) -> None:
        """Give back a batch that was claimed ahead and is not started any more."""
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled() and coming.exception() is None:
            for held in coming.result() or ():
                self._record_owner.writer.add(held, is_through=True)

    async def _batches(self, alone: deque[Any]) -> AsyncGenerator[list[OwnedRecord], None]:
        """Yield what could be claimed, and note the suspects.

        Where another worker was quicker, this one goes some pages ahead, the farther the more often it meets others;
        the rounds end when nothing is left behind.
        """
        passing_over = 0
        async with aclosing(self._record_owner.deliveries.unowned(self._wanted, size=BATCH)) as pages:
            async for page in pages:
                if self._room <= 0:
                    break
                alone.extend(one.id for one in page if one.takeovers >= ALONE_AFTER)
                if passing_over:
                    passing_over -= 1
                    continue
                listed = claimed = 0
                plain = [one for one in page if one.takeovers < ALONE_AFTER]
                for batch in _batches(plain[: self._room], self._options.concurrency):
                    got = await self._claim([one.id for one in batch])
                    listed, claimed = listed + len(batch), claimed + len(got)
                    yield got
                passing_over = self._pages_to_pass_over(listed, claimed)

    def _pages_to_pass_over(self, listed: int, claimed: int) -> int:
        if self._limit is not None or claimed * 2 >= listed:
            self._crowd = max(0, self._crowd - 1)
            return 0
        self._crowd = min(self._crowd + 1, FARTHEST.bit_length() - 1)
        return random.randint(1, 2**self._crowd)

    async def _claim_one(self, record_id: Any) -> list[OwnedRecord]:
        return await self._claim([record_id])

    async def _claim(self, ids: Sequence[Any]) -> list[OwnedRecord]:
        await self._record_owner.writer.below(UNWRITTEN)
        claimed = await self._record_owner.claim(ids, self._wanted.unowned(), direction=self._wanted.direction)
        self._summary.claimed += len(claimed)
        for held in claimed:
            held.on_stored = self._reporter(held.record)
        return claimed

    @property
    def _room(self) -> int:
        return BATCH if self._limit is None else self._limit - self._summary.claimed

    def _due(self, delivery: Delivery) -> list[DueDelivery]:
        """Return the deliveries of a record that are to run now and have their handler here."""
        due = []
        for entry in delivery.pending:
            handler = self._handlers.get(entry.id)
            if handler is not None and self._wanted.is_due(entry):
                limit = handler.timeout or self._options.timeout
                due.append(DueDelivery(handler, entry.id, entry.attempts + 1, limit))
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
        owners = await self._record_owner.deliveries.owners(replace(self._wanted, due_at=None))
        owners.pop(self._record_owner.worker.owner, None)
        return owners

    def _has_beaten(self, entry: WorkerEntry | None) -> bool:
        began_at = self._wanted.began_at
        return entry is not None and not entry.fenced and began_at is not None and entry.beat_at > began_at

    async def _pause(self, owners: Mapping[str, int]) -> None:
        """Wait a little for the living; who is gone is taken over by the next round, at once."""
        entries = await self._take_over.look()
        living = [entries[owner] for owner in owners if owner in entries and not entries[owner].fenced]
        if len(living) == len(owners):
            awaited = [AwaitedWorker(entry, owners[entry.owner], self._take_over.left(entry)) for entry in living]
            self._observer(WaitingFor(tuple(awaited)))
            await asyncio.sleep(min(LONGEST_POLL, *(entry.lease / POLLS_A_LEASE for entry in living)))

    # end

    async def _end(self, rounds: asyncio.Task[None]) -> None:
        """Let what runs come to its end, for as long as the grace allows; write outcomes; own nothing any more."""
        hooks.kill_point("stop.begun")
        rounds.cancel()
        await asyncio.wait([rounds])
        await self._crew.stop(self._options.grace)
        self._summary.abandoned = self._crew.abandoned
        try:
            await self._bus.drain(timeout=max(self._options.grace, WRITING_S))
            await self._record_owner.reconcile()
        except (TimeoutError, StoreUnavailable) as error:
            log.warning("what was left is freed when the lease ends: %s", error)

    async def _count_what_is_left(self) -> None:
        self._summary.owned = sum((await self._others()).values())
        orphans = await self._record_owner.deliveries.orphans(self._wanted)
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
            self._observer(DeliveryReport.of(record, ended, delivery, outcome))

        return report


def _batches(page: Sequence[Listed], concurrency: int) -> list[list[Listed]]:
    """Cut a page into claims: records that a worker died with are claimed in batches no larger than the concurrency."""
    plain = [one for one in page if not one.takeovers]
    taken = [one for one in page if one.takeovers]
    some = [taken[first : first + concurrency] for first in range(0, len(taken), concurrency)]
    return [batch for batch in [plain, *some] if batch]
