"""Sends a receipt for every payment."""

from craft_easy.core.events import DomainEvent, event_handler

sent: list[str] = []


@event_handler("payment.completed", background=True)
async def send_receipt(event: DomainEvent) -> None:
    """Send a receipt to the customer."""
    sent.append(f"{event.actor_id}: receipt for {event.payload.get('payment_id')}")
