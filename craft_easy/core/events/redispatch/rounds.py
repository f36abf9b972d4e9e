"""What a watch does each second besides claiming: look for silent workers, keep its own lease, report what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.redispatch.claim_loops import LONGEST_POLL


class WatchRounds:
    """The rounds of a watch.

    Args:
        worker: the worker of the watch. One that was fenced while it was idle registers again here, not at its next
            claim, so that others do not count it as gone.
        take_over: looks for silent workers once.
        report: called each second with the seconds for which each look has been answered.
    """

    def __init__(
        self, worker: Worker, take_over: Callable[[], Awaitable[None]], report: Callable[[float], Awaitable[None]]
    ) -> None:
        self._worker = worker
        self._take_over = take_over
        self._report = report
        self._answered_since: float | None = None

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
            self._answered_since = None
            raise
        if self._answered_since is None:
            self._answered_since = steady()

    async def report(self) -> None:
        """Report until this is cancelled."""
        while True:
            await asyncio.sleep(LONGEST_POLL)
            since = self._answered_since
            await self._report(0.0 if since is None else steady() - since)
