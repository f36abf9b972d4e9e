"""The claim loops of a watch: one for all handlers, but each slow one gets a loop of its own.

Records are claimed in the order in which they are due, so the backlog of a slow handler would keep the others waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events.engine.shares import SLOW_S, Shares
from craft_easy.core.events.engine.watchdog import RunningHandlers
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE, MAX_SUSPECTS

if TYPE_CHECKING:
    from craft_easy.core.events.store.filters import ClaimFilter

LONGEST_POLL: Final = 1.0
"""Seconds between two rounds of a loop at most."""
MAX_OWN: Final = 8
"""Handlers with a loop of their own at most: an idle watch asks the server once a second for each loop."""

Belongs = Callable[[str], bool]
"""Returns whether a loop claims for a handler, by its id."""


class Claim(Protocol):
    """Claims what is due for the handlers of a loop, and starts it.

    `ahead` claims the next records while the last ones wait for a slot. Those of a slow handler wait for long, so its
    loop leaves the next ones to the others: they may have deliveries of quick handlers too.
    """

    def __call__(self, belongs: Belongs, size: int, *, ahead: bool) -> Awaitable[object]: ...


class ClaimLoops:
    """Runs the claim loops.

    Args:
        shares: tells which handlers are slow.
        running: the handlers that run on this event loop.
        claim: called for each round with the handlers that belong to the loop, and the records in one claim at most.
        own_size: the records in one claim at most for a slow handler.
    """

    def __init__(self, shares: Shares, running: RunningHandlers, claim: Claim, *, own_size: int) -> None:
        self._shares = shares
        self._running = running
        self._claim = claim
        self._own_size = own_size
        self._own: dict[str, asyncio.Task[None]] = {}

    def has_own(self, handler_id: str) -> bool:
        """Return whether a handler has a loop of its own."""
        return handler_id in self._own

    async def run(self) -> None:
        """Claim until this is cancelled, or a claim fails: its error is raised."""
        common = asyncio.create_task(self._repeat())
        try:
            while True:
                self._separate()
                loops = {common, *self._own.values()}
                done, _ = await asyncio.wait(loops, timeout=SLOW_S, return_when=asyncio.FIRST_COMPLETED)
                for loop in done:
                    loop.result()
        finally:
            loops = {common, *self._own.values()}
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)

    def _separate(self) -> None:
        """Begin a loop for each handler that is slow by now, and forget the loops that have ended."""
        self._own = {handler: loop for handler, loop in self._own.items() if not loop.done()}
        for handler in sorted(self._slow() - self._own.keys())[: MAX_OWN - len(self._own)]:
            self._own[handler] = asyncio.create_task(self._repeat_own(handler))

    def _slow(self) -> set[str]:
        return self._shares.slow(self._running.longer_than(SLOW_S))

    async def _repeat(self) -> None:
        while True:
            await self._claim(lambda handler: handler not in self._own, CLAIM_SIZE, ahead=True)
            await _sleep()

    async def _repeat_own(self, own: str) -> None:
        while own in self._slow():
            await self._claim(lambda handler: handler == own, self._own_size, ahead=False)
            await _sleep()


class Suspects:
    """The suspects of a watch, each of which gets its turn while the claim loops go on.

    Args:
        run: claims one and runs it alone: the filter of its listing, and its `_id`.
    """

    def __init__(self, run: Callable[[ClaimFilter, Any], Awaitable[object]]) -> None:
        self._run = run
        self._waiting: dict[Any, ClaimFilter] = {}

    async def add(self, wanted: ClaimFilter, record_id: Any) -> None:
        """Have a suspect run in its turn; one past `MAX_SUSPECTS` is left to a later listing."""
        if len(self._waiting) < MAX_SUSPECTS:
            self._waiting.setdefault(record_id, wanted)

    async def run(self) -> None:
        """Run one suspect after the other, until this is cancelled."""
        while True:
            while self._waiting:
                record_id, wanted = next(iter(self._waiting.items()))
                await self._run(wanted, record_id)
                del self._waiting[record_id]
            await _sleep()


async def _sleep() -> None:
    await asyncio.sleep(random.uniform(0.5, 1) * LONGEST_POLL)


async def side_by_side(*loops: Coroutine[Any, Any, None]) -> None:
    """Run endless loops side by side; the first error ends all of them and is raised."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
