"""Place orders: the order, its event and the stock change together, or not at all."""

from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field

from bookshop.database import client, shop
from bookshop.events import Line, OrderPlaced
from craft_easy.core.events import get_event_bus


class Order(BaseModel):
    """The content of an order."""

    customer: str
    lines: list[Line] = Field(min_length=1)


class SoldOut(Exception):
    """Fewer copies of a book are in stock than were ordered."""


async def place(order: Order) -> str:
    """Place an order and return its id; its handlers run once it is committed.

    Raises:
        SoldOut: nothing was stored, and no event published.
    """
    order_id = str(uuid4())
    async with get_event_bus().transaction(client()) as tx:
        await shop().orders.insert_one({"_id": order_id, **order.model_dump()}, session=tx.session)
        await tx.publish(OrderPlaced(order_id=order_id, customer=order.customer, lines=order.lines))
        for line in order.lines:
            await _take_from_stock(line, tx.session)
    return order_id


async def _take_from_stock(line: Line, session: Any) -> None:
    enough = {"_id": line.isbn, "copies": {"$gte": line.copies}}
    taken = await shop().books.update_one(enough, {"$inc": {"copies": -line.copies}}, session=session)
    if not taken.modified_count:
        raise SoldOut(f"fewer than {line.copies} copies of {line.isbn} are left")
