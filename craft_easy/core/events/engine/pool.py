"""The pool of concurrent runs: one for each slot at most, at a limited rate if asked for; suspects run alone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.report import Working
from craft_easy.core.events.engine.runner import CANCELLED_S, LOOK_S, DueDelivery, RecordRun
from craft_easy.core.events.engine.shares import SLOW_S, Shares
from craft_easy.core.events.engine.sinks import RecordSink
from craft_easy.core.events.model.event import DomainEvent

if TYPE_CHECKING:
    from craft_easy.core.events.engine.owner import RecordOwner

log: Final = logging.getLogger("craft_easy.core.events")

Item = TypeVar("Item")


class RateLimit:
    """A limit on the events that begin in a second, evenly spaced.

    Args:
        rate: events a second.
        catch_up: seconds of the rate that may be made up for at once after a delay.
        clock: returns seconds.
    """

    def __init__(self, rate: float, *, catch_up: float = 0.0, clock: Callable[[], float] = steady) -> None:
        self._between = 1 / rate
        self._catch_up = catch_up
        self._clock = clock
        self._next_turn = clock()

    @property
    def wait_s(self) -> float:
        """Seconds until the next turn; 0 if an event may begin now."""
        return max(0.0, self._next_turn - self._clock())

    def take(self) -> float:
        """Take the next turn, and return its time by the clock."""
        turn = max(self._next_turn, self._clock() - self._catch_up)
        self._next_turn = turn + self._between
        return turn


class Slots(Generic[Item]):
    """Works through items, each in a task and a context of its own.

    Args:
        size: items that are worked on at the same time, at most.
        work: works on one item.
        admit: returns whether the next item of a key may be begun now, and is asked again if not; None admits all.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[Item], Coroutine[Any, Any, None]],
        admit: Callable[[Item], bool] | None = None,
    ) -> None:
        self._size = size
        self._work = work
        self._admit = admit
        self._queues: dict[Hashable, deque[Item]] = {}
        """By key, while an item of the key is waiting or worked on; the first is next."""
        self._ready: deque[Hashable] = deque()
        """The keys of which no item is worked on."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self.is_closed = False
        """True if no further items are started."""

    @property
    def free(self) -> int:
        """The number of free slots."""
        return self._size - len(self._tasks)

    @property
    def running(self) -> int:
        """The number of items that are worked on."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """The number of items that have not been begun."""
        return sum(map(len, self._queues.values()))

    def add(self, key: Hashable, item: Item) -> None:
        """Queue an item: it runs after the earlier ones of its key, as soon as a slot is free."""
        if key in self._queues:
            self._queues[key].append(item)
        else:
            self._queues[key] = deque([item])
            self._ready.append(key)
            self.fill()

    def withdraw(self, key: Hashable) -> None:
        """Forget the items of a key of which none has been begun."""
        self._ready.remove(key)
        del self._queues[key]

    async def idle(self) -> None:
        """Return when every item is done, or none is started any more; raise the error of `work`."""
        while self._tasks:
            await self.change()
            self.check()
        self.check()

    async def change(self, seconds: float | None = None) -> None:
        """Return when a task has ended, or after these seconds."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def check(self) -> None:
        """Raise the error of `work`, if there was one."""
        if self._error is not None:
            raise self._error

    async def stop(self, grace: float) -> list[Item]:
        """Start no more items, wait for those that run, and cancel these after `grace` seconds.

        Returns the items that were not started.
        """
        self.is_closed = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * CANCELLED_S)
        return [item for queue in self._queues.values() for item in queue]

    def fill(self) -> None:
        """Start the items that may start now."""
        while self.free > 0 and not self.is_closed and (place := self._admitted()) is not None:
            key = self._ready[place]
            del self._ready[place]
            task = asyncio.get_running_loop().create_task(self._work(self._queues[key].popleft()))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, key))

    def _admitted(self) -> int | None:
        """Return the place of the first ready key whose next item is admitted."""
        for place, key in enumerate(self._ready):
            if self._admit is None or self._admit(self._queues[key][0]):
                return place
        return None

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()
        if self._queues[key]:
            self._ready.append(key)
        else:
            del self._queues[key]
        self.fill()
        self._changed.set()


def _never(_: str) -> bool:
    return False


@dataclass(eq=False, slots=True)
class ClaimedRecord:
    """A record that was claimed.

    Args:
        owned: the record.
        due: the deliveries that are to run; as it begins, those whose handler has no share left are taken out.
        is_alone: it is a suspect, which runs while nothing else does.
        has_begun: a slot works on it.
    """

    owned: OwnedRecord
    due: Sequence[DueDelivery]
    is_alone: bool = False
    has_begun: bool = False


class RunnerPool:
    """Runs the records that a redispatch has claimed.

    Args:
        record_owner: the worker that owns them.
        size: events whose handlers run at the same time.
        on_end: called when all deliveries of one event have ended.
        shares: how the handlers share the slots; None to begin records in their order.
        limit: the rate at which records begin; None for no limit.
    """

    def __init__(
        self,
        record_owner: RecordOwner,
        size: int,
        on_end: Callable[[], object],
        shares: Shares | None = None,
        limit: RateLimit | None = None,
    ) -> None:
        self.abandoned = 0
        """Handlers that may still run although nothing waits for them any more."""
        self._record_owner = record_owner
        self._pauses = record_owner.worker.pauses
        self._on_end = on_end
        self._shares = shares
        self._limit = limit
        self._slots = Slots(size, self._work, self._admit)
        self._runs: set[RecordRun] = set()
        self._exclusive = asyncio.Lock()
        self._held = set[str]()
        """The handlers of which nothing begins before the suspect that waits has had its turn: the slow ones."""
        self._holds_all = True
        """Whether nothing else begins at all before that."""

    async def start(self, claimed: Iterable[ClaimedRecord], *, is_elsewhere: Callable[[str], bool] = _never) -> bool:
        """Start records in their order, each as soon as it may; return when all have begun.

        Cancelling this gives back those that have not begun. Records whose handlers are all claimed elsewhere by now,
        or paused, are given back too, and then it returns False.

        Args:
            claimed: the records.
            is_elsewhere: returns whether the deliveries of a handler are claimed by another loop by now.
        """
        waiting, are_all_begun = deque(claimed), True
        for record in waiting:
            self._slots.add(record.owned.ownership, record)
        try:
            while waiting and not self._slots.is_closed:
                if self._pauses.stored and self._withdraw_paused(waiting):
                    are_all_begun = False
                    continue
                record = waiting[0]
                if record.has_begun:
                    waiting.popleft()
                elif record.due and all(is_elsewhere(due.handler.id) for due in record.due):
                    self._withdraw(waiting.popleft())
                    are_all_begun = False
                else:
                    await self._slots.change(self._look_s())
                    self._slots.fill()
        except asyncio.CancelledError:
            for record in waiting:
                if not record.has_begun:
                    self._withdraw(record)
            raise
        return are_all_begun

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Start nothing else until the block ends, and enter it when nothing runs any more.

        Where handlers share the slots, a quick one does not wait for slow ones: it goes on until those have ended.
        """
        try:
            async with self._exclusive:
                try:
                    await self._until_alone()
                    yield
                finally:
                    self._held.clear()
                    self._holds_all = True
        finally:
            self._slots.fill()

    async def _until_alone(self) -> None:
        """Return when nothing runs. A handler is held once it was slow, so that each can delay this only once."""
        shares, running = self._shares, self._record_owner.worker.running_handlers
        while shares is not None and self._slots.running and not self._slots.is_closed:
            self._held |= shares.slow(running.longer_than(SLOW_S))
            self._holds_all = not shares.are_running(self._held)
            self._slots.fill()
            await self._slots.change(SLOW_S)
            self._slots.check()
        self._holds_all = True
        await self.idle()

    async def run_alone(self, claimed: ClaimedRecord) -> None:
        """Run a suspect to its end, one handler at a time; only inside of `exclusive`."""
        claimed.is_alone = True
        await self.start([claimed])
        await self.idle()
        await self._record_owner.writer.wait_until_stored(claimed.owned)

    def working(self) -> Working:
        """Return the numbers of records that run, and that were claimed and have not begun."""
        return Working(self._slots.running, self._slots.waiting)

    async def idle(self) -> None:
        """Return when nothing runs."""
        await self._slots.idle()

    async def stop(self, grace: float) -> None:
        """Start no more records, wait for those that run, and give back the ones that run after `grace` seconds."""
        for record in await self._slots.stop(grace):
            self._give_back(record.owned)
        for run in self._runs:
            run.give_back()

    def _withdraw(self, record: ClaimedRecord) -> None:
        self._slots.withdraw(record.owned.ownership)
        self._give_back(record.owned)

    def _withdraw_paused(self, waiting: deque[ClaimedRecord]) -> bool:
        """Give back the records that have not begun and whose handlers are all paused; return whether there are any."""
        paused = [record for record in waiting if not record.has_begun and self._is_paused(record)]
        for record in paused:
            waiting.remove(record)
            self._withdraw(record)
        return bool(paused)

    def _is_paused(self, record: ClaimedRecord) -> bool:
        return bool(record.due) and all(self._pauses.holds(due.handler) for due in record.due)

    def _release(self, record: ClaimedRecord) -> None:
        """Give back a record that has begun and does not run, and the shares of its deliveries."""
        if self._shares is not None:
            for due in record.due:
                self._shares.end(due.given_back)
        self._give_back(record.owned)

    def _give_back(self, owned: OwnedRecord) -> None:
        self._record_owner.writer.add(owned, is_finished=True)

    def _look_s(self) -> float:
        """Return the seconds after which a record may begin although nothing has ended."""
        return LOOK_S if self._limit is None else min(LOOK_S, self._limit.wait_s or LOOK_S)

    def _admit(self, record: ClaimedRecord) -> bool:
        """Return whether a record may begin, with those of its deliveries whose handlers have a share left.

        Paused handlers have none: a record of these alone is given back by `start`.
        """
        if self._exclusive.locked() and not record.is_alone and (self._shares is None or self._holds_all):
            return False
        if self._limit is not None and self._limit.wait_s:
            return False
        if self._pauses.stored:
            if self._is_paused(record):
                return False
            record.due = [due for due in record.due if not self._pauses.holds(due.handler)]
        if self._shares is not None:
            due = [one for one in record.due if record.is_alone or self._may_begin(self._shares, one.handler.id)]
            if record.due and not due:
                return False
            record.due = due
            for one in due:
                self._shares.begin(one.handler.id)
        if self._limit is not None and record.due:
            self._limit.take()
        record.has_begun = True
        return True

    def _may_begin(self, shares: Shares, handler_id: str) -> bool:
        return handler_id not in self._held and shares.may_begin(handler_id, self._slots.free)

    async def _work(self, record: ClaimedRecord) -> None:
        run: RecordRun | None = None
        try:
            run = self._run_of(record)
            if run is not None:
                self._runs.add(run)
                await run.run(is_alone=record.is_alone)
        except Exception:
            log.exception("the deliveries of event %s were interrupted by an error", record.owned.key)
        finally:
            if run is None:
                self._release(record)
            else:
                self._runs.discard(run)
                self.abandoned += run.abandoned
        self._on_end()

    def _run_of(self, record: ClaimedRecord) -> RecordRun | None:
        if not record.due:
            return None
        event = DomainEvent.from_record(record.owned.record.document)
        sink = RecordSink(self._record_owner, record.owned, self._shares)
        return RecordRun(sink, event, record.due)
