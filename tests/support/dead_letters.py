"""Records with dead deliveries, as the log has them."""

from datetime import timedelta
from typing import Any

from tests.support.history import BEGAN, HOSTILE, Log, record


def handler(name: str, state: str = "dead", *, error: str = "CardExpired", hours: int = 1, **fields: Any) -> Any:
    """Return the entry of a handler that was tried 20 times."""
    at = BEGAN + timedelta(hours=hours)
    return {
        "id": name,
        "state": state,
        "attempts": 20,
        "budget_from": 0,
        "crashes": 0,
        "due_at": BEGAN if state == "pending" else None,
        "finished_at": None if state == "pending" else at,
        "took_ms": 12.5,
        "errors": [{"type": error, "message": "card of c_204 expired 2026-09", "at": at, "attempt": 20}],
        "reason": None,
        "by": None,
    } | fields


def tracked(*handlers: Any) -> Any:
    """Return the value of `delivery`."""
    states = {one["state"] for one in handlers}
    state = "open" if "pending" in states else "dead" if "dead" in states else "done"
    due_at = BEGAN if state == "open" else None
    finished_at = None if state == "open" else BEGAN
    common = {"claimed_at": None, "takeovers": 0, "running": None, "finished_at": finished_at}
    return {"rev": 3, "state": state, "owner": None, "due_at": due_at, **common, "handlers": list(handlers)}


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
