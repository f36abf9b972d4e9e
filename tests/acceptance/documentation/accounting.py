"""Books every payment; a plain function, which runs in a thread."""

from craft_easy.core.events import event_handler
from craft_easy.core.events.types import PaymentCompleted

booked: list[tuple[str, float, str]] = []


@event_handler("payment.completed", background=True)
def book_payment(event: PaymentCompleted) -> None:
    """Book the payment."""
    booked.append((event.payment_id, event.amount, event.currency))
