"""The bookshop's MongoDB: one client for requests, handlers and the event log."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final, TypeVar

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from craft_easy.core.events import embedded

T = TypeVar("T")
Document = dict[str, Any]

PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
"""The longest wait before a transaction that met a conflict is run again."""


@cache
def client() -> AsyncMongoClient[Document]:
    """Return the client of this process; it connects when it is first used."""
    uri = os.environ.get("CRAFT_EVENTS_URI", "mongodb://localhost:27017")
    if uri.startswith("embedded:"):  # to try it out: with a MongoDB of your own these two lines can go
        uri = embedded.join(uri.removeprefix("embedded:")).uri
    return AsyncMongoClient(uri)  # Motor does as well: AsyncIOMotorClient(uri)


def shop() -> AsyncDatabase[Document]:
    """Return the database that holds the shop and its log."""
    return client()[os.environ.get("CRAFT_EVENTS_DATABASE", "bookshop")]


async def until_no_conflict(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, and again if it conflicted with another one: the server has rolled it back."""
    for pause in PAUSES_S:
        try:
            return await transaction()
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
        await asyncio.sleep(pause * random.random())
    return await transaction()
