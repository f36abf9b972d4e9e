"""Events that the tests store."""

from datetime import UTC, datetime, timedelta
from typing import Any

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.types import PaymentCompleted

START = datetime(2026, 1, 31, 10, tzinfo=UTC)


def payment(number: int = 1, **values: Any) -> PaymentCompleted:
    """Return an event with fields of its own."""
    fields: dict[str, Any] = {"payment_id": f"p_{number}", "amount": 12.5, "currency": "EUR"}
    return PaymentCompleted(**fields | values)


def numbered(number: int, **values: Any) -> DomainEvent:
    """Return the event `e1`, `e2` and so on, a second apart."""
    fields = {"event_id": f"e{number}", "event_type": "order.placed", "payload": {"n": number}}
    return DomainEvent(**fields | {"timestamp": START + timedelta(seconds=number)} | values)
