"""In order: one event at a time for each tenant, across the workers that run so.

Only heads are claimed, each tenant's first open event. A claim is looked at again once it holds, because heads change:
where an earlier event has become open, it is given back; where a later one is owned by another, that is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from craft_easy.core.events.engine.outcomes import OwnedRecord
    from craft_easy.core.events.engine.owner import RecordOwner
    from craft_easy.core.events.engine.pool import RunnerPool
    from craft_easy.core.events.store.deliveries import Tracked
    from craft_easy.core.events.store.filters import ClaimFilter

WINDOW: Final = 50
"""Events of a tenant that are listed together."""
POLL_S: Final = 0.2
ALONE_AFTER: Final = 2
"""A record that was taken over so often runs alone: one of its handlers may be what kills its process."""


class Lanes:
    """One round over all tenants that have something open.

    Args:
        desk: who claims.
        wanted: which records.
        crew: runs them.
        claim: claims one record by its `_id`.
        has_room: whether more may be claimed.
    """

    def __init__(
        self,
        record_owner: RecordOwner,
        wanted: ClaimFilter,
        crew: RunnerPool,
        claim: Callable[[Any], Awaitable[list[OwnedRecord]]],
        has_room: Callable[[], bool],
    ) -> None:
        self._record_owner = record_owner
        self._wanted = wanted
        self._crew = crew
        self._claim = claim
        self._has_room = has_room
        self._suspects: list[Any] = []

    async def once(self) -> None:
        """Work through each tenant until its head may not be run here, then through heads that must run alone."""
        tenants = await self._record_owner.deliveries.tenants(self._wanted)
        waiting = iter(tenants)
        lanes = [asyncio.create_task(self._lanes(waiting)) for _ in range(min(self._crew.size, len(tenants)))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            if lanes:
                await asyncio.wait(lanes)
        for tenant in self._suspects:
            await self._suspect(tenant)

    async def _lanes(self, tenants: Iterator[Any]) -> None:
        for tenant in tenants:
            await self._lane(tenant)

    async def _lane(self, tenant: Any) -> None:
        while True:
            window = await self._record_owner.deliveries.first_open(self._wanted, tenant, WINDOW)
            for head in window:
                if not self._may_run(head):
                    return
                if head.delivery.takeovers >= ALONE_AFTER:
                    self._suspects.append(tenant)
                    return
                if not await self._run(head, self._crew.one):
                    return
            if len(window) < WINDOW:
                return

    async def _suspect(self, tenant: Any) -> None:
        for head in await self._record_owner.deliveries.first_open(self._wanted, tenant, 1):
            if self._may_run(head):
                await self._run(head, self._crew.alone)

    def _may_run(self, head: Tracked) -> bool:
        return self._has_room() and self._wanted.may_claim(head.delivery)

    async def _run(self, head: Tracked, run: Callable[[OwnedRecord], Awaitable[None]]) -> bool:
        """Claim and run a head; tell whether it is closed, so that the next one may follow."""
        for held in await self._claim(head.id):
            is_its_turn = False
            try:
                is_its_turn = await self._is_its_turn(held)
            finally:
                if not is_its_turn:
                    self._record_owner.writer.add(held, is_through=True)
            if not is_its_turn:
                await self._record_owner.settle(held)
                return False
            await run(held)
            return not held.record.delivery.is_open
        return False

    async def _is_its_turn(self, held: OwnedRecord) -> bool:
        """Tell whether nothing earlier is open, once what is later and owned by others has been let go."""
        awaited: set[Any] | None = None
        while True:
            if not await self._record_owner.deliveries.is_first(self._wanted, held.record):
                return False
            owned = await self._record_owner.deliveries.owned_beside(self._wanted, held.record, held.owner)
            awaited = owned if awaited is None else awaited & owned
            if not awaited:
                return True
            await asyncio.sleep(POLL_S)
