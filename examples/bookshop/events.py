"""The events of the bookshop."""

from pydantic import BaseModel, PositiveInt

from craft_easy.core.events import DomainEvent


class Line(BaseModel):
    """A number of copies of one book."""

    isbn: str
    copies: PositiveInt


class OrderPlaced(DomainEvent):
    """A customer has ordered books, and they are reserved."""

    event_type: str = "order.placed"
    order_id: str
    customer: str
    lines: list[Line]


class ParcelPacked(DomainEvent):
    """The books of an order are ready for the courier."""

    event_type: str = "parcel.packed"
    order_id: str
