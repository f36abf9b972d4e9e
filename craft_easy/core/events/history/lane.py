"""Lanes: work of one key runs one after another, in its order; different keys run side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

TURN: Final = 10
"""Items that one hand works through before it lets the loop turn, where none of them waits for anything."""


class KeyedPool(Generic[Item]):
    """Works through items, `size` of them at the same time at most, and never two of one key.

    Args:
        size: so many at once.
        work: what is done with an item.
    """

    def __init__(self, size: int, work: Callable[[Item], Awaitable[None]]) -> None:
        self._size = size
        self._work = work
        self._lanes: dict[Hashable, deque[Item]] = {}
        self._ready: deque[Hashable] = deque()
        self._hands: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def add(self, key: Hashable, item: Item) -> None:
        """Have an item worked on when all earlier ones of its key have been."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(item)
            return
        self._lanes[key] = deque([item])
        self._ready.append(key)
        if len(self._hands) < self._size:
            self._hands.add(asyncio.create_task(self._go_on()))

    async def idle(self) -> None:
        """Return when nothing is left, or nothing more is begun.

        Raises whatever `work` did.
        """
        while self._hands:
            await asyncio.wait(self._hands, return_when=asyncio.FIRST_COMPLETED)
            self.check()

    def check(self) -> None:
        """Raise what `work` raised, if it did."""
        for hand in [hand for hand in self._hands if hand.done()]:
            self._hands.discard(hand)
            if not hand.cancelled():
                hand.result()

    def close(self) -> None:
        """Begin nothing more; what runs goes on."""
        self._is_closed = True

    async def leave(self, within: float) -> bool:
        """Wait for what runs, and tell whether it ended in time."""
        if self._hands:
            await asyncio.wait(self._hands, timeout=within)
        return all(hand.done() for hand in self._hands)

    def abandon(self) -> None:
        """Wait no longer for anything."""
        for hand in self._hands:
            hand.cancel()

    async def _go_on(self) -> None:
        turn = 0
        while self._ready and not self._is_closed:
            key = self._ready.popleft()
            lane = self._lanes[key]
            await self._work(lane.popleft())
            if lane:
                self._ready.append(key)
            else:
                del self._lanes[key]
            turn += 1
            if turn % TURN == 0:
                await asyncio.sleep(0)
        hand = asyncio.current_task()
        assert hand is not None
        self._hands.discard(hand)
