"""Dead deliveries to list, retry and discard."""

from datetime import timedelta
from typing import Any

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.delivery import HandlerState
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.dead import Choice, Touched
from craft_easy.core.events.store import EventStore
from tests.support.deliveries import delivery_of
from tests.support.documents import delivery_document, handler_document
from tests.support.events import START, numbered

DIED = START + timedelta(hours=2)


def event(number: int, **values: Any) -> DomainEvent:
    return numbered(number, **{"tenant_id": "acme"} | values)


def failed(
    handler: str, state: HandlerState = "dead", *, error: str = "CardExpired", minutes: int = 0
) -> dict[str, Any]:
    """Return the entry of a handler after 20 attempts."""
    at = DIED + timedelta(minutes=minutes)
    times = {"due_at": START} if state == "pending" else {"finished_at": at}
    errors = [{"type": error, "message": f"of {handler}", "at": at, "attempt": 20}]
    return handler_document(handler, state, attempts=20, took_ms=1.5, errors=errors, **times)


async def store_with(store: EventStore, one: DomainEvent, *handlers: dict[str, Any], **delivery: Any) -> None:
    """Store an event whose deliveries are in these states."""
    await store.append(one, handlers=[handler["id"] for handler in handlers])
    state = delivery_document(*handlers)["state"]
    changed = {f"delivery.{name}": value for name, value in ({"state": state, "handlers": handlers} | delivery).items()}
    await (await store.collection()).update_one({"event_id": one.event_id}, {"$set": changed})


async def graveyard(store: EventStore) -> None:
    """Four dead deliveries of three events; one event is still open, two have nothing dead."""
    await store_with(store, event(1), failed("charge"), failed("mail", "done"))
    await store_with(store, event(2, tenant_id="docs"), failed("charge", minutes=5), failed("mail", "pending"))
    await store_with(
        store, event(3, event_type="order.paid"), failed("charge", minutes=9), failed("mail", error="SMTP")
    )
    await store_with(store, event(4), failed("mail", "done"))
    await store_with(store, event(5), failed("mail", "pending"))
    await store.append(event(6))


async def listed(store: EventStore, choice: Choice = dead.EVERY) -> list[tuple[str, str]]:
    return [(one.event_id, one.handler) async for one in dead.deliveries(store, choice)]


async def states(store: EventStore, event_id: str) -> list[str]:
    return [one.state for one in (await delivery_of(store, event_id)).handlers]


def numbers(touched: Touched) -> tuple[int, int]:
    return touched.counts.events, touched.counts.deliveries
