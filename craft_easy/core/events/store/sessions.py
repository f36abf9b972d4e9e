"""Transactions of MongoDB, on either driver: begun only where the server has them, committed until the answer is known.

A commit may be sent again as often as its answer is lost: the server knows the transaction and commits it once.
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

EMBEDDED_SET: Final = "secantus"
"""The name of the replica set that the embedded server says it is."""
EMBEDDED_DATABASE: Final = "craft_events_embedded"
COMMIT_S: Final = 60.0
"""Seconds for which a commit is asked for again while its answer is lost."""
TRY_S: Final = 10.0
"""Seconds after which one call of a transaction has failed."""
PAUSE_S: Final = 0.2
_SNAPSHOT: Final = ReadConcern("snapshot")


async def check(client: Any, store: Log, owner: str) -> Flush | None:
    """Make sure that a client can take the log's records into its transactions, before anything is written.

    It is of the log's deployment where it finds this very worker in the registry: an owner's name is never used twice,
    so this holds for every topology and whatever the addresses are.

    Returns what makes an acknowledged commit durable where the server does not, for `transaction`; None for MongoDB.

    Raises:
        TypeError: not a client of PyMongo's asynchronous API or of Motor.
        TransactionsMissing: the server has none.
        WrongDeployment: it does not know this worker.
    """
    hello = await _check_topology(client)
    site = await store.connection()
    where = drivers.address(client[site.database.name])
    with faults.translate_errors(where), pymongo.timeout(TRY_S):
        workers = drivers.majority_collection(client[site.database.name], store.workers_name, CODEC)
        found = await workers.find_one({"_id": owner}, {"_id": 1})
    if found is None:
        raise WrongDeployment(
            f"{where} does not hold this log, and a transaction reaches one deployment",
            hint=f"use the client of {site.where}, or give the store this client's database: EventStore(client[…])",
        )
    return _flush_of(client, hello, owner)


def _flush_of(client: Any, hello: Mapping[str, Any], owner: str) -> Flush | None:
    return Flush(client, hello, owner) if hello.get("setName") == EMBEDDED_SET else None


class Flush:
    """Brings a commit of the embedded server to its disk: only the next journaled write does.

    That write is one that no driver sends again, and the server is the same process before and after: one that was
    killed in between has lost the commit, whatever the next one answers.

    Args:
        client: that commits.
        hello: the server's greeting, from before the transaction.
        owner: who commits.
    """

    def __init__(self, client: Any, hello: Mapping[str, Any], owner: str) -> None:
        self._admin = client["admin"]
        self._commits = client[EMBEDDED_DATABASE].get_collection("commits", write_concern=drivers.MAJORITY)
        self._before = hello.get("topologyVersion")
        self._owner = owner

    async def __call__(self) -> None:
        """Return when the commit is on disk.

        Raises:
            CommitUnknown: the server was lost meanwhile.
        """
        where = drivers.address(self._admin)
        try:
            with faults.translate_errors(where), pymongo.timeout(TRY_S):
                with suppress(DuplicateKeyError):  # another commit of ours was quicker, and its write did it
                    await self._commits.update_many({"_id": self._owner}, {"$inc": {"commits": 1}}, upsert=True)
                hello = await drivers.hello(self._admin)
        except StoreError as error:
            raise CommitUnknown(f"whether the commit is on disk is not known: {error.message}") from error
        if hello.get("topologyVersion") != self._before:
            raise CommitUnknown(f"{where}: whether the commit is on disk is not known: the server was started anew")


async def _check_topology(client: Any) -> Mapping[str, Any]:
    """Refuse what accepts the calls of a transaction and would roll nothing back: go by the topology."""
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
    """Give a session with a transaction, which the end of the block commits and an error aborts.

    What the block raises is raised as it is, a driver's error too, so that a caller may begin again on its labels.

    Args:
        client: of PyMongo's asynchronous API or of Motor.
        flush: what `check` returned.

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
            await flush()
    finally:
        await session.end_session()


@asynccontextmanager
async def plain_transaction(client: Any) -> AsyncIterator[Any]:
    """Give a session with a transaction that no record takes part in."""
    flush = _flush_of(client, await _check_topology(client), "without a record")
    async with transaction(client, flush=flush) as session:
        yield session


async def end_what_is_overdue(client: Any) -> None:
    """Have the server end transactions that were left open for too long.

    MongoDB does so by itself after a minute; the embedded server does when another transaction begins.
    """
    if not drivers.is_client(client):
        return  # a stand-in in memory has no transactions
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
                said = faults.translated(error, where).message
                raise CommitUnknown(f"whether the transaction was committed is not known: {said}") from error
            await asyncio.sleep(PAUSE_S)
        else:
            hooks.kill_point("commit.acknowledged")
            return


def _is_unknown(error: PyMongoError) -> bool:
    return error.has_error_label("UnknownTransactionCommitResult") or error.timeout
