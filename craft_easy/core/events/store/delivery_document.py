"""A delivery as the record keeps it, under `delivery`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from craft_easy.core.events.delivery import Delivery, Failure, HandlerDelivery, state_of


def to_document(delivery: Delivery) -> dict[str, Any]:
    """Return the delivery as the record keeps it under `delivery`, keys in the order of the design."""
    return {
        "rev": delivery.rev,
        "state": delivery.state,
        "owner": delivery.owner,
        "claimed_at": delivery.claimed_at,
        "due_at": delivery.due_at,
        "takeovers": delivery.takeovers,
        "running": delivery.running,
        "finished_at": delivery.finished_at,
        "handlers": [_handler_document(handler) for handler in delivery.handlers],
    }


def _handler_document(handler: HandlerDelivery) -> dict[str, Any]:
    return {
        "id": handler.id,
        "state": handler.state,
        "attempts": handler.attempts,
        "budget_from": handler.budget_from,
        "crashes": handler.crashes,
        "due_at": handler.due_at,
        "finished_at": handler.finished_at,
        "took_ms": handler.took_ms,
        "errors": [
            {"type": error.type, "message": error.message, "at": error.at, "attempt": error.attempt}
            for error in handler.errors
        ],
        "reason": handler.reason,
        "by": handler.by,
    }


def from_document(document: Mapping[str, Any]) -> Delivery:
    """Read what a record says under `delivery`; a field that is missing or unfit is null, zero or empty."""
    entries = document.get("handlers")
    handlers = (
        tuple(_read_handler(one) for one in entries if isinstance(one, Mapping)) if isinstance(entries, list) else ()
    )
    state = document.get("state")
    return Delivery(
        rev=_number(document.get("rev")),
        state=state if state in ("open", "done", "dead") else state_of(handlers),
        owner=_text(document.get("owner")),
        claimed_at=_time(document.get("claimed_at")),
        due_at=_time(document.get("due_at")),
        takeovers=_number(document.get("takeovers")),
        running=_text(document.get("running")),
        finished_at=_time(document.get("finished_at")),
        handlers=handlers,
    )


def _read_handler(document: Mapping[str, Any]) -> HandlerDelivery:
    state = document.get("state")
    took = document.get("took_ms")
    errors = document.get("errors")
    return HandlerDelivery(
        id=str(document.get("id", "")),
        state=state if state in ("pending", "done", "dead", "skipped") else "pending",
        attempts=_number(document.get("attempts")),
        budget_from=_number(document.get("budget_from")),
        crashes=_number(document.get("crashes")),
        due_at=_time(document.get("due_at")),
        finished_at=_time(document.get("finished_at")),
        took_ms=took if isinstance(took, (int, float)) else None,
        errors=tuple(_read_failure(one) for one in errors if isinstance(one, Mapping))
        if isinstance(errors, list)
        else (),
        reason=_text(document.get("reason")),
        by=_text(document.get("by")),
    )


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _read_failure(document: Mapping[str, Any]) -> Failure:
    return Failure(
        str(document.get("type", "")),
        str(document.get("message", "")),
        _time(document.get("at")) or EPOCH,
        _number(document.get("attempt")),
    )


def _number(value: object) -> int:
    """Read a count; a shell writes even whole numbers as doubles."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
