"""The handler module of the pictures: a shop whose mail server is down and whose customers' cards expire."""

import asyncio
from zlib import crc32

from craft_easy.core.events import DomainEvent, RetryPolicy, event_handler, get_event_bus


class CardExpired(Exception):
    """The bank refuses a card."""


class MailServerGone(Exception):
    """The mail server does not answer."""


@event_handler("order.placed", id="shop.stock:reserve")
async def reserve(event: DomainEvent) -> None:
    """Reserve the ordered items; the warehouse picks heavy ones."""
    await asyncio.sleep(0.002)
    if one_of(event, 20):
        payload = {"order_id": event.payload["order_id"], "shelf": "B7"}
        child = DomainEvent(event_type="stock.reserved", tenant_id=event.tenant_id, payload=payload)
        await get_event_bus().publish(child)


@event_handler("order.placed", id="shop.billing:charge", retry=RetryPolicy(max_attempts=1))
async def charge(event: DomainEvent) -> None:
    """Charge the customer's card."""
    if one_of(event, 40):
        raise CardExpired("the card expired 2026-09")


@event_handler("order.*", id="shop.mail:send_confirmation", background=True)
async def send_confirmation(event: DomainEvent) -> None:
    """Send the customer a mail."""
    await asyncio.sleep(0.004)
    if one_of(event, 9):
        raise MailServerGone("connection unexpectedly closed")


@event_handler("stock.reserved", id="shop.warehouse:pick")
async def pick(event: DomainEvent) -> None:
    """Fetch it."""
    await asyncio.sleep(0.001)


def one_of(event: DomainEvent, many: int) -> bool:
    """Return whether this event belongs to a fixed share of all events."""
    return crc32(event.event_id.encode()) % many == 0
