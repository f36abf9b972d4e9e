"""A delivery as the record keeps it, under `delivery`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument

from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery, state_of
from craft_easy.core.events.store.encoding import CODEC, CODEC_OF_RAW


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


def raw_document(delivery: Delivery) -> Mapping[str, Any]:
    """Return the same encoded already, for a delivery that many records begin with."""
    return RawBSONDocument(bson.encode(to_document(delivery), False, CODEC), CODEC_OF_RAW)  # noqa: FBT003


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
    get = document.get
    entries, state = get("handlers"), get("state")
    listed = entries if isinstance(entries, list) else []
    handlers = tuple([_read_handler(one) for one in listed if type(one) is dict or isinstance(one, Mapping)])
    return Delivery(
        _number(get("rev")),
        state if state in ("open", "done", "dead") else state_of(handlers),
        _text(get("owner")),
        _time(get("claimed_at")),
        _time(get("due_at")),
        _number(get("takeovers")),
        _text(get("running")),
        _time(get("finished_at")),
        handlers,
    )


def _read_handler(document: Mapping[str, Any]) -> HandlerDelivery:
    get = document.get
    state, took, errors = get("state"), get("took_ms"), get("errors")
    return HandlerDelivery(
        str(get("id", "")),
        state if state in ("pending", "done", "dead", "skipped") else "pending",
        _number(get("attempts")),
        _number(get("budget_from")),
        _number(get("crashes")),
        _time(get("due_at")),
        _time(get("finished_at")),
        took if isinstance(took, (int, float)) else None,
        _read_errors(errors) if errors else (),
        _text(get("reason")),
        _text(get("by")),
    )


def _read_errors(errors: object) -> tuple[Failure, ...]:
    return tuple(_read_failure(one) for one in errors if isinstance(one, Mapping)) if isinstance(errors, list) else ()


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
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
