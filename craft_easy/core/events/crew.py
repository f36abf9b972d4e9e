"""The deliveries that run at the same time in one redispatch: so many and no more, suspects alone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.clock import steady
from craft_easy.core.events.delivery import Delivery
from craft_easy.core.events.outcomes import Held
from craft_easy.core.events.run import CANCELLED_S, Due, Run
from craft_easy.core.events.types import DomainEvent

if TYPE_CHECKING:
    from craft_easy.core.events.desk import Desk

log: Final = logging.getLogger("craft_easy.core.events")

LOOKS_S: Final = 0.5
"""Seconds between two looks for handlers that went on past their limit."""


class Crew:
    """Runs what a redispatch has claimed.

    Args:
        desk: whose records these are.
        size: events whose handlers run at the same time.
        due: returns the deliveries of a record that are to run.
        on_end: called when all deliveries of one event have ended.
    """

    def __init__(self, desk: Desk, size: int, due: Callable[[Delivery], list[Due]], on_end: Callable[[], None]) -> None:
        self._desk = desk
        self._due = due
        self._on_end = on_end
        self.size = size
        self.abandoned = 0
        """Handlers that still run though nobody waits for them any more."""
        self._slots = asyncio.Semaphore(size)
        self._running: dict[asyncio.Task[None], Run] = {}
        self._watchman: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self, claimed: Iterable[Held]) -> None:
        """Start records in their order, each as soon as there is room; who breaks this off gives back the others."""
        waiting = deque(claimed)
        try:
            while waiting and not self._is_stopping:
                await self._slots.acquire()
                held = waiting.popleft()
                run = self._run_of(held)
                if run is None:
                    self._slots.release()
                else:
                    self._start(run, run.dispatch_and_wait())
        finally:
            for held in waiting:
                self._desk.writer.add(held, is_through=True)

    async def alone(self, held: Held) -> None:
        """Run a suspect to its end while nothing else runs, one handler at a time."""
        await self.idle()
        run = self._run_of(held)
        if run is not None:
            await self._slots.acquire()
            self._start(run, run.dispatch_alone(), is_alone=True)
            await self.idle()
            await self._desk.settle(held)

    async def one(self, held: Held) -> None:
        """Run a record to its end, beside others, and return when its outcomes are stored."""
        run = self._run_of(held)
        if run is not None:
            await self._slots.acquire()
            self._start(run, run.dispatch_and_wait())
            while tasks := [task for task, other in self._running.items() if other is run]:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
        await self._desk.settle(held)

    async def idle(self) -> None:
        """Return when nothing runs."""
        while self._running:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # lets what follows their end be done

    async def stop(self, grace: float) -> None:
        """Start nothing more, wait for what runs, and cancel what still runs after `grace` seconds."""
        self._is_stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCELLED_S)
        self.abandoned += sum(not task.done() for task in self._running)
        if self._watchman is not None:
            self._watchman.cancel()

    def _run_of(self, held: Held) -> Run | None:
        due = self._due(held.record.delivery)
        if not due:
            self._desk.writer.add(held, is_through=True)
            self._on_end()
            return None
        return Run(self._desk, held, DomainEvent.from_record(held.record.document), due)

    def _start(self, run: Run, coroutine: Coroutine[Any, Any, None], *, is_alone: bool = False) -> asyncio.Task[None]:
        run.is_alone = is_alone
        task = asyncio.create_task(coroutine)
        self._running[task] = run
        task.add_done_callback(self._ended)
        if self._watchman is None or self._watchman.done():
            self._watchman = asyncio.create_task(self._watch(), name="watch limits")
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._running.pop(task, None) is None:
            return  # it was abandoned
        self._slots.release()
        self._on_end()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the deliveries of an event broke off", exc_info=error)

    async def _watch(self) -> None:
        """Abandon handlers that swallow their cancellation: what is left of their records goes on without them."""
        while self._running:
            await asyncio.sleep(LOOKS_S)
            for task, run in list(self._running.items()):
                if run.abandon_what_is_late(steady()):
                    del self._running[task]
                    self.abandoned += 1
                    again = run.dispatch_alone() if run.is_alone else run.dispatch_and_wait()
                    self._start(run, again, is_alone=run.is_alone)
