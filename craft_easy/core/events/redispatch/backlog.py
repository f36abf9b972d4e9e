"""The backlog: what a redispatch wants, what it would find, and the old records that it is to take in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from craft_easy.core.events.model.delivery import track
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.redispatch.options import RedispatchOptions
from craft_easy.core.events.store.deliveries import PendingChange, Tracked
from craft_easy.core.events.store.filters import ClaimFilter

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus


class Backlog:
    """Reads what a redispatch would work on.

    Args:
        bus: whose handlers are loaded, and whose store is read.
        wanted: what the run wants.
        options: whether records without a delivery, or without handlers, belong to it.
    """

    def __init__(self, bus: EventBus, wanted: ClaimFilter, options: RedispatchOptions) -> None:
        self._registry = bus.registry
        self._record_owner = bus.tracking.record_owner()
        self._wanted = wanted
        self._options = options

    async def count(self) -> Counts:
        """Count what a run would deliver now; nothing is written.

        Records of workers that are fenced or unknown count as free; those of the living do not.
        """
        counts = Counts()
        limit = self._wanted.selection.limit
        async with aclosing(self._everything()) as found:
            async for record, handlers in found:
                counts.add(record.document, handlers)
                if counts.events == limit:
                    break
        return counts

    async def begin_to_track(self, room: int | None) -> int:
        """Give the old records that were asked for the deliveries that they lack; return how many.

        Args:
            room: at most so many; None for all.
        """
        added = 0
        async with aclosing(self._old()) as found:
            async for record, handlers in found:
                if room is not None and added >= room:
                    break
                await self._take_in(record, handlers)
                added += 1
        return added

    async def _take_in(self, record: Tracked, handlers: Sequence[str]) -> None:
        at = self._record_owner.worker.now()
        if record.is_tracked:
            await self._record_owner.deliveries.change(
                [PendingChange(record, lambda delivery: track(handlers, delivery, at=at))]
            )
        else:
            await self._record_owner.deliveries.add(record, track(handlers, None, at=at))

    async def _everything(self) -> AsyncGenerator[tuple[Tracked, list[str]], None]:
        async with aclosing(self._record_owner.deliveries.matching(await self._free())) as pages:
            async for page in pages:
                for record in page:
                    yield record, [one.id for one in record.delivery.pending if one.id in self._wanted.handlers]
        async with aclosing(self._old()) as found:
            async for record, handlers in found:
                yield record, handlers

    async def _free(self) -> dict[str, Any]:
        owners = await self._record_owner.deliveries.owners()
        entries = await self._record_owner.registry.entries()
        gone = [owner for owner in owners if owner not in entries or entries[owner].fenced]
        return self._wanted.free(gone)

    async def _old(self) -> AsyncGenerator[tuple[Tracked, list[str]], None]:
        """Yield the records that have no deliveries, and the ids of the handlers that they would get."""
        for condition in self._conditions():
            async with aclosing(self._record_owner.deliveries.matching(condition)) as pages:
                async for page in pages:
                    for record in page:
                        if handlers := self._handlers_for(record.document.get("event_type")):
                            yield record, handlers

    def _conditions(self) -> Iterable[dict[str, Any]]:
        if self._options.include_untracked:
            yield self._wanted.untracked()
        if self._options.include_unhandled:
            yield self._wanted.unhandled()

    def _handlers_for(self, event_type: object) -> list[str]:
        handlers = self._registry.plan(str(event_type)).handlers
        return [handler.id for handler in handlers if handler.id in self._wanted.handlers]
