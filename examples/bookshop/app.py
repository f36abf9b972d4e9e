"""The bookshop's web application.

CRAFT_EVENTS_URI=embedded:./events uvicorn bookshop.app:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, NonNegativeInt

from bookshop import handlers  # noqa: F401 - importing it registers them
from bookshop.database import client, shop, until_no_conflict
from bookshop.orders import Order, SoldOut, place
from craft_easy.core.events import get_event_bus
from craft_easy.core.events.redispatch import redispatching
from craft_easy.core.events.store import EventStore


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Store every event, and deliver what this process, another or an earlier one left unfinished."""
    async with client(), EventStore(shop()) as store, get_event_bus() as bus:
        bus.configure_store(store)
        async with redispatching(bus):
            yield


app = FastAPI(title="Bookshop", lifespan=lifespan)


class Stock(BaseModel):
    """Return the number of copies of a book."""

    copies: NonNegativeInt


@app.put("/books/{isbn}")
async def stock_up(isbn: str, stock: Stock) -> Stock:
    """Set the number of copies of a book."""
    await shop().books.update_one({"_id": isbn}, {"$set": stock.model_dump()}, upsert=True)
    return stock


@app.post("/orders", status_code=201)
async def order_books(order: Order) -> dict[str, str]:
    """Place an order; it fails as a whole if one of its books is sold out."""
    try:
        return {"order_id": await until_no_conflict(lambda: place(order))}
    except SoldOut as error:
        raise HTTPException(409, str(error)) from error


@app.get("/orders/{order_id}")
async def show_order(order_id: str) -> dict[str, Any]:
    """Return an order and its state."""
    order = await shop().orders.find_one({"_id": order_id}, {"_id": False})
    if order is None:
        raise HTTPException(404, f"order {order_id} does not exist")
    return {**order, "is_packed": await shop().parcels.count_documents({"_id": order_id}) == 1}


@app.get("/customers/{customer}")
async def show_customer(customer: str) -> dict[str, int]:
    """Return the points of a customer."""
    found = await shop().customers.find_one({"_id": customer})
    return {"points": found["points"] if found else 0}
