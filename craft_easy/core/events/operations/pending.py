"""The pending deliveries: what is open, why, and when it is tried next. It changes nothing.

    from craft_easy.core.events.operations import pending

    async for delivery in pending.deliveries(store):
        print(delivery.event_id, delivery.handler, delivery.error, delivery.due_at)

It reads the open records alone, in their order in a partial index, a page at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from craft_easy.core.events.operations.dead import EVERY, Choice, listed
from craft_easy.core.events.operations.unfinished_delivery import (
    By,
    DeliveryGroup,
    GroupedDeliveries,
    UnfinishedDelivery,
)
from craft_easy.core.events.store.pauses import HandlerPauses

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

__all__ = ["deliveries", "groups"]


async def deliveries(store: EventStore, choice: Choice = EVERY) -> AsyncGenerator[UnfinishedDelivery, None]:
    """Yield the chosen pending deliveries, ascending by `(timestamp, event_id)`, with flat memory.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    paused = {pause.handler for pause in await HandlerPauses(store).current()}
    async with aclosing(listed(store, choice, ("pending",))) as each:
        async for one in each:
            yield replace(one, paused=True) if one.handler in paused else one


async def groups(store: EventStore, choice: Choice = EVERY, *, by: By = "error") -> list[DeliveryGroup]:
    """Return the chosen pending deliveries in groups, the largest first.

    Args:
        by: the key of a group: the handler and the type of its last error, the handler, the event type, or the tenant.
    """
    return await GroupedDeliveries.of(deliveries(store, choice), by)
