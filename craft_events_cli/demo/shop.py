"""The handler module of the demo's shop: what happens when an order is placed, paid and shipped.

craft-events handlers list -m craft_events_cli.demo.shop
"""

import asyncio

from craft_easy.core.events import DomainEvent, RetryPolicy, event_handler
from craft_easy.core.events.types import PaymentCompleted
from craft_events_cli.demo import ledger

MAIL_SECONDS = 0.8
"""What a mail server takes for one letter."""


class OrderPlaced(DomainEvent):
    """Somebody ordered something."""

    event_type: str = "order.placed"
    order_id: str
    item: str
    quantity: int


class OrderShipped(DomainEvent):
    """A parcel has left the house."""

    event_type: str = "order.shipped"
    order_id: str
    carrier: str


@event_handler("order.placed", timeout=10)
async def reserve_stock(event: OrderPlaced) -> None:
    """Take what was ordered off the shelf."""
    ledger.enter()


@event_handler("payment.completed")
async def book_payment(event: PaymentCompleted) -> None:
    """Enter the payment into the books."""
    ledger.enter()


@event_handler("order.*", background=True, retry=RetryPolicy(max_attempts=5, delay=10))
async def send_mail(event: DomainEvent) -> None:
    """Tell the customer; the mail server takes its time."""
    await asyncio.sleep(MAIL_SECONDS)
    ledger.enter()


@event_handler("*", background=True)
def write_audit(event: DomainEvent) -> None:
    """Write down everything that happens; a plain function, which runs in a thread."""
    ledger.enter()
