"""Records with dead deliveries, as the log has them."""

from datetime import timedelta
from typing import Any

from craft_easy.core.events.model.delivery import HandlerState
from tests.support.documents import delivery_document, handler_document
from tests.support.history import BEGAN, HOSTILE, Log, record


def handler(
    name: str, state: HandlerState = "dead", *, error: str = "CardExpired", hours: int = 1, **fields: Any
) -> dict[str, Any]:
    """Return the entry of a handler that was tried 20 times."""
    at = BEGAN + timedelta(hours=hours)
    times = {"due_at": BEGAN} if state == "pending" else {"finished_at": at}
    errors = [{"type": error, "message": "card of c_204 expired 2026-09", "at": at, "attempt": 20}]
    return handler_document(name, state, **{"attempts": 20, "took_ms": 12.5, "errors": errors} | times | fields)


def tracked(*handlers: dict[str, Any]) -> dict[str, Any]:
    """Return the value of `delivery`."""
    is_open = any(one["state"] == "pending" for one in handlers)
    return delivery_document(*handlers, rev=3, **{"due_at" if is_open else "finished_at": BEGAN})


CHARGE, MAIL, CUT = "shop.billing:charge", "shop.mail:send", "shop.video:cut"
GRAVEYARD = (
    record(1, event_type="order.placed", delivery=tracked(handler("shop.stock:reserve", "done"), handler(CHARGE))),
    record(2, event_type="order.placed", delivery=tracked(handler(CHARGE, hours=2), handler(MAIL, "pending"))),
    record(3, tenant_id="globex", delivery=tracked(handler(MAIL, error="SMTPServerDisconnected", hours=3))),
    record(4, tenant_id=None, delivery=tracked(handler(CUT, crashes=3, reason="crashed", errors=[], hours=4))),
    record(5, delivery=tracked(handler("shop.legacy:sync", "pending"))),
    record(6, delivery=tracked(handler(MAIL, "done"))),
    record(7),
)
HAUNTED = record(
    9,
    event_id=f"={HOSTILE}",
    event_type=HOSTILE,
    tenant_id=HOSTILE,
    delivery=tracked(handler(f"@{HOSTILE}", errors=[{"type": HOSTILE, "message": HOSTILE, "at": BEGAN, "attempt": 1}])),
)


def id_of(number: int) -> str:
    return str(record(number)["event_id"])


def states(log: Log, number: int) -> list[str]:
    found = log.events.find_one({"event_id": id_of(number)})
    return [one["state"] for one in found["delivery"]["handlers"]]
