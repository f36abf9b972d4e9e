"""The handlers of an order. This is the handler module of the bookshop: importing it registers the handlers."""

import json
import os
from typing import Final
from urllib.request import Request, urlopen

from bookshop.database import client, shop
from bookshop.events import OrderPlaced, ParcelPacked
from craft_easy.core.events import Discard, RetryPolicy, current_delivery, event_handler, get_event_bus

COURIER_URL: Final = os.environ.get("COURIER_URL")


@event_handler("order.placed")
async def credit_points(event: OrderPlaced) -> None:
    """Give a point for each copy: the points and this delivery's `done` are one commit, so no order counts twice."""
    points = {"$inc": {"points": sum(line.copies for line in event.lines)}}
    async with current_delivery().transaction(client()) as session:
        await shop().customers.update_one({"_id": event.customer}, points, upsert=True, session=session)


@event_handler("order.placed", background=True)
async def pack_parcel(event: OrderPlaced) -> None:
    """Pack the books and publish that: a second run packs the same parcel and publishes the same event."""
    parcel = event.model_dump(include={"customer", "lines"})
    await shop().parcels.replace_one({"_id": event.order_id}, parcel, upsert=True)
    await get_event_bus().publish(ParcelPacked(order_id=event.order_id))


@event_handler("parcel.packed", background=True, timeout=30, retry=RetryPolicy(max_attempts=500, delay=5))
def call_courier(event: ParcelPacked) -> None:
    """Call the courier, who may be unavailable for a while; a plain function may block, because it has a thread."""
    if COURIER_URL is None:
        raise Discard("COURIER_URL is not set, so no courier is called")
    key = current_delivery().idempotency_key  # the same at every attempt: two calls, but one courier
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    with urlopen(Request(COURIER_URL, json.dumps({"parcel": event.order_id}).encode(), headers), timeout=10):
        pass
