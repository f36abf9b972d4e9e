"""The `delivery` field of a record."""

from datetime import timedelta
from typing import Any

from craft_easy.core.events.model.delivery import DeliveryState, HandlerState
from tests.support.documents import delivery_document, handler_document
from tests.support.history import BEGAN

LONG = "Connection unexpectedly closed by mail.example.org while the message was sent to a customer of a long name"


def entry(name: str, state: HandlerState, attempts: int, **fields: Any) -> dict[str, Any]:
    """Return the entry of one handler."""
    is_pending = state == "pending"
    times = {"due_at": BEGAN + timedelta(hours=26)} if is_pending else {"finished_at": BEGAN + timedelta(hours=2)}
    took_ms = 12.4 if attempts else None
    return handler_document(name, state, **{"attempts": attempts, "took_ms": took_ms} | times | fields)


def errors(*attempts: int, text: str = "card of c_204 expired 2026-09", kind: str = "CardExpired") -> Any:
    return [
        {"type": kind, "message": text, "at": BEGAN + timedelta(hours=attempt), "attempt": attempt}
        for attempt in attempts
    ]


def delivery(state: DeliveryState, *handlers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    due_at = BEGAN + timedelta(hours=1) if state == "open" else None
    return delivery_document(*handlers, **{"rev": 1, "state": state, "due_at": due_at} | fields)
