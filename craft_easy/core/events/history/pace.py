"""The pace of a replay: a limited rate, or the original gaps between the events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.pool import RateLimit


class Pace:
    """Holds events back until they are due.

    Args:
        halt: ends every wait.
        rate: the maximum number of starts in a second; None for no limit.
        speed: the factor by which the gaps between events are shortened; None for no gaps.
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
        self._limit = None if rate is None else RateLimit(rate, clock=clock)
        self._speed = speed
        self._clock = clock
        self._last: datetime | None = None
        self._due = 0.0

    async def gap(self, timestamp: datetime) -> None:
        """Wait for the gap between the event before and this one, shortened by the delay of the work so far.

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
        if self._limit is not None:
            await self._until(self._limit.take())

    async def _until(self, at: float) -> None:
        wait = at - self._clock()
        if wait > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._halt.wait()
