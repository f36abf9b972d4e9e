"""The handler module of the demo's shop: handlers for orders, payments and parcels.

craft-events handlers list -m craft_events_cli.demo.shop
"""

import asyncio

from craft_easy.core.events import DomainEvent, RetryPolicy, event_handler
from craft_easy.core.events.types import PaymentCompleted
from craft_events_cli.demo import ledger

MAIL_SECONDS = 0.8
"""The time that a mail server takes for one mail."""


class OrderPlaced(DomainEvent):
    """A customer placed an order."""

    event_type: str = "order.placed"
    order_id: str
    item: str
    quantity: int


class OrderShipped(DomainEvent):
    """A parcel was shipped."""

    event_type: str = "order.shipped"
    order_id: str
    carrier: str


@event_handler("order.placed", timeout=10)
async def reserve_stock(event: OrderPlaced) -> None:
    """Reserve the ordered items."""
    ledger.enter()


@event_handler("payment.completed")
async def book_payment(event: PaymentCompleted) -> None:
    """Enter the payment into the books."""
    ledger.enter()


@event_handler("order.*", background=True, retry=RetryPolicy(max_attempts=5, delay=10))
async def send_mail(event: DomainEvent) -> None:
    """Send a mail to the customer, which takes a while."""
    await asyncio.sleep(MAIL_SECONDS)
    ledger.enter()


@event_handler("*", background=True)
def write_audit(event: DomainEvent) -> None:
    """Write an audit line for every event; a plain function, which runs in a thread."""
    ledger.enter()
