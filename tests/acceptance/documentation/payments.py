"""The service: it completes a payment and publishes that. It does not import its handlers."""

from craft_easy.core.events import get_event_bus
from craft_easy.core.events.types import PaymentCompleted


async def complete_payment(payment_id: str, amount: float, currency: str, *, tenant_id: str, actor_id: str) -> str:
    """Complete a payment and return the id of its event."""
    event = PaymentCompleted(
        payment_id=payment_id,
        amount=amount,
        currency=currency,
        tenant_id=tenant_id,
        actor_id=actor_id,
    )
    await get_event_bus().publish(event)
    return event.event_id
