"""What happens in the bookshop."""

from pydantic import BaseModel, PositiveInt

from craft_easy.core.events import DomainEvent


class Line(BaseModel):
    """So many copies of one book."""

    isbn: str
    copies: PositiveInt


class OrderPlaced(DomainEvent):
    """A customer has ordered books, and the stock has them."""

    event_type: str = "order.placed"
    order_id: str
    customer: str
    lines: list[Line]


class ParcelPacked(DomainEvent):
    """The books of an order wait for the courier."""

    event_type: str = "parcel.packed"
    order_id: str
