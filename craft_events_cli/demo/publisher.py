"""The demo's publisher: a process that publishes the events of a shop until it is stopped.

Each line on its stdout is the id of an event whose `publish` has returned.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Final

from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.types import PaymentCompleted, UserRegistered
from craft_events_cli.demo.shop import OrderPlaced, OrderShipped

LEASE_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 0.01
PACKING: Final = 3
"""Orders that are packed at the same time."""

TENANTS: Final = ("acme", "globex", "initech")
PRICES: Final = {"kettle": 24.9, "teapot": 39.0, "tin of tea": 7.5, "cup": 4.2}
CARRIERS: Final = ("bicycle", "van", "rail")


def events(seed: int = 1) -> Iterator[DomainEvent]:
    """Yield the events of the shop, without end: an order, its payment, and a while later its parcel."""
    draw = random.Random(seed)
    packed: deque[OrderPlaced] = deque()
    for number in count(1):
        tenant, customer = draw.choice(TENANTS), f"user_{draw.randrange(100)}"
        if not draw.randrange(4):
            yield UserRegistered(user_id=customer, email=f"{customer}@example.com", tenant_id=tenant, actor_id=customer)
        order = OrderPlaced(
            order_id=f"o_{number}",
            item=draw.choice(list(PRICES)),
            quantity=draw.randrange(1, 4),
            tenant_id=tenant,
            actor_id=customer,
        )
        yield order
        amount = round(PRICES[order.item] * order.quantity, 2)
        yield PaymentCompleted(
            payment_id=f"p_{number}", amount=amount, currency="EUR", tenant_id=tenant, actor_id=customer
        )
        packed.append(order)
        if len(packed) > PACKING:
            parcel = packed.popleft()
            yield OrderShipped(order_id=parcel.order_id, carrier=draw.choice(CARRIERS), tenant_id=parcel.tenant_id)


async def publish() -> None:
    """Publish until the process is killed, without a clean-up."""
    bus = get_event_bus()
    bus.configure_store(EventStore(), lease=LEASE_SECONDS)
    for event in events():
        await bus.publish(event)
        print(event.event_id, flush=True)  # noqa: T201 - the demo reads it
        await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    asyncio.run(publish())
