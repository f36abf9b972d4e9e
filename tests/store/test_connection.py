"""The owner of a client, the deadline of a call, and the messages of its errors."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient

from craft_easy.core.events import embedded
from craft_easy.core.events.errors import InvalidSetting, StoreError, StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore, connection, drivers
from craft_easy.core.events.types import DomainEvent
from tests.support.conditions import freeze

# PyMongo leaves sockets to the garbage collector when a connection fails, and so does a loop that was not cleaned up
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CLOSED = "mongodb://127.0.0.1:1"
CLIENTS = [AsyncMongoClient, pytest.param(AsyncIOMotorClient, marks=pytest.mark.drivers), None]


def event() -> DomainEvent:
    return DomainEvent(event_type="x.y")


@pytest.fixture(autouse=True)
async def nothing_stays_open() -> AsyncIterator[None]:
    yield
    here = asyncio.get_running_loop()
    assert [key for key in connection._connections if key[2] is here] == []
    gc.collect()


# ---------------------------------------------------------------- settings


def test_variables_name_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_URI", "mongodb://db.example.com:1/shop")
    store = EventStore()
    assert (store.database_name, store.name, store.workers_name) == ("shop", "event_log", "event_log_workers")
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", "other")
    monkeypatch.setenv("CRAFT_EVENTS_COLLECTION", "log")
    store = EventStore()
    assert (store.database_name, store.name) == ("other", "log")
    assert "db.example.com:1" in repr(store)
    assert (EventStore("mine").database_name, EventStore(collection="c").name) == ("mine", "c")


def test_the_defaults_need_no_setting() -> None:
    store = EventStore()
    assert repr(store) == "<EventStore craft_easy.event_log at mongodb://localhost:27017>"


async def test_a_database_that_is_given_needs_no_setting_but_the_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_URI", "nonsense")
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", "admin")
    monkeypatch.setenv("CRAFT_EVENTS_COLLECTION", "log")
    store = EventStore(AsyncMongoClient("h1", connect=False)["shop"])
    assert (store.database_name, store.name) == ("shop", "log")


@pytest.mark.parametrize("collection", ["system.events", "$cmd", "a$b", "", "a..b", ".a", "a.", "a\0b", "x" * 250])
def test_a_collection_that_mongodb_forbids_is_refused(collection: str) -> None:
    with pytest.raises(InvalidSetting, match="collection"):
        EventStore(collection=collection)
    with pytest.raises(InvalidSetting, match="collection"):
        EventStore(AsyncMongoMockClient()["shop"], collection=collection)


@pytest.mark.parametrize("database", ["admin", "config", "local", "a b", "a.b", "", "a/b", "$x"])
def test_a_database_that_mongodb_forbids_is_refused(database: str) -> None:
    with pytest.raises(InvalidSetting, match="database") as caught:
        EventStore(database)
    assert "--" not in caught.value.name
    if database in ("admin", "config", "local"):
        with pytest.raises(InvalidSetting, match="database"):
            EventStore(AsyncMongoMockClient()[database])


def test_an_error_of_a_setting_names_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_COLLECTION", "system.x")
    with pytest.raises(InvalidSetting, match="CRAFT_EVENTS_COLLECTION"):
        EventStore()
    with pytest.raises(InvalidSetting, match="an argument of EventStore"):
        EventStore(uri="http://x")


async def test_an_address_that_only_the_driver_refuses_is_a_setting_too() -> None:
    with pytest.raises(InvalidSetting) as caught:
        await EventStore(uri="mongodb://u:hunter2@h1/?w=0&journal=true").now()
    assert "hunter2" not in str(caught.value)


def test_a_synchronous_database_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match="AsyncMongoClient"):
        EventStore(MongoClient(connect=False)["shop"])


def test_no_password_is_shown() -> None:
    assert "hunter2" not in repr(EventStore(uri="mongodb://user:hunter2@h1/shop"))


# ---------------------------------------------------------------- one client, shared


async def test_stores_of_one_address_share_a_client_and_the_last_closes_it(
    embedded_uri: str, database_name: str
) -> None:
    async with EventStore(database_name, uri=embedded_uri) as one, EventStore(uri=embedded_uri) as other:
        await asyncio.gather(one.open(), other.open(), one.open())
        (shared,) = [each for key, each in connection._connections.items() if key[1] == embedded_uri]
        assert shared.users == 2
        assert (await one.collection()).database.client is (await other.collection()).database.client
        await other.aclose()
        assert shared.users == 1
        await one.append(event())
        client: Any = shared.client
    assert client._closed
    await other.aclose()


async def test_a_store_that_was_closed_opens_again(embedded_uri: str, database_name: str) -> None:
    store = EventStore(database_name, uri=embedded_uri)
    await store.append(event())
    await store.aclose()
    assert len(await store.replay()) == 1
    await store.aclose()


async def test_a_client_that_was_given_stays_open(real_database: Any) -> None:
    async with EventStore(real_database) as store:
        await store.append(event())
    assert await real_database["event_log"].count_documents({}) == 1


def test_each_event_loop_gets_a_client_of_its_own(embedded_uri: str, database_name: str) -> None:
    store = EventStore(database_name, uri=embedded_uri)
    for number in range(3):  # the store is never closed: objects of a closed loop are dropped
        asyncio.run(_append(store))
        assert asyncio.run(_count(store)) == number + 1
    open_now = [key for key in connection._connections if key[1] == embedded_uri]
    assert len(open_now) == 1
    asyncio.run(_close(EventStore(uri=embedded_uri)))
    assert [key for key in connection._connections if key[1] == embedded_uri] == []


async def _append(store: EventStore) -> None:
    await store.append(event())


async def _count(store: EventStore) -> int:
    return len(await store.replay())


async def _close(store: EventStore) -> None:
    await store.open()
    await store.aclose()


def test_a_fork_gets_a_client_of_its_own(embedded_uri: str, database_name: str) -> None:
    store = EventStore(database_name, uri=embedded_uri)

    async def in_parent() -> int:
        await store.append(event())
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            os._exit(_in_child(store))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        await store.append(event())
        found = len(await store.replay())
        await store.aclose()
        assert os.waitstatus_to_exitcode(status) == 0
        return found

    assert asyncio.run(in_parent()) == 3


def _in_child(store: EventStore) -> int:
    try:
        asyncio.run(_append(store))
    except BaseException:  # noqa: BLE001 - the child of a fork must not run the test's own clean-up
        return 1
    return 0


async def test_another_process_in_the_same_loop_gets_a_client_of_its_own(
    embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore(database_name, uri=embedded_uri) as store:
        client = (await store.collection()).database.client
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: 1)
            assert (await store.collection()).database.client is not client
            await store.aclose()
        assert (await store.collection()).database.client is client


async def test_the_embedded_log_is_started_and_left(tmp_path: Path) -> None:
    one, other = (EventStore(uri=f"embedded:{tmp_path / 'log'}") for _ in range(2))
    await asyncio.gather(one.append(event()), other.append(event()))
    assert len(await one.replay()) == 2
    client, database = one.synchronous(timeout=5)
    with client:
        assert client[database]["event_log"].count_documents({}) == 2
    await one.aclose()
    assert len(await other.replay()) == 2
    await other.aclose()


async def test_the_thread_that_beats_gets_a_client_of_the_same_server(real_database: Any, embedded_uri: str) -> None:
    for uri in (None, embedded_uri):
        async with EventStore(real_database, uri=uri) as store:
            with pytest.raises(RuntimeError, match="open the store"):
                store.synchronous(timeout=1)
            await store.append(event())
            client, database = store.synchronous(timeout=5)
            with client:
                assert client[database]["event_log"].count_documents({}) > 0


# ---------------------------------------------------------------- settings that the address must not override


@pytest.mark.parametrize("client_of", CLIENTS)
async def test_the_address_decides_neither_concern_nor_preference(
    client_of: Any, embedded_uri: str, database_name: str
) -> None:
    joint = "&" if "?" in embedded_uri else "/?"
    contrary = f"{embedded_uri.rstrip('/')}{joint}w=0&journal=false&readPreference=secondaryPreferred&retryWrites=false"
    client = client_of(contrary) if client_of else None
    store = EventStore(client[database_name] if client else database_name, uri=contrary)
    for collection in (await store.collection(), await store.workers_collection()):
        assert collection.write_concern.document == {"w": "majority", "j": True}
        assert collection.read_preference == drivers.PRIMARY
    one = event()
    await store.append(one)
    assert await store.append(one) is False
    assert await store.get(one.event_id) == one
    await store.aclose()
    if client:
        await drivers.close(client)


# ---------------------------------------------------------------- deadlines and errors


@pytest.mark.parametrize("client_of", CLIENTS)
async def test_a_closed_port_is_reported_in_time(client_of: Any) -> None:
    client = client_of(CLOSED) if client_of else None
    store = EventStore(client["x"] if client else "x", uri=CLOSED, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1.*refused") as caught:
        await store.append(event())
    assert time.monotonic() - began < 20
    assert caught.value.hint is not None
    await store.aclose()
    if client:
        await drivers.close(client)


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[embedded.EmbeddedLog]:
    """A server of the test's own, which it can stop; it is resumed afterwards."""
    with embedded.join(tmp_path / "log", timeout=60) as log:
        yield log
        os.kill(log.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("client_of", CLIENTS)
async def test_every_call_to_a_frozen_server_ends_in_time(client_of: Any, frozen: embedded.EmbeddedLog) -> None:
    client = client_of(frozen.uri) if client_of else None
    async with EventStore("x", uri=frozen.uri) as patient:
        await patient.append_many([event() for _ in range(5)])
    store = EventStore(client["x"] if client else "x", uri=frozen.uri, timeout=2)
    await store.append(event())
    pages = store.batches(Selection(), size=1)
    await anext(pages)
    store.timeout = 0.3
    freeze(frozen.pid)
    calls = [
        store.append(event()),
        store.append(event(), handlers=["h"]),
        store.get("x"),
        store.now(),
        store.replay(),
        _rest_of(pages),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await call
        assert time.monotonic() - began < 15
    fresh = EventStore("x", uri=frozen.uri + "&appname=fresh", timeout=0.5)
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(20):
            await fresh.now()
    os.kill(frozen.pid, signal.SIGCONT)
    store.timeout = 10
    assert len(await store.replay()) >= 5
    await store.aclose()
    if client:
        await drivers.close(client)


async def _rest_of(pages: Any) -> None:
    async for _ in pages:
        pass


async def test_an_error_while_a_client_is_closed_is_ignored(
    embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EventStore(database_name, uri=embedded_uri)
    client = (await store.collection()).database.client

    async def close() -> None:
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(client, "close", close)
        await store.aclose()
    client._closed = False
    await client.close()


async def test_a_shorter_deadline_can_be_set(frozen: embedded.EmbeddedLog) -> None:
    async with EventStore("x", uri=frozen.uri) as store:
        await store.now()
        freeze(frozen.pid)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            async with store.call(0.2) as site:
                await site.events.find_one({})
        assert time.monotonic() - began < 8
        os.kill(frozen.pid, signal.SIGCONT)


async def test_a_client_that_was_closed_under_the_store_is_an_error_of_the_store(
    embedded_uri: str, database_name: str
) -> None:
    client: Any = AsyncMongoClient(embedded_uri)
    store = EventStore(client[database_name])
    await client.close()
    with pytest.raises(StoreError):
        await store.append(event())
    await store.aclose()


async def test_the_time_is_the_databases(store: EventStore) -> None:
    now = await store.now()
    assert now.utcoffset() is not None
    assert now.microsecond % 1000 == 0
    assert abs(now.timestamp() - time.time()) < 60
