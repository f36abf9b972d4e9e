"""Events to redispatch, and one run over them."""

from __future__ import annotations

import asyncio
from typing import Any

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.engine.report import Observer
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary, redispatch


def events(count: int, **values: Any) -> list[DomainEvent]:
    """Return events of one type."""
    return [DomainEvent(event_type="order.placed", payload={"n": number}, **values) for number in range(count)]


async def deliver(
    bus: EventBus,
    selection: Selection | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> RedispatchSummary:
    """Redispatch once, ignoring back-off."""
    options.setdefault("now", True)
    return await redispatch(bus, selection or Selection(), RedispatchOptions(**options), observer=observer, stop=stop)
