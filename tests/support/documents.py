"""The `delivery` of a record, as the log keeps it."""

from __future__ import annotations

from typing import Any

from craft_easy.core.events.model.delivery import Delivery, DeliveryState, HandlerDelivery, HandlerState
from craft_easy.core.events.store.documents import to_document


def handler_document(name: str, state: HandlerState, **fields: Any) -> dict[str, Any]:
    """Return the entry of one handler, with other values for some of its fields."""
    entry: dict[str, Any]
    [entry] = to_document(Delivery(handlers=(HandlerDelivery(name, state=state),)))["handlers"]
    return entry | fields


def delivery_document(*handlers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the delivery of an event that has these entries; its state follows from theirs."""
    states = {one["state"] for one in handlers}
    state: DeliveryState = "open" if "pending" in states else "dead" if "dead" in states else "done"
    return to_document(Delivery(state=state)) | {"handlers": list(handlers)} | fields
