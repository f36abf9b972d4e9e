"""Redispatch: deliver events whose handlers never finished.

take over   free the records of workers whose lease has expired
claim       become the owner of unowned records, in batches (`claiming`)
run         the handlers that are not done, in a pool (`engine.pool`)
wait        for living owners, until each has sent a heartbeat, freed its records, or is taken over
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.engine.outage import OUTAGE_LIMIT_S, Outage
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.owner import WRITING_S
from craft_easy.core.events.engine.pool import ClaimedRecord, RateLimit, RunnerPool
from craft_easy.core.events.engine.report import AwaitedWorker, Began, EventEnded, Observer, WaitingFor, ignore
from craft_easy.core.events.engine.runner import DueDelivery
from craft_easy.core.events.engine.shares import Shares
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch.backlog import begin_to_track
from craft_easy.core.events.redispatch.claim_loops import LONGEST_POLL, Belongs, ClaimLoops, Suspects, side_by_side
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE, Claimer
from craft_easy.core.events.redispatch.options import RedispatchOptions, claim_filter
from craft_easy.core.events.redispatch.pausing import RunPauses
from craft_easy.core.events.redispatch.rounds import WatchRounds
from craft_easy.core.events.redispatch.summary import RecordReporter, RedispatchSummary
from craft_easy.core.events.store.counts import MAX_COUNTED, count_unowned, count_waiting, orphans
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.filters import ClaimFilter

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.store.worker_registry import WorkerEntry

log: Final = logging.getLogger("craft_easy.core.events")

POLLS_A_LEASE: Final = 10
CATCH_UP_S: Final = 0.1
"""Seconds of a limited rate that a late start may make up for."""
ENDING_S: Final = 3.0
"""Seconds that a run which was stopped waits for the log, where no outcome is to be written."""
BEHIND_S: Final = 1.0
"""Seconds that a run waits at most until the database's clock is past every earlier claim."""


async def redispatch(
    bus: EventBus,
    selection: Selection,
    options: RedispatchOptions | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
) -> RedispatchSummary:
    """Deliver every unprocessed event of a selection through the handlers of a bus.

    The bus must have a store. Each record runs at most once in a run, except in a watch. Setting `stop` ends the run:
    no more records are claimed, running handlers get `options.grace` to end, and the other records are given back
    without an attempt.

    Raises:
        HandlerNotFound: `options` names a handler that is not loaded.
        StoreUnavailable: the log was not reached; the claimed records are freed when the lease ends.
    """
    run = Redispatch(bus, selection, options or RedispatchOptions(), observer or ignore)
    return await run.run(stop or asyncio.Event())


def _all_belong(_: str) -> bool:
    return True


class Redispatch:
    """One run of `redispatch`."""

    def __init__(self, bus: EventBus, selection: Selection, options: RedispatchOptions, observer: Observer) -> None:
        self._bus = bus
        self._record_owner = bus.publisher.record_owner()
        self._options = options
        self._observer = observer
        self._summary = RedispatchSummary()
        self._take_over = TakeOver(self._record_owner)
        self._filter = claim_filter(bus.registry, selection, options)
        handlers = {self._handler_id(name) for name in self._filter.handlers}
        shares = Shares(options.concurrency) if options.watch and len(handlers) > 1 else None
        limit = None if options.rate is None else RateLimit(options.rate, catch_up=CATCH_UP_S)
        self._pool = RunnerPool(self._record_owner, options.concurrency, lambda: observer(EventEnded()), shares, limit)
        running, size = self._record_owner.worker.running_handlers, options.concurrency
        self._loops = ClaimLoops(shares or Shares(1), running, self._claim_for, own_size=size)
        self._claimer = Claimer(self._record_owner, selection.limit, options.concurrency, self._take)
        self._suspects = Suspects(lambda *suspect: self._outage.ride_out(partial(self._run_suspect, *suspect)))
        self._rounds = WatchRounds(self._record_owner.worker, self._take_over_once, self._report)
        self._began_at: datetime | None = None
        store, known = self._record_owner.store, self._record_owner.worker.pauses
        self._pauses = RunPauses(bus.registry, known, store, self._filter, observer)
        self._outage = Outage(observer, limit=None if options.watch else OUTAGE_LIMIT_S, survives=options.watch)

    async def run(self, stop: asyncio.Event) -> RedispatchSummary:
        """Work until nothing is left or `stop` is set; return the summary."""
        began = steady()
        working = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            stopped.cancel()
            has_answered = await self._end(working, is_stopped=stop.is_set())
        await self._count_what_is_left(is_stopped=stop.is_set(), has_answered=has_answered)
        self._summary.elapsed_s = round(steady() - began, 3)
        return self._summary

    async def _work(self) -> None:
        await self._outage.ride_out(self._begin)
        if self._options.watch:
            loops = self._loops.run(), self._suspects.run()
            await side_by_side(*loops, self._rounds.look(), self._rounds.report())
        else:
            await self._outage.ride_out(self._finish_the_backlog)

    # begin

    async def _begin(self) -> None:
        worker = self._record_owner.worker
        await worker.ready()
        self._began_at = await self._beginning(worker)
        if not self._options.watch:
            due_at = None if self._options.now else self._began_at
            self._filter = replace(self._filter, began_at=self._began_at, due_at=due_at)
        await self._record_owner.registry.forget(at=worker.now())
        await self._pauses.report_changes()
        await self._count_and_track()

    async def _beginning(self, worker: Worker) -> datetime:
        """Return a time that is later than every claim before this run, and not later than any of its own.

        After a failover to a server whose clock is behind, the worker's time does not advance until that clock has
        caught up: the run does not wait for it, and leaves the last claims to the next run.
        """
        began_at, latest = worker.not_before(), steady() + BEHIND_S
        while worker.now() < began_at and steady() < latest:  # noqa: ASYNC110 - a clock sets no event
            await asyncio.sleep(0.001)
        return min(began_at, worker.now())

    async def _count_and_track(self) -> None:
        """Report how many events may be claimed, and give old records the deliveries that the options ask for."""
        if self._options.watch:
            self._observer(Began(None))
            return
        events = await count_unowned(self._record_owner.store, self._pauses.unpaused(self._filter))
        if self._options.include_untracked or self._options.include_unhandled:
            room = None if self._filter.selection.limit is None else self._filter.selection.limit - events
            events += await begin_to_track(self._bus, self._filter, self._options, room)
            if not self._options.now:  # the records taken in are due from that moment on
                self._filter = replace(self._filter, due_at=self._record_owner.worker.now())
        self._observer(Began(events if events < MAX_COUNTED else None))

    # one-shot

    async def _finish_the_backlog(self) -> None:
        await self._until_nothing_is_left()
        while self._options.wait and (owners := await self._awaited()):
            await self._wait_for(owners)
            await self._until_nothing_is_left()

    async def _until_nothing_is_left(self) -> None:
        """Run rounds until one finds nothing, and nothing is under way that could be given back."""
        while await self._one_round() or await self._came_back():
            pass

    async def _one_round(self) -> int:
        """Take over, claim, run; return how many events were claimed."""
        before = self._summary.claimed
        await self._take_over_once()
        await self._claim_and_run(self._pauses.unpaused(self._filter))
        await self._pool.idle()
        return self._summary.claimed - before

    async def _came_back(self) -> bool:
        """Return whether something may be claimed after all: an outcome not yet written, or a reply that was lost."""
        is_pending = self._record_owner.writer.is_busy
        await self._record_owner.writer.flush()
        return (self._record_owner.is_uncertain and bool(await self._record_owner.reconcile())) or is_pending

    # watch

    async def _claim_for(self, belongs: Belongs, size: int, *, ahead: bool) -> None:
        """Claim what is due now for the handlers of one claim loop: a slow delivery occupies its own slot only."""
        now = self._record_owner.worker.now()
        wanted = self._pauses.unpaused(self._filter)
        patterns = {name: types for name, types in wanted.handlers.items() if belongs(self._handler_id(name))}
        if patterns:
            due_now = replace(wanted, handlers=patterns, due_at=now)
            await self._outage.ride_out(lambda: self._claim_and_run(due_now, belongs, size, ahead=ahead))

    async def _report(self) -> None:
        answered = self._rounds.answered
        self._observer(replace(self._pool.working(), answered_since=answered.since, answered_at=answered.at))
        with suppress(StoreError):  # the claims report it
            await self._pauses.report_changes()

    # take over, claim, run

    async def _take_over_once(self) -> None:
        died = self._take_over.died
        self._summary.taken_over += await self._take_over.once()
        self._summary.dead += self._take_over.died - died

    async def _claim_and_run(
        self, wanted: ClaimFilter, belongs: Belongs = _all_belong, size: int | None = None, *, ahead: bool = True
    ) -> None:
        """Run what can be claimed, each batch as soon as there is room; suspects follow, each alone.

        A record that was claimed for one handler also runs its other due deliveries, unless their handler is paused.
        """
        if not wanted.handlers:
            return
        whole = replace(wanted, handlers=self._filter.handlers)

        async def start(claimed: list[OwnedRecord]) -> bool:
            return await self._pool.start(
                [ClaimedRecord(owned, self._due(owned.record, whole)) for owned in claimed],
                is_elsewhere=lambda handler_id: self._loops.has_own(handler_id) and not belongs(handler_id),
            )

        turn = self._suspects.add if self._options.watch else self._run_suspect
        for record_id in await self._claimer.claim_all(wanted, start, size=self._claim_size(size), ahead=ahead):
            await turn(wanted, record_id)

    async def _run_suspect(self, wanted: ClaimFilter, record_id: Any) -> None:
        async with self._pool.exclusive():
            for owned in await self._claimer.claim(self._pauses.unpaused(wanted), [record_id]):
                due = self._due(owned.record, replace(wanted, handlers=self._filter.handlers))
                await self._pool.run_alone(ClaimedRecord(owned, due))

    def _claim_size(self, size: int | None) -> int | None:
        """Return the records in one claim at most: what waits for its turn in a limited rate is left to others."""
        rate = self._options.rate
        return size if rate is None else min(size or CLAIM_SIZE, max(1, ceil(rate)))

    def _take(self, claimed: list[OwnedRecord]) -> None:
        """Count claimed records, and have their outcomes counted and reported once they are stored."""
        self._outage.answered()
        self._summary.claimed += len(claimed)
        for owned in claimed:
            self._summary.events += not self._has_had_a_turn(owned.record.delivery)
            owned.on_stored = RecordReporter(owned.record, self._summary, self._observer).report

    def _has_had_a_turn(self, delivery: Delivery) -> bool:
        """Return whether a handler of the record ended since the run began: the event was counted before."""
        began_at = self._began_at
        times = [error.at for entry in delivery.handlers for error in entry.errors]
        times += [entry.finished_at for entry in delivery.handlers if entry.finished_at is not None]
        return began_at is not None and any(at >= began_at for at in times)

    def _due(self, record: Tracked, wanted: ClaimFilter) -> list[DueDelivery]:
        """Return the deliveries of a record that are to run now: due, and of a wanted handler that is for its type."""
        event_type = str(record.document.get("event_type"))
        return [
            DueDelivery(handler, entry.id, entry.attempts + 1, self._options.timeout)
            for entry in record.delivery.pending
            if (handler := self._bus.registry.handler(entry.id)) is not None and wanted.matches(entry, event_type)
        ]

    def _handler_id(self, name: str) -> str:
        """Return the id of the handler that a record names by its id or an alias."""
        handler = self._bus.registry.handler(name)
        return name if handler is None else handler.id

    # wait

    async def _awaited(self) -> dict[str, int]:
        """Return the owners of selected records that have sent no heartbeat since the run began, and their counts."""
        if not self._claimer.has_room:
            return {}
        owners = await self._other_owners()
        entries = await self._take_over.look() if owners else {}
        return {owner: events for owner, events in owners.items() if not self._has_beaten(entries.get(owner))}

    async def _other_owners(self) -> dict[str, int]:
        wanted = replace(self._pauses.unpaused(self._filter), due_at=None)
        owners = await self._record_owner.deliveries.owners(wanted)
        owners.pop(self._record_owner.worker.owner, None)
        return owners

    def _has_beaten(self, entry: WorkerEntry | None) -> bool:
        began_at = self._began_at
        return entry is not None and not entry.fenced and began_at is not None and entry.beat_at > began_at

    async def _wait_for(self, owners: Mapping[str, int]) -> None:
        """Wait a little for living owners; one that is gone is taken over by the next round, at once."""
        entries = await self._take_over.look()
        living = [entries[owner] for owner in owners if owner in entries and not entries[owner].fenced]
        if len(living) == len(owners):
            awaited = [AwaitedWorker(entry, owners[entry.owner], self._take_over.left(entry)) for entry in living]
            self._observer(WaitingFor(tuple(awaited)))
            await asyncio.sleep(min(LONGEST_POLL, *(entry.lease / POLLS_A_LEASE for entry in living)))

    # end

    async def _end(self, working: asyncio.Task[None], *, is_stopped: bool) -> bool:
        """Wait for running handlers as long as the grace allows; write outcomes; give back every record.

        A run that was stopped waits for the log only where outcomes are to be written: the end of its worker frees the
        records as well. Returns whether the log has answered.
        """
        hooks.kill_point("stop.begun")
        working.cancel()
        await asyncio.wait([working])
        await self._pool.stop(self._options.grace)
        self._summary.abandoned = self._pool.abandoned
        try:
            await self._bus.drain(timeout=max(self._options.grace, WRITING_S))
            if is_stopped and self._outage.is_going_on:
                return False
            async with self._patience(is_stopped=is_stopped):
                await self._record_owner.reconcile()
        except (TimeoutError, StoreUnavailable) as error:
            self._record_owner.mark_uncertain()  # if the worker goes on, a heartbeat gives them back
            if self._summary.claimed:
                log.warning("the remaining records are freed when the lease ends: %s", error)
            return False
        return True

    def _patience(self, *, is_stopped: bool) -> AbstractAsyncContextManager[None]:
        return self._record_owner.store.deadline(ENDING_S) if is_stopped else nullcontext()

    async def _count_what_is_left(self, *, is_stopped: bool, has_answered: bool) -> None:
        if is_stopped and not has_answered:
            self._summary.uncounted = "the log cannot be reached"
            return
        try:
            async with self._patience(is_stopped=is_stopped):
                await self._count_the_rest()
        except StoreError as error:
            self._summary.uncounted = str(error)

    async def _count_the_rest(self) -> None:
        """Count what the run leaves: owned by others, waiting for back-off, paused, without a loaded handler."""
        summary, store = self._summary, self._record_owner.store
        summary.owned = sum((await self._other_owners()).values())
        now = self._record_owner.worker.now()
        wanted = self._pauses.unpaused(self._filter)
        summary.not_due, summary.next_due_at = await count_waiting(store, wanted, at=now)
        summary.add_paused(await self._pauses.waiting())
        by_handler = await orphans(store, self._filter, paused=self._pauses.names())
        summary.orphaned = sum(by_handler.values())
        summary.orphaned_handlers = sorted(by_handler)
