"""The pool of concurrent runs: one for each slot at most; suspects run alone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.runner import CANCELLED_S, DueDelivery, RecordRun
from craft_easy.core.events.engine.sinks import RecordSink
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.store.deliveries import Tracked

if TYPE_CHECKING:
    from craft_easy.core.events.engine.owner import RecordOwner

log: Final = logging.getLogger("craft_easy.core.events")

Item = TypeVar("Item")


class Slots(Generic[Item]):
    """Works through items, each in a task and a context of its own.

    Args:
        size: items that are worked on at the same time, at most.
        work: works on one item.
    """

    def __init__(self, size: int, work: Callable[[Item], Coroutine[Any, Any, None]]) -> None:
        self._size = size
        self._work = work
        self._queues: dict[Hashable, deque[Item]] = {}
        """By key, while an item of the key is waiting or worked on; the first is next."""
        self._ready: deque[Hashable] = deque()
        """The keys of which no item is worked on."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._is_closed = False

    def add(self, key: Hashable, item: Item) -> None:
        """Have an item worked on in its turn: after the earlier ones of its key, as soon as a slot is free."""
        if key in self._queues:
            self._queues[key].append(item)
        else:
            self._queues[key] = deque([item])
            self._ready.append(key)
            self._fill()

    async def free(self) -> bool:
        """Return True as soon as a slot is free, False if no more items are begun."""
        while not self._is_closed and len(self._tasks) >= self._size:
            await self._next_change()
        return not self._is_closed

    async def idle(self) -> None:
        """Return when every item has been worked on, or no more are begun; raise what `work` raised."""
        while self._tasks:
            await self._next_change()
            self.check()
        self.check()

    def check(self) -> None:
        """Raise what `work` raised, if it did."""
        if self._error is not None:
            raise self._error

    async def stop(self, grace: float) -> list[Item]:
        """Begin no more items, wait for those that are worked on, and cancel these after `grace` seconds.

        Returns the items that were not begun.
        """
        self._is_closed = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * CANCELLED_S)
        return [item for queue in self._queues.values() for item in queue]

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _fill(self) -> None:
        while self._ready and len(self._tasks) < self._size and not self._is_closed:
            key = self._ready.popleft()
            task = asyncio.get_running_loop().create_task(self._work(self._queues[key].popleft()))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()
        if self._queues[key]:
            self._ready.append(key)
        else:
            del self._queues[key]
        self._fill()
        self._changed.set()


@dataclass(frozen=True, slots=True)
class _Claimed:
    owned: OwnedRecord
    is_alone: bool


class RunnerPool:
    """Runs the records that a redispatch has claimed.

    Args:
        record_owner: the worker that owns them.
        size: events whose handlers run at the same time.
        due: returns the deliveries of a record that are to run.
        on_end: called when all deliveries of one event have ended.
    """

    def __init__(
        self,
        record_owner: RecordOwner,
        size: int,
        due: Callable[[Tracked], list[DueDelivery]],
        on_end: Callable[[], object],
    ) -> None:
        self.abandoned = 0
        """Handlers that may still run although nothing waits for them any more."""
        self._record_owner = record_owner
        self._due = due
        self._on_end = on_end
        self._slots = Slots(size, self._work)
        self._runs: set[RecordRun] = set()

    async def start(self, claimed: Iterable[OwnedRecord], *, is_alone: bool = False) -> None:
        """Start records in their order, each as soon as a slot is free; cancelling this gives back the others."""
        waiting = deque(claimed)
        try:
            while waiting and await self._slots.free():
                owned = waiting.popleft()
                self._slots.add(owned.ownership, _Claimed(owned, is_alone))
        finally:
            for owned in waiting:
                self._give_back(owned)

    async def alone(self, owned: OwnedRecord) -> None:
        """Run a suspect to its end while nothing else runs, one handler at a time."""
        try:
            await self.idle()
        except BaseException:
            self._give_back(owned)
            raise
        await self.start([owned], is_alone=True)
        await self.idle()
        await self._record_owner.writer.wait_until_stored(owned)

    async def idle(self) -> None:
        """Return when nothing runs."""
        await self._slots.idle()

    async def stop(self, grace: float) -> None:
        """Start no more records, wait for those that run, and give back the ones that run after `grace` seconds."""
        for claimed in await self._slots.stop(grace):
            self._give_back(claimed.owned)
        for run in self._runs:
            run.give_back()

    def _give_back(self, owned: OwnedRecord) -> None:
        self._record_owner.writer.add(owned, is_finished=True)

    async def _work(self, claimed: _Claimed) -> None:
        run: RecordRun | None = None
        try:
            run = self._run_of(claimed.owned)
            if run is not None:
                self._runs.add(run)
                await run.run(is_alone=claimed.is_alone)
        except Exception:
            log.exception("the deliveries of event %s broke off", claimed.owned.key)
        finally:
            if run is None:
                self._give_back(claimed.owned)
            else:
                self._runs.discard(run)
                self.abandoned += run.abandoned
        self._on_end()

    def _run_of(self, owned: OwnedRecord) -> RecordRun | None:
        due = self._due(owned.record)
        if not due:
            return None
        event = DomainEvent.from_record(owned.record.document)
        return RecordRun(RecordSink(self._record_owner, owned), event, due)
