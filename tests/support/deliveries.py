"""The deliveries of an event, as the log has them."""

from typing import Any

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries, Tracked
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.worker_registry import WorkerRegistry


async def tracked(store: EventStore, event: DomainEvent | str) -> Tracked:
    """Return the record of an event or event id."""
    event_id = event if isinstance(event, str) else event.event_id
    [found] = (await Deliveries(store).read([record_id(event_id)])).values()
    return found


async def delivery_of(store: EventStore, event: DomainEvent | str) -> Delivery:
    """Return the value of `delivery` in the record of an event."""
    return (await tracked(store, event)).delivery


def entry(delivery: Delivery, handler: str) -> HandlerDelivery:
    """Return the entry of one handler."""
    found = delivery.handler(handler)
    assert found is not None
    return found


async def own(store: EventStore, owner: str, *, lease: float = 1.0, register: bool = True) -> None:
    """Assign every open record to a worker that never sends a heartbeat."""
    if register:
        await WorkerRegistry(store).register(owner, lease=lease)
    await (await store.collection()).update_many(
        {"delivery.state": "open"},
        {"$set": {"delivery.owner": owner, "delivery.claimed_at": await store.now()}, "$inc": {"delivery.rev": 1}},
    )


async def set_fields(store: EventStore, event: DomainEvent, **fields: Any) -> None:
    """Change fields of a record, as another worker would; two underscores stand for a dot."""
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    await (await store.collection()).update_one(
        {"_id": record_id(event.event_id)}, {"$set": changes, "$inc": {"delivery.rev": 1}}
    )
