"""When events start that are run again: so many a second, or in the gaps that they once had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from craft_easy.core.events.clock import steady


class Pace:
    """Lets events start no earlier than they should.

    Args:
        halt: ends every wait.
        rate: at most so many starts a second; None for any number.
        speed: how many times faster than they once were the gaps between events pass; None for no gaps.
        clock: returns seconds.
    """

    def __init__(
        self,
        halt: asyncio.Event,
        *,
        rate: float | None = None,
        speed: float | None = None,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._halt = halt
        self._between = None if rate is None else 1 / rate
        self._speed = speed
        self._clock = clock
        self._next_turn = 0.0
        self._last: datetime | None = None
        self._due = 0.0

    async def gap(self, timestamp: datetime) -> None:
        """Wait for as long as there was between the event before and this one, or as much less as work was behind.

        Args:
            timestamp: when the event happened; events come in their order.
        """
        if self._speed is None:
            return
        if self._last is None:
            self._due = self._clock()
        else:
            self._due += max((timestamp - self._last).total_seconds(), 0.0) / self._speed
        self._last = timestamp
        await self._until(self._due)

    async def turn(self) -> None:
        """Wait until the rate allows one more start."""
        if self._between is None:
            return
        at = max(self._clock(), self._next_turn)
        self._next_turn = at + self._between
        await self._until(at)

    async def _until(self, at: float) -> None:
        left = at - self._clock()
        if left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._halt.wait()
