"""MongoDB's transactions, with PyMongo and Motor.

A commit whose reply was lost is sent again: the server commits a transaction once.
https://www.mongodb.com/docs/manual/core/transactions-in-applications/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import CommitUnknown, StoreError, TransactionsMissing, WrongDeployment
from craft_easy.core.events.store import drivers, faults
from craft_easy.core.events.store.encoding import CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

EMBEDDED_DATABASE: Final = "craft_events_embedded"
COMMIT_S: Final = 60.0
"""Seconds for which a commit is sent again while its reply is lost."""
TRY_S: Final = 10.0
"""The deadline of one call of a transaction, in seconds."""
PAUSE_S: Final = 0.2
_SNAPSHOT: Final = ReadConcern("snapshot")


async def check(client: Any, store: Log, owner: str) -> Flush | None:
    """Check, before anything is written, that the log's records can take part in a client's transactions.

    A client is of the log's deployment if it finds this worker in the registry: the id of an owner is never used twice,
    so this holds for every topology and every form of address.

    Returns:
        For `transaction`: a `Flush` for the embedded server, None for MongoDB.

    Raises:
        TypeError: the client is not one of PyMongo's asynchronous API or of Motor.
        TransactionsMissing: the server has no transactions.
        WrongDeployment: the client belongs to another deployment.
    """
    hello = await _check_topology(client)
    connection = await store.connection()
    where = drivers.address(client[connection.database.name])
    with faults.translate_errors(where), pymongo.timeout(TRY_S):
        workers = drivers.majority_collection(client[connection.database.name], store.workers_name, CODEC)
        entry = await workers.find_one({"_id": owner}, {"_id": 1})
    if entry is None:
        raise WrongDeployment(
            f"{where} does not hold this log, and a transaction reaches one deployment",
            hint=f"use the client of {connection.where}, "
            "or give the store this client's database: EventStore(client[…])",
        )
    return _flush_of(client, hello, owner)


def _flush_of(client: Any, hello: Mapping[str, Any], owner: str) -> Flush | None:
    return Flush(client, hello, owner) if hello.get("setName") == drivers.EMBEDDED_SET else None


class Flush:
    """Makes a commit of the embedded server durable: only the next journaled write brings it to disk.

    No driver sends that write again, and the server must be the same process before and after: a server that was killed
    in between has lost the commit, although its successor acknowledges the write.

    Args:
        client: the client that commits.
        hello: the server's reply to `hello` before the transaction.
        owner: the worker that commits.
    """

    def __init__(self, client: Any, hello: Mapping[str, Any], owner: str) -> None:
        self._admin = client["admin"]
        self._commits = client[EMBEDDED_DATABASE].get_collection("commits", write_concern=drivers.MAJORITY)
        self._before = hello.get("topologyVersion")
        self._owner = owner

    async def __call__(self) -> None:
        """Return once the commit is on disk.

        Raises:
            CommitUnknown: the server was not reached, or was restarted in the meantime.
        """
        where = drivers.address(self._admin)
        try:
            with faults.translate_errors(where), pymongo.timeout(TRY_S):
                with suppress(DuplicateKeyError):  # a concurrent commit of ours made the write
                    await self._commits.update_many({"_id": self._owner}, {"$inc": {"commits": 1}}, upsert=True)
                hello = await drivers.hello(self._admin)
        except StoreError as error:
            raise CommitUnknown(f"it is unknown whether the commit is on disk: {error.message}") from error
        if hello.get("topologyVersion") != self._before:
            raise CommitUnknown(f"{where}: it is unknown whether the commit is on disk: the server was restarted")


async def _check_topology(client: Any) -> Mapping[str, Any]:
    """Refuse a single server: it accepts the calls of a transaction and would roll nothing back."""
    if not drivers.is_client(client):
        raise TypeError(
            f"a transaction needs a client of PyMongo's AsyncMongoClient or of Motor, not {type(client).__name__}"
        )
    admin = client["admin"]
    with faults.translate_errors(drivers.address(admin)), pymongo.timeout(TRY_S):
        hello = await drivers.hello(admin)
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise TransactionsMissing(
            f"{drivers.address(admin)} has no transactions: it is a single server without a replica set",
            hint="start it with --replSet and run rs.initiate() once; a set of one member is enough",
        )
    return hello


@asynccontextmanager
async def transaction(client: Any, *, flush: Flush | None = None) -> AsyncIterator[Any]:
    """Give a session with a transaction: the end of the block commits it, an error aborts it.

    An error of the block is raised as it is, a driver's too, so that a caller can retry by its labels.

    Args:
        client: a client of PyMongo's asynchronous API or of Motor.
        flush: the value of `check`.

    Raises:
        CommitUnknown: it is not known whether the transaction was committed.
    """
    session = await drivers.start_session(client)
    try:
        await drivers.resolved(
            session.start_transaction(
                read_concern=_SNAPSHOT, write_concern=drivers.MAJORITY, read_preference=drivers.PRIMARY
            )
        )
        try:
            yield session
        except BaseException:
            await _abort(session)
            raise
        await _commit(session, drivers.address(client["admin"]))
        if flush is not None:
            await flush()
    finally:
        await session.end_session()


@asynccontextmanager
async def plain_transaction(client: Any) -> AsyncIterator[Any]:
    """Give a session with a transaction in which no record takes part."""
    flush = _flush_of(client, await _check_topology(client), "without a record")
    async with transaction(client, flush=flush) as session:
        yield session


async def end_overdue_transactions(client: Any) -> None:
    """Make the server end transactions that were left open for too long.

    MongoDB does so by itself after a minute; the embedded server does when another transaction begins.
    """
    if not drivers.is_client(client):
        return  # mongomock has no transactions
    with suppress(PyMongoError, TimeoutError):
        session = await drivers.start_session(client)
        try:
            await drivers.resolved(session.start_transaction())
            with pymongo.timeout(TRY_S):
                await client["admin"]["system.version"].find_one({}, session=session)
            await _abort(session)
        finally:
            await session.end_session()


async def _abort(session: Any) -> None:
    with suppress(PyMongoError, TimeoutError), pymongo.timeout(TRY_S):  # the server aborts it after a minute
        await session.abort_transaction()


async def _commit(session: Any, where: str) -> None:
    hooks.kill_point("commit.before")
    until = steady() + COMMIT_S
    while True:
        try:
            hooks.kill_point("commit.sent")
            with pymongo.timeout(TRY_S):
                await session.commit_transaction()
        except PyMongoError as error:
            if not _is_unknown(error):
                raise
            if steady() >= until:
                reason = faults.translated(error, where).message
                raise CommitUnknown(f"it is unknown whether the transaction was committed: {reason}") from error
            await asyncio.sleep(PAUSE_S)
        else:
            hooks.kill_point("commit.acknowledged")
            return


def _is_unknown(error: PyMongoError) -> bool:
    return error.has_error_label("UnknownTransactionCommitResult") or error.timeout
