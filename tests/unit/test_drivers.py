"""The differences between the drivers, without a server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient, ReadPreference
from pymongo.errors import OperationFailure

from craft_easy.core.events.store import drivers

CONTRARY = "mongodb://user:hunter2@h1:1,h2:2/shop?replicaSet=rs&w=0&journal=false&readPreference=secondaryPreferred"
CLIENTS = [AsyncMongoClient, AsyncIOMotorClient]


@pytest.fixture(params=CLIENTS, ids=["pymongo", "motor"])
async def database(request: pytest.FixtureRequest) -> Any:
    client = request.param(CONTRARY, authSource="admin", tls=True, tlsAllowInvalidCertificates=True, maxPoolSize=7)
    yield client["shop"]
    await drivers.close(client)


async def test_a_database_of_an_asynchronous_driver_is_known(database: Any) -> None:
    assert drivers.is_database(database)
    assert not drivers.is_mock(database)
    assert drivers.is_database(AsyncMongoMockClient()["x"])
    assert drivers.is_mock(AsyncMongoMockClient()["x"])
    assert not drivers.is_database(MongoClient(connect=False)["x"])
    assert not drivers.is_database("shop")


async def test_a_collection_writes_to_the_majority_against_the_settings_of_the_uri(database: Any) -> None:
    from craft_easy.core.events.store.encoding import CODEC

    events = drivers.majority_collection(database, "event_log", CODEC)
    assert events.write_concern.document == {"w": "majority", "j": True}
    assert events.read_preference == ReadPreference.PRIMARY
    assert events.read_concern.level == "local"
    assert drivers.by_majority(events).read_concern.level == "majority"
    assert drivers.by_majority(events).write_concern.document == {"w": "majority", "j": True}
    assert events.codec_options.tz_aware


async def test_the_address_names_the_servers_and_no_user(database: Any) -> None:
    assert drivers.address(database) == "h1:1,h2:2"
    stand_in: Any = AsyncMongoMockClient()["x"]
    assert drivers.address(stand_in) == "the database"


async def test_a_synchronous_client_has_the_settings_of_the_database_it_is_made_from(database: Any) -> None:
    with drivers.synchronous(database, None, timeout=1.5) as client:
        assert client.topology_description.server_descriptions().keys() == {("h1", 1), ("h2", 2)}
        options = client.options
        assert options.replica_set_name == "rs"
        assert options.server_selection_timeout == 1.5
        assert options.pool_options.connect_timeout == 1.5
        assert options.pool_options.socket_timeout == 1.5
        assert options.pool_options.max_pool_size == 1
        assert options.codec_options.tz_aware
        assert options.retry_writes
        assert options.pool_options._ssl_context is not None
        credentials: Any = options.pool_options._credentials
        assert (credentials.username, credentials.password, credentials.source) == ("user", "hunter2", "admin")


async def test_a_uri_overrides_the_settings_of_the_database(database: Any) -> None:
    with drivers.synchronous(database, "mongodb://h3:3", timeout=1) as client:
        assert client.topology_description.server_descriptions().keys() == {("h3", 3)}
        assert client.options.pool_options._credentials is None


async def test_a_synchronous_client_runs_no_code_of_the_user() -> None:
    from pymongo.monitoring import CommandListener

    class Listener(CommandListener):
        def started(self, event: Any) -> None: ...
        def succeeded(self, event: Any) -> None: ...
        def failed(self, event: Any) -> None: ...

    class Document(dict[str, Any]):
        pass

    async with AsyncMongoClient("h1", event_listeners=[Listener()], document_class=Document) as owner:
        database: Any = owner["x"]
        with drivers.synchronous(database, None, timeout=1) as client:
            assert client.options.codec_options.document_class is dict
            assert client.options.event_listeners == []


async def test_mongomock_shares_its_documents_with_its_synchronous_client() -> None:
    database: Any = AsyncMongoMockClient()["shop"]
    await database["things"].insert_one({"_id": 1})
    assert drivers.synchronous(database, None, timeout=1)["shop"]["things"].find_one() == {"_id": 1}
    assert not drivers.is_sharded(database)
    assert not drivers.is_embedded(database)


def test_motor_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = (
        "import sys; from craft_easy.core.events.store import EventStore; EventStore();"
        "from pymongo import AsyncMongoClient; EventStore(AsyncMongoClient(connect=False)['x']);"
        "assert not [name for name in sys.modules if name.startswith(('motor', 'mongomock', 'secantus'))]"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


async def test_a_server_before_4_4_2_is_greeted_with_the_old_command() -> None:
    class Old:
        async def command(self, name: str, **options: Any) -> dict[str, Any]:
            assert options == {"read_preference": ReadPreference.PRIMARY, "codec_options": "codec"}
            if name == "hello":
                raise OperationFailure("no such command: 'hello'", 59)
            return {"ismaster": True, "asked": name}

    database: Any = Old()
    assert (await drivers.hello(database, codec_options="codec"))["asked"] == "isMaster"
