"""Events that the tests store."""

from typing import Any

from craft_easy.core.events.types import PaymentCompleted


def payment(number: int = 1, **values: Any) -> PaymentCompleted:
    """Return an event with fields of its own."""
    fields: dict[str, Any] = {"payment_id": f"p_{number}", "amount": 12.5, "currency": "EUR"}
    return PaymentCompleted(**fields | values)
