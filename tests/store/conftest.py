"""One suite over every driver: mongomock-motor (what it can carry), Motor and PyMongo on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from craft_easy.core.events.store import EventStore, drivers


async def _open(driver: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if driver == "mongomock":
        yield AsyncMongoMockClient()["craft_test"]
        return
    uri, name = request.getfixturevalue("embedded_uri"), request.getfixturevalue("database_name")
    client: Any = AsyncIOMotorClient(uri) if driver == "motor" else AsyncMongoClient(uri)
    yield client[name]
    await drivers.close(client)


MONGOMOCK = pytest.param("mongomock", marks=pytest.mark.drivers)
MOTOR = pytest.param("motor", marks=pytest.mark.drivers)


@pytest.fixture(params=[MONGOMOCK, MOTOR, "pymongo"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A database of this test's own, with each driver in turn."""
    async for database in _open(request.param, request):
        yield database


@pytest.fixture(params=[MOTOR, "pymongo"])
async def real_database(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The same where a stand-in would not do."""
    async for database in _open(request.param, request):
        yield database


@pytest.fixture
async def store(database: Any) -> AsyncIterator[EventStore]:
    """An empty log."""
    async with EventStore(database) as store:
        yield store


@pytest.fixture
async def real_store(real_database: Any) -> AsyncIterator[EventStore]:
    """An empty log on a real server."""
    async with EventStore(real_database) as store:
        yield store
