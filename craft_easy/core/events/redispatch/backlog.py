"""The backlog of a redispatch: the events that it would deliver now, including old records without deliveries."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from craft_easy.core.events.model.delivery import track
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.redispatch.options import RedispatchOptions, claim_filter
from craft_easy.core.events.redispatch.pausing import paused_handlers, paused_names
from craft_easy.core.events.store.deliveries import PendingChange, Tracked
from craft_easy.core.events.store.pauses import HandlerPauses

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.store.filters import ClaimFilter


async def count(bus: EventBus, selection: Selection, options: RedispatchOptions) -> Counts:
    """Count the events that a run would deliver now; nothing is written.

    Records of workers that are fenced or unknown count as free, and so do those of a worker that has sent no heartbeat
    for its whole lease: a run takes them over first. Records of living workers do not count, nor do deliveries of
    paused handlers, which are counted apart.

    Raises:
        HandlerNotFound: `options` names a handler that is not loaded.
        StoreUnavailable: the log was not reached.
    """
    store, counts = bus.publisher.store, Counts()
    chosen = claim_filter(bus.registry, selection, options)
    pauses = await HandlerPauses(store).current()
    for paused in await paused_handlers(store, bus.registry, chosen, pauses):
        counts.paused[paused.handler] = paused.waiting
    chosen = chosen.leaving_out(paused_names(bus.registry, pauses))
    if not options.now:
        chosen = replace(chosen, due_at=await store.now())
    silent = await _silent_workers(bus)
    async with aclosing(_Backlog(bus, chosen, options).everything([*silent])) as backlog:
        async for record, handlers in backlog:
            counts.add(record.document, handlers)
            if (lease := silent.get(record.delivery.owner or "")) is not None:
                counts.after_take_over += 1
                counts.take_over_s = max(counts.take_over_s, lease)
            if counts.events == selection.limit:
                break
    return counts


async def _silent_workers(bus: EventBus) -> dict[str, float]:
    """Return the workers without a heartbeat for longer than their lease, by the database's clock, and their leases.

    A count does not observe a whole lease itself, as a take-over does.
    """
    entries = await bus.publisher.record_owner().registry.entries()
    now = await bus.publisher.store.now()
    return {
        entry.owner: entry.lease
        for entry in entries.values()
        if not entry.fenced and now - entry.beat_at > timedelta(seconds=entry.lease)
    }


async def begin_to_track(bus: EventBus, chosen: ClaimFilter, options: RedispatchOptions, room: int | None) -> int:
    """Add deliveries to the old records without any that the options include; return the number of these records.

    Args:
        bus: the bus with the handlers.
        chosen: the selection of records.
        options: `include_untracked` and `include_unhandled` select the old records.
        room: the maximum number of records; None for all.
    """
    record_owner = bus.publisher.record_owner()
    deliveries, worker = record_owner.deliveries, record_owner.worker
    added = 0
    async with aclosing(_Backlog(bus, chosen, options).without_deliveries()) as old:
        async for record, handlers in old:
            if room is not None and added >= room:
                break
            if record.is_tracked:
                await deliveries.change([_add_handlers(record, handlers, worker.now())])
            else:
                await deliveries.add(record, track(handlers, None, at=worker.now()))
            added += 1
    return added


def _add_handlers(record: Tracked, handlers: Sequence[str], at: datetime) -> PendingChange:
    return PendingChange(record, lambda delivery: track(handlers, delivery, at=at))


class _Backlog:
    """Lists the records that a redispatch works on, each with the ids of the handlers that would run."""

    def __init__(self, bus: EventBus, chosen: ClaimFilter, options: RedispatchOptions) -> None:
        self._registry = bus.registry
        self._record_owner = bus.publisher.record_owner()
        self._filter = chosen
        self._options = options

    async def everything(self, silent: Sequence[str]) -> AsyncGenerator[tuple[Tracked, list[str]], None]:
        async with aclosing(self._record_owner.deliveries.matching(await self._free(silent))) as pages:
            async for page in pages:
                for record in page:
                    event_type = str(record.document.get("event_type"))
                    pending = record.delivery.pending
                    yield record, [entry.id for entry in pending if self._filter.matches(entry, event_type)]
        async with aclosing(self.without_deliveries()) as old:
            async for record, handlers in old:
                yield record, handlers

    async def without_deliveries(self) -> AsyncGenerator[tuple[Tracked, list[str]], None]:
        """Yield the records that have no deliveries, and the ids of the handlers that they would get."""
        for condition in self._conditions():
            async with aclosing(self._record_owner.deliveries.matching(condition)) as pages:
                async for page in pages:
                    for record in page:
                        if handlers := self._handlers_for(record.document.get("event_type")):
                            yield record, handlers

    async def _free(self, silent: Sequence[str]) -> dict[str, Any]:
        owners = await self._record_owner.deliveries.owners()
        entries = await self._record_owner.registry.entries()
        gone = [owner for owner in owners if owner not in entries or entries[owner].fenced]
        return self._filter.free([*gone, *silent])

    def _conditions(self) -> Iterable[dict[str, Any]]:
        if self._options.include_untracked:
            yield self._filter.untracked()
        if self._options.include_unhandled:
            yield self._filter.unhandled()

    def _handlers_for(self, event_type: object) -> list[str]:
        handlers = self._registry.plan(str(event_type)).handlers
        return [handler.id for handler in handlers if handler.id in self._filter.handlers]
