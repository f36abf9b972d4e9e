"""The differences between PyMongo's asynchronous client, Motor and mongomock, and between versions of MongoDB.

Motor wraps a synchronous client and runs it in threads: `aggregate`, `watch` and `list_indexes` return a cursor at once
where PyMongo's are awaited, `start_session` and `close` the other way round. No other module uses a driver's private
attributes: the arguments of a client (`_init_kwargs`) are copied for the thread that sends heartbeats, which has a
client of its own with the same hosts, credentials and TLS.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from craft_easy.core.events.store.encoding import CODEC

Document = dict[str, Any]
Database = AsyncDatabase[Document]
"""The type of Motor's and mongomock's databases, too: this module hides all differences between their methods."""
Collection = AsyncCollection[Document]

EMBEDDED_SET: Final = "secantus"
"""The name of the embedded server's replica set."""
MAJORITY: Final = WriteConcern("majority", j=True)
PRIMARY: Final = ReadPreference.PRIMARY
LOCAL: Final = ReadConcern("local")
MAJORITY_READ: Final = ReadConcern("majority")

_COMMAND_NOT_FOUND: Final = 59
_NOT_FOR_A_THREAD: Final = ("driver", "event_listeners", "auto_encryption_opts", "document_class", "type_registry")
"""The arguments of a client that heartbeats do not need, or that would run the user's code in their thread."""


def is_database(value: object) -> bool:
    """Return whether this is an asynchronous database of PyMongo, Motor or mongomock."""
    return isinstance(value, AsyncDatabase) or _is_motor(value) or is_mock(value)


def _is_motor(value: object) -> bool:
    motor = sys.modules.get("motor.core")
    return motor is not None and isinstance(value, motor.AgnosticDatabase)


def is_mock(value: object) -> bool:
    """Return whether this database, or collection, is one of mongomock-motor, in memory."""
    return any(base.__module__.startswith("mongomock") for base in type(value).__mro__)


def is_client(value: object) -> bool:
    """Return whether this is an asynchronous client of PyMongo or of Motor."""
    motor = sys.modules.get("motor.core")
    return isinstance(value, AsyncMongoClient) or (motor is not None and isinstance(value, motor.AgnosticClient))


def majority_collection(database: Database, name: str, codec: CodecOptions[Document]) -> Collection:
    """Return a collection that writes to the majority's journals and reads from the primary, overriding the URI."""
    if is_mock(database):
        codec = CodecOptions(tz_aware=True)  # mongomock takes no other
    return database.get_collection(
        name, codec_options=codec, read_preference=PRIMARY, write_concern=MAJORITY, read_concern=LOCAL
    )


def by_majority(collection: Collection) -> Collection:
    """Return the collection for reads with read concern `majority`, which no failover rolls back."""
    return collection if is_mock(collection) else collection.with_options(read_concern=MAJORITY_READ)


def decoding(collection: Collection, codec: CodecOptions[Document]) -> Collection:
    """Return the same collection with another codec; mongomock decodes nothing."""
    return collection if is_mock(collection.database) else collection.with_options(codec_options=codec)


async def resolved(value: Any) -> Any:
    """Return a value that one driver returns at once and another as an awaitable."""
    return await value if inspect.isawaitable(value) else value


async def aggregate(collection: Collection, stages: Sequence[Mapping[str, Any]], **options: Any) -> Any:
    """Return the cursor of an aggregation."""
    return await resolved(collection.aggregate(list(stages), **options))


async def find_by_index(
    collection: Collection,
    indexed: Mapping[str, Any],
    condition: Mapping[str, Any],
    *,
    fields: Sequence[str] | None,
    sort: Sequence[tuple[str, int]],
    skip: int,
    size: int,
) -> Any:
    """Return the cursor of a `find` that the embedded server answers by an index.

    It uses a partial index only for a condition on the fields of that index alone, which the first stage of an
    aggregation can be. MongoDB would merge the two conditions, and might then use the first of them only.

    Args:
        collection: on the embedded server.
        indexed: what `condition` implies about the indexed fields.
        condition: the whole condition.
        fields: read only these and `_id`; None reads whole records.
        sort: the fields of the order, with their directions.
        skip: the number of records that are left out at the beginning.
        size: the number of records in a batch.
    """
    stages: list[Mapping[str, Any]] = [{"$match": indexed}, {"$match": condition}, {"$sort": dict(sort)}]
    stages += [{"$skip": skip}] if skip else []
    stages += [{"$project": dict.fromkeys(fields, 1)}] if fields is not None else []
    return await aggregate(collection, stages, batchSize=size)


async def insert_many(collection: Collection, documents: Sequence[RawBSONDocument]) -> None:
    """Insert documents that are already encoded, without stopping at one that is refused.

    Raises:
        BulkWriteError: some were refused, or not acknowledged.
    """
    if is_mock(collection):  # it takes no bytes
        plain = [bson.decode(document.raw, CODEC) for document in documents]
        await collection.insert_many(plain, ordered=False)
    else:
        await collection.insert_many(documents, ordered=False)


def keeps_index_filters(database: Database) -> bool:
    """Return whether the specifications of indexes name their filters; mongomock forgets them."""
    return not is_mock(database)


async def list_indexes(collection: Collection) -> list[Mapping[str, Any]]:
    """Return the specifications of a collection's indexes; an empty list where the collection does not exist."""
    if is_mock(collection):
        return [{**index, "key": dict(index["key"])} for index in (await collection.index_information()).values()]
    cursor = await resolved(collection.list_indexes())
    return cast("list[Mapping[str, Any]]", await cursor.to_list(None))


async def collection_names(database: Database, name: str | None = None) -> list[str]:
    """Return the names of the collections that the login may read: of all, or of the one with this name."""
    wanted = None if name is None else {"name": name}
    options: dict[str, Any] = {} if is_mock(database) else {"authorizedCollections": True}
    return await database.list_collection_names(filter=wanted, **options)


async def watch(collection: Collection, stages: Sequence[Mapping[str, Any]], **options: Any) -> Any:
    """Return a change stream that the server has opened.

    Raises:
        NotImplementedError: mongomock has no change streams.
    """
    if is_mock(collection.database):
        raise NotImplementedError
    committed = collection.with_options(read_concern=MAJORITY_READ)  # a stream allows no other
    stream = await resolved(committed.watch(list(stages), **options))
    if _is_motor(collection.database):
        await asyncio.to_thread(stream._lazy_init)  # noqa: SLF001 - Motor would open it at the first `next`
    return stream


async def hello(database: Database, **options: Any) -> Mapping[str, Any]:
    """Return the server's reply to `hello`, or to `isMaster` before MongoDB 4.4.2."""
    try:
        greeting = await database.command("hello", read_preference=PRIMARY, **options)
    except OperationFailure as error:
        if error.code != _COMMAND_NOT_FOUND:
            raise
        greeting = await database.command("isMaster", read_preference=PRIMARY, **options)
    return cast("Mapping[str, Any]", greeting)


async def now(database: Database) -> datetime:
    """Return the database's time, aware and in milliseconds."""
    if is_mock(database):
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return cast("datetime", (await hello(database, codec_options=CODEC))["localTime"])


async def start_session(client: Any, **options: Any) -> Any:
    """Return a session of the client."""
    return await resolved(client.start_session(**options))


async def close(client: Any) -> None:
    """Close a client, cursor or change stream."""
    await resolved(client.close())


def address(database: Database) -> str:
    """Return `host:port` of each server of the database's client; never a credential."""
    try:
        servers = sorted(database.client.topology_description.server_descriptions())
    except (AttributeError, TypeError):
        return "the database"
    return ",".join(host if port is None else f"{host}:{port}" for host, port in servers)


def is_sharded(database: Database) -> bool:
    """Return whether the database's client is connected to the router of a sharded cluster."""
    if is_mock(database):
        return False
    return bool(database.client.topology_description.topology_type_name == "Sharded")


def is_embedded(database: Database) -> bool:
    """Return whether the database's client is connected to the embedded server."""
    if is_mock(database):
        return False
    servers = database.client.topology_description.server_descriptions().values()
    return any(server.replica_set_name == EMBEDDED_SET for server in servers)


def synchronous(database: Database, uri: str | None, *, timeout: float) -> MongoClient[Document]:
    """Return a synchronous client of the same deployment, for a thread of its own; it connects at its first call.

    Args:
        database: the settings of its client are copied where `uri` is None.
        uri: of the deployment.
        timeout: seconds of each attempt, connecting included.
    """
    if is_mock(database):
        return cast("MongoClient[Document]", cast("Any", database).delegate.client)
    arguments: dict[str, Any] = {"host": uri} if uri is not None else _arguments_of(database.client)
    milliseconds = max(1, int(timeout * 1000))
    arguments |= {
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "waitQueueTimeoutMS": milliseconds,
        "maxPoolSize": 1,
        "minPoolSize": 0,
        "retryWrites": True,
        "tz_aware": True,
        "connect": False,
    }
    return MongoClient(**arguments)


def _arguments_of(client: Any) -> dict[str, Any]:
    # not hasattr(client, "delegate"): every name is an attribute of PyMongo's client, a database
    inner = client if isinstance(client, AsyncMongoClient) else client.delegate
    made_with = inner._init_kwargs  # noqa: SLF001 - see the head of this module
    return {name: value for name, value in made_with.items() if name not in _NOT_FOR_A_THREAD}


def new_client(uri: str) -> AsyncMongoClient[Document]:
    """Return a client for this address; it connects at its first call and belongs to the loop that runs then."""
    return AsyncMongoClient(uri, appname="craft-events", retryWrites=True, retryReads=True, connect=False)


def abandon(client: AsyncMongoClient[Document]) -> None:
    """Drop a client whose loop is closed, or that cannot be closed, without a warning when it is collected."""
    client._closed = True  # noqa: SLF001 - see the head of this module
