"""Events to replay, and handlers that record their runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.selection import Selection

BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)
EVERYTHING = Selection()


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
