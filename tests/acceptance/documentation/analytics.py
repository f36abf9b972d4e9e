"""Counts the events of each tenant, payments included."""

from collections import Counter

from craft_easy.core.events import DomainEvent, event_handler

counted: Counter[tuple[str | None, str]] = Counter()


@event_handler("payment.*", background=True)
async def count_payment(event: DomainEvent) -> None:
    """Count the event."""
    counted[event.tenant_id, event.event_type] += 1
