"""How many events and deliveries an operation would touch, or has touched, and of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counts:
    """How many events and deliveries, and of what."""

    events: int = 0
    deliveries: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_tenant: Counter[str | None] = field(default_factory=Counter)
    by_handler: Counter[str] = field(default_factory=Counter)

    def add(self, document: Mapping[str, Any], handlers: Sequence[str]) -> None:
        """Count one event and the deliveries of it that would run."""
        self.events += 1
        self.deliveries += len(handlers)
        self.by_type[str(document.get("event_type"))] += 1
        tenant = document.get("tenant_id")
        self.by_tenant[None if tenant is None else str(tenant)] += 1
        self.by_handler.update(handlers)

    def add_many(self, event_type: str, tenant_id: str | None, events: int, handlers: Sequence[str]) -> None:
        """Count events of one type and tenant, where any of them would run."""
        if handlers:
            self.events += events
            self.deliveries += events * len(handlers)
            self.by_type[event_type] += events
            self.by_tenant[tenant_id] += events
            self.by_handler.update(dict.fromkeys(handlers, events))
