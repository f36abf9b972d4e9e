"""What a watch does each second besides claiming: look for silent workers, keep its own lease, report what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.redispatch.claim_loops import LONGEST_POLL


@dataclass(frozen=True, slots=True)
class AnsweredLooks:
    """Since when each look has been answered, and when the last was, in seconds of `clock.steady`."""

    since: float | None = None
    at: float | None = None


class WatchRounds:
    """The rounds of a watch.

    Args:
        worker: the worker of the watch. One that was fenced while it was idle registers again here, not at its next
            claim, so that others do not count it as gone.
        take_over: looks for silent workers once.
        report: called each second.
    """

    def __init__(
        self, worker: Worker, take_over: Callable[[], Awaitable[None]], report: Callable[[], Awaitable[None]]
    ) -> None:
        self._worker = worker
        self._take_over = take_over
        self._report = report
        self.answered = AnsweredLooks()
        """When the log has answered."""

    async def look(self) -> None:
        """Look and keep the lease until this is cancelled; the claims report an error, and end at a refused login."""
        while True:
            with suppress(StoreError):
                await self._look_once()
                await self._worker.ready()
            await asyncio.sleep(LONGEST_POLL)

    async def _look_once(self) -> None:
        try:
            await self._take_over()
        except StoreError:
            self.answered = AnsweredLooks(None, self.answered.at)
            raise
        now = steady()
        self.answered = AnsweredLooks(now if self.answered.since is None else self.answered.since, now)

    async def report(self) -> None:
        """Report until this is cancelled."""
        while True:
            await asyncio.sleep(LONGEST_POLL)
            await self._report()
