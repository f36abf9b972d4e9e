"""The deliveries that run at the same time in one redispatch: so many and no more, suspects alone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.runner import CANCELLED_S, DueDelivery, RecordRun
from craft_easy.core.events.handlers.background import is_closing
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.event import DomainEvent

if TYPE_CHECKING:
    from craft_easy.core.events.engine.owner import RecordOwner

log: Final = logging.getLogger("craft_easy.core.events")

LOOKS_S: Final = 0.5
"""Seconds between two looks for handlers that went on past their limit."""
TURN: Final = 10
"""Events that one hand works through before it lets the loop turn, where its handlers wait for nothing."""


_abandoned: Final[set[asyncio.Task[None]]] = set()
"""Held until they end: one that is collected is closed, in the middle of whatever runs then."""


class RunnerPool:
    """Runs what a redispatch has claimed: each hand is a task that works through one event after another.

    Args:
        desk: whose records these are.
        size: events whose handlers run at the same time.
        due: returns the deliveries of a record that are to run.
        on_end: called when all deliveries of one event have ended.
    """

    def __init__(
        self,
        record_owner: RecordOwner,
        size: int,
        due: Callable[[Delivery], list[DueDelivery]],
        on_end: Callable[[], object],
    ) -> None:
        self.size = size
        self.abandoned = 0
        """Handlers that still run though nobody waits for them any more."""
        self._record_owner = record_owner
        self._due = due
        self._on_end = on_end
        self._waiting: deque[OwnedRecord] = deque()
        self._hands: dict[asyncio.Task[None], RecordRun | None] = {}
        self._changed = asyncio.Event()
        self._watchman: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self, claimed: Iterable[OwnedRecord]) -> None:
        """Start records in their order, each as soon as there is room; who breaks this off gives back the others."""
        self._waiting.extend(claimed)
        try:
            while self._waiting and not self._is_stopping:
                self._hire()
                await self._next_change()
        finally:
            while self._waiting:
                self._record_owner.writer.add(self._waiting.popleft(), is_through=True)

    async def alone(self, held: OwnedRecord) -> None:
        """Run a suspect to its end while nothing else runs, one handler at a time."""
        await self.idle()
        await self._one(held, is_alone=True)

    async def idle(self) -> None:
        """Return when nothing runs."""
        while self._hands:
            await self._next_change()

    async def stop(self, grace: float) -> None:
        """Start nothing more, wait for what runs, and cancel what still runs after `grace` seconds."""
        self._is_stopping = True
        self._changed.set()
        if self._hands:
            await asyncio.wait(self._hands, timeout=grace)
        for hand in self._hands:
            hand.cancel()
        if self._hands:
            await asyncio.wait(self._hands, timeout=CANCELLED_S)
        for hand in [hand for hand in self._hands if not hand.done()]:
            self._abandon(hand)
        if self._watchman is not None:
            self._watchman.cancel()

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # hands

    def _hire(self) -> None:
        for _ in range(min(len(self._waiting), self.size - len(self._hands))):
            self._engage(self._work())

    def _engage(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        hand = asyncio.create_task(work)
        self._hands[hand] = None
        hand.add_done_callback(self._leaves)
        if self._watchman is None or self._watchman.done():
            self._watchman = asyncio.create_task(self._watch(), name="watch limits")
        return hand

    async def _work(self) -> None:
        turn = 0
        while self._waiting and not self._is_stopping:
            run = self._run_of(self._waiting.popleft())
            if not self._waiting:
                self._changed.set()
            if run is not None:
                await self._finish(run)
            turn += 1
            if turn % TURN == 0:
                await asyncio.sleep(0)

    async def _one(self, held: OwnedRecord, *, is_alone: bool = False) -> None:
        run = self._run_of(held)
        if run is not None:
            run.is_alone = is_alone
            self._engage(self._finish(run))
            while not run.is_over:
                await self._next_change()
        await self._record_owner.settle(held)

    async def _finish(self, run: RecordRun) -> None:
        """Run what is left of a record; a hand that was given up meanwhile leaves the rest to its successor."""
        hand = asyncio.current_task()
        assert hand is not None
        self._hands[hand] = run
        await (run.dispatch_alone() if run.is_alone else run.dispatch_and_wait())
        if hand in self._hands:
            self._hands[hand] = None
            self._on_end()

    def _run_of(self, held: OwnedRecord) -> RecordRun | None:
        due = self._due(held.record.delivery)
        if not due:
            self._record_owner.writer.add(held, is_through=True)
            self._on_end()
            return None
        run = RecordRun(self._record_owner, held, DomainEvent.from_record(held.record.document), due)
        run.is_broken_off = self._is_ending
        return run

    def _is_ending(self) -> bool:
        return self._is_stopping or is_closing(asyncio.get_running_loop())

    def _leaves(self, hand: asyncio.Task[None]) -> None:
        is_ours = hand in self._hands
        self._hands.pop(hand, None)
        self._changed.set()
        if is_ours and not hand.cancelled() and (error := hand.exception()) is not None:
            log.error("the deliveries of an event broke off", exc_info=error)

    async def _watch(self) -> None:
        """Abandon handlers that swallow their cancellation: what is left of their records goes on without them."""
        while self._hands:
            await asyncio.sleep(LOOKS_S)
            for hand, run in list(self._hands.items()):
                if run is not None and run.abandon_what_is_late(steady()):
                    del self._hands[hand]
                    self._abandon(hand)
                    if run.is_over:
                        self._on_end()
                        self._changed.set()
                    else:
                        self._engage(self._finish(run))

    def _abandon(self, hand: asyncio.Task[None]) -> None:
        self.abandoned += 1
        _abandoned.add(hand)
        hand.add_done_callback(_abandoned.discard)
