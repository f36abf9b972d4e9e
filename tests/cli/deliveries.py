"""The `delivery` field of a record."""

from datetime import timedelta
from typing import Any

from tests.support.history import BEGAN

LONG = "Connection unexpectedly closed by mail.example.org while the message was sent to a customer of a long name"


def entry(name: str, state: str, attempts: int, **fields: Any) -> dict[str, Any]:
    """Return the entry of one handler."""
    return {
        "id": name,
        "state": state,
        "attempts": attempts,
        "budget_from": 0,
        "crashes": 0,
        "due_at": BEGAN + timedelta(hours=26) if state == "pending" else None,
        "finished_at": None if state == "pending" else BEGAN + timedelta(hours=2),
        "took_ms": 12.4 if attempts else None,
        "errors": [],
        "reason": None,
        "by": None,
    } | fields


def errors(*attempts: int, text: str = "card of c_204 expired 2026-09", kind: str = "CardExpired") -> Any:
    return [
        {"type": kind, "message": text, "at": BEGAN + timedelta(hours=attempt), "attempt": attempt}
        for attempt in attempts
    ]


def delivery(state: str, *handlers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    times = {"claimed_at": None, "due_at": BEGAN + timedelta(hours=1) if state == "open" else None}
    common = {"rev": 1, "state": state, "owner": None, "takeovers": 0, "running": None, "finished_at": None}
    return common | times | {"handlers": list(handlers)} | fields
