"""The redispatch of events that are named by their ids, batch by batch, the oldest first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from craft_easy.core.events.engine.report import Began, Notice, Observer, ignore
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.redispatch.loop import redispatch
from craft_easy.core.events.redispatch.options import RedispatchOptions
from craft_easy.core.events.redispatch.summary import RedispatchSummary
from craft_easy.core.events.store.position import in_batches, positions

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.store import EventStore


@dataclass(frozen=True, slots=True)
class EventIds:
    """The named events: selections that together hold those in the log, and the ids of the others."""

    selections: Sequence[Selection]
    events: int
    missing: Sequence[str]


async def look_up(store: EventStore, selection: Selection, event_ids: Sequence[str]) -> EventIds:
    """Find events by their ids, each batch with one look into the index.

    Args:
        store: the event log.
        selection: further conditions.
        event_ids: any number of ids.
    """
    positions_by_id = await positions(store, event_ids)
    in_order = sorted(positions_by_id, key=lambda event_id: positions_by_id[event_id])
    return EventIds(
        [replace(selection, event_ids=tuple(batch)) for batch in in_batches(in_order)],
        len(positions_by_id),
        [event_id for event_id in dict.fromkeys(event_ids) if event_id not in positions_by_id],
    )


async def redispatch_named(
    bus: EventBus,
    named: EventIds,
    options: RedispatchOptions,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
) -> RedispatchSummary:
    """Deliver the named events that are unprocessed, batch by batch; see `redispatch`.

    Raises:
        HandlerNotFound: `options` names a handler that is not loaded.
        StoreUnavailable: the log was not reached.
    """
    observer, stop, total = observer or ignore, stop or asyncio.Event(), RedispatchSummary()
    observer(Began(named.events))
    for selection in named.selections:
        room = None if selection.limit is None else selection.limit - total.claimed
        if stop.is_set() or room == 0:
            break
        batch = replace(selection, limit=room)
        total.add(await redispatch(bus, batch, options, observer=_without_began(observer), stop=stop))
    return total


async def count_named(bus: EventBus, named: EventIds, options: RedispatchOptions) -> Counts:
    """Count the named events that a redispatch would deliver now; nothing is written."""
    total = Counts()
    for selection in named.selections:
        room = None if selection.limit is None else selection.limit - total.events
        if room == 0:
            break
        batch = replace(selection, limit=room)
        total.merge(await count(bus, batch, options))
    return total


def _without_began(observer: Observer) -> Observer:
    """Return an observer for one batch, which ignores its beginning: the total was reported before."""

    def observe(notice: Notice) -> None:
        if not isinstance(notice, Began):
            observer(notice)

    return observe
