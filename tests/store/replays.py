"""Events to replay, and handlers that record their runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine.report import DeliveryReport, EventEnded, Notice
from craft_easy.core.events.model.selection import Selection

BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)
EVERYTHING = Selection()


class Recorder:
    def __init__(self) -> None:
        self.reports: list[DeliveryReport] = []
        self.ends = 0

    def __call__(self, notice: Notice) -> None:
        match notice:
            case DeliveryReport():
                self.reports.append(notice)
            case EventEnded():
                self.ends += 1


class Ran:
    """Handlers that record their runs."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.by_tenant: defaultdict[str | None, list[str]] = defaultdict(list)
        self.most = self.now = 0

    async def handle(self, event: DomainEvent) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.order.append(event.event_id)
        self.by_tenant[event.tenant_id].append(event.event_id)
        self.now -= 1


def events(count: int, *, tenants: Sequence[str | None] = ("a", "b", None), **values: Any) -> list[DomainEvent]:
    values = {"event_type": "order.placed"} | values
    return [
        DomainEvent(
            tenant_id=tenants[number % len(tenants)], timestamp=BEGAN + timedelta(seconds=number // 2), **values
        )
        for number in range(count)
    ]


def in_order(stored: Sequence[DomainEvent]) -> list[str]:
    return [one.event_id for one in sorted(stored, key=lambda one: (one.timestamp, one.event_id))]
