"""Transactions of MongoDB, on either driver: begun only where the server has them, committed until the answer is known.

A commit may be sent again as often as its answer is lost: the server knows the transaction and commits it once.
https://www.mongodb.com/docs/manual/core/transactions-in-applications/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import pymongo
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from craft_easy.core.events import kill_point
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import CommitUnknown, StoreError, TransactionsMissing, WrongDeployment
from craft_easy.core.events.store import drivers, faults
from craft_easy.core.events.store.encoding import CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

EMBEDDED_SET: Final = "secantus"
"""The name of the replica set that the embedded server says it is."""
COMMIT_S: Final = 60.0
"""Seconds for which a commit is asked for again while its answer is lost."""
TRY_S: Final = 10.0
"""Seconds after which one call of a transaction has failed."""
PAUSE_S: Final = 0.2
_SNAPSHOT: Final = ReadConcern("snapshot")


async def check(client: Any, store: EventStore, owner: str) -> bool:
    """Make sure that a client can take the log's records into its transactions, before anything is written.

    Returns whether an acknowledged commit may still be lost with its server, as the embedded one's may: it comes to the
    disk with the next journaled write. MongoDB's is there when it is acknowledged.

    It is of the log's deployment where it finds this very worker in the registry: an owner's name is never used twice,
    so this holds for every topology and whatever the addresses are.

    Raises:
        TypeError: not a client of PyMongo's asynchronous API or of Motor.
        TransactionsMissing: the server has none.
        WrongDeployment: it does not know this worker.
    """
    hello = await _check_topology(client)
    site = await store.site()
    with faults.Translation(drivers.address(client[site.database.name])), pymongo.timeout(TRY_S):
        workers = drivers.in_our_manner(client[site.database.name], store.workers_name, CODEC)
        found = await workers.find_one({"_id": owner}, {"_id": 1})
    if found is None:
        where = drivers.address(client[site.database.name])
        raise WrongDeployment(
            f"{where} does not hold this log, and a transaction reaches one deployment",
            hint=f"use the client of {site.where}, or give the store this client's database: EventStore(client[…])",
        )
    return hello.get("setName") == EMBEDDED_SET


async def _check_topology(client: Any) -> Mapping[str, Any]:
    """Refuse what accepts the calls of a transaction and would roll nothing back: go by the topology."""
    if not drivers.is_client(client):
        raise TypeError(
            f"a transaction needs a client of PyMongo's AsyncMongoClient or of Motor, not {type(client).__name__}"
        )
    admin = client["admin"]
    with faults.Translation(drivers.address(admin)), pymongo.timeout(TRY_S):
        hello = await admin.command("hello", read_preference=drivers.PRIMARY)
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise TransactionsMissing(
            f"{drivers.address(admin)} has no transactions: it is a single server without a replica set",
            hint="start it with --replSet and run rs.initiate() once; a set of one member is enough",
        )
    return cast("Mapping[str, Any]", hello)


@asynccontextmanager
async def transaction(client: Any, *, flush: Callable[[], Awaitable[object]] | None = None) -> AsyncIterator[Any]:
    """Give a session with a transaction, which the end of the block commits and an error aborts.

    What the block raises is raised as it is, a driver's error too, so that a caller may begin again on its labels.

    Args:
        client: of PyMongo's asynchronous API or of Motor.
        flush: writes something to the journal, where only that puts the commit on disk (see `check`).

    Raises:
        CommitUnknown: whether it was committed could not be learnt.
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
            await _flush(flush)
    finally:
        await session.end_session()


@asynccontextmanager
async def plain_transaction(client: Any) -> AsyncIterator[Any]:
    """Give a session with a transaction that no record takes part in."""
    await _check_topology(client)
    async with transaction(client) as session:
        yield session


async def end_what_is_overdue(client: Any) -> None:
    """Have the server end transactions that were left open for too long.

    MongoDB does so by itself after a minute; the embedded server does when another transaction begins.
    """
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
    with suppress(PyMongoError, TimeoutError), pymongo.timeout(TRY_S):  # the server aborts what nobody ends
        await session.abort_transaction()


async def _commit(session: Any, where: str) -> None:
    kill_point.at("commit.before")
    until = steady() + COMMIT_S
    while True:
        try:
            kill_point.soon("commit.sent")
            with pymongo.timeout(TRY_S):
                await session.commit_transaction()
        except PyMongoError as error:
            if not _is_unknown(error):
                raise
            if steady() >= until:
                said = faults.translated(error, where).message
                raise CommitUnknown(f"whether the transaction was committed is not known: {said}") from error
            await asyncio.sleep(PAUSE_S)
        else:
            kill_point.at("commit.acknowledged")
            return


async def _flush(flush: Callable[[], Awaitable[object]]) -> None:
    try:
        await flush()
    except StoreError as error:
        raise CommitUnknown(f"whether the commit is on disk is not known: {error.message}") from error


def _is_unknown(error: PyMongoError) -> bool:
    return error.has_error_label("UnknownTransactionCommitResult") or error.timeout
