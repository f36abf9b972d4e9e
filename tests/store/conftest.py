"""One suite over every driver: mongomock-motor (where it can), Motor and PyMongo on a real server.

A module that needs one driver only sets `DRIVERS = ("a URI",)` and gets a store that connects by itself, like that of
an application. `LEASE` is the lease of its `bus`, in seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from craft_easy.core.events import EventBus
from craft_easy.core.events.store import EventStore, drivers
from tests.support.runs import Ran


async def _open(driver: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if driver == "mongomock":
        yield AsyncMongoMockClient()["craft_test"]
        return
    uri, name = request.getfixturevalue("embedded_uri"), request.getfixturevalue("database_name")
    client: Any = AsyncIOMotorClient(uri) if driver == "motor" else AsyncMongoClient(uri)
    yield client[name]
    await drivers.close(client)


A_URI = "a URI"
MONGOMOCK = pytest.param("mongomock", marks=pytest.mark.drivers)
MOTOR = pytest.param("motor", marks=pytest.mark.drivers)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with `database` over every driver, and tests with `real_database` on a real server only."""
    if "driver" in metafunc.fixturenames:
        metafunc.parametrize("driver", getattr(metafunc.module, "DRIVERS", (MONGOMOCK, MOTOR, "pymongo")))
    if "real_driver" in metafunc.fixturenames:
        metafunc.parametrize("real_driver", (MOTOR, "pymongo"))


@pytest.fixture
async def database(driver: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A database of this test's own."""
    async for database in _open(driver, request):
        yield database


@pytest.fixture
async def real_database(real_driver: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The same on a real server."""
    async for database in _open(real_driver, request):
        yield database


@pytest.fixture
async def store(driver: str, database: Any, request: pytest.FixtureRequest) -> AsyncIterator[EventStore]:
    """An empty log."""
    if driver == A_URI:
        uri, name = request.getfixturevalue("embedded_uri"), request.getfixturevalue("database_name")
        opened = EventStore(name, uri=uri)
    else:
        opened = EventStore(database)
    async with opened as store:
        yield store


@pytest.fixture
async def real_store(real_database: Any) -> AsyncIterator[EventStore]:
    """An empty log on a real server."""
    async with EventStore(real_database) as store:
        yield store


@pytest.fixture
async def bus(store: EventStore, request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    """A bus that stores events in that log; it is closed after the test."""
    async with EventBus() as bus:
        bus.configure_store(store, lease=getattr(request.module, "LEASE", 30.0))
        yield bus


@pytest.fixture
def ran() -> Ran:
    """Handlers that record their runs."""
    return Ran()


@pytest.fixture
def noted(bus: EventBus, ran: Ran) -> Ran:
    """The same, with one handler for all events."""
    bus.subscribe("*", ran.handler("t:note"), id="t:note")
    return ran
