"""The registry of workers: their leases and their last heartbeats.

One document for each worker, in a collection of its own: `{_id: owner, host, pid, started_at, beat_at, lease, fenced,
running: [{handler, event_id, since}]}`; `running` are its longest running deliveries, as of the last heartbeat of its
thread. All times are the database's. A heartbeat never revives a worker that was fenced or whose entry is gone: it is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pymongo
from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReturnDocument

from craft_easy.core.events.model.pause import Pause
from craft_easy.core.events.store.drivers import MAJORITY, PRIMARY
from craft_easy.core.events.store.pauses import MAX_PAUSES, HandlerPauses, pauses_of

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

FORGET_AFTER: Final = timedelta(days=1)
"""How long the entry of a fenced worker stays, so that `workers` can show it."""


_AWARE: Final = CodecOptions[dict[str, Any]](tz_aware=True)
"""The codec of the thread's collections; mongomock does not take it from the client."""


@dataclass(frozen=True, slots=True)
class RunningDelivery:
    """A delivery that a worker runs, and since when."""

    handler: str
    event_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    """A worker's entry in the registry; `lease` is in seconds."""

    owner: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    lease: float
    fenced: bool
    running: tuple[RunningDelivery, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> WorkerEntry:
        return cls(
            owner=str(document["_id"]),
            host=str(document.get("host", "")),
            pid=int(document.get("pid", 0)),
            started_at=document["started_at"],
            beat_at=document["beat_at"],
            lease=float(document.get("lease", 0)),
            fenced=bool(document.get("fenced")),
            running=_running_of(document.get("running")),
        )


def _running_of(value: object) -> tuple[RunningDelivery, ...]:
    """Read what a worker runs; a worker of an earlier version does not say."""
    return tuple(
        RunningDelivery(str(one.get("handler", "")), str(one.get("event_id", "")), one["since"])
        for one in (value if isinstance(value, list) else [])
        if isinstance(one, Mapping) and isinstance(one.get("since"), datetime)
    )


def _beat_of(owner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"_id": owner, "fenced": False}, {"$currentDate": {"beat_at": True}}


class WorkerRegistry:
    """Reads and changes the registry of workers."""

    def __init__(self, store: Log) -> None:
        self._store = store

    async def register(self, owner: str, *, lease: float) -> datetime:
        """Add a worker and return the database's time."""
        host, pid, _ = owner.rsplit(":", 2)
        entry = {"host": host, "pid": int(pid), "lease": lease, "fenced": False}
        async with self._store.call() as connection:
            document = await connection.workers.find_one_and_update(
                {"_id": owner},
                {"$setOnInsert": entry, "$currentDate": {"started_at": True, "beat_at": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert document is not None  # an upsert returns one
        return WorkerEntry.of(document).beat_at

    async def beat(self, owner: str) -> datetime | None:
        """Renew a lease with a majority write and return the database's time; None where the worker was fenced."""
        async with self._store.call() as connection:
            document = await connection.workers.find_one_and_update(
                *_beat_of(owner), return_document=ReturnDocument.AFTER
            )
        return None if document is None else WorkerEntry.of(document).beat_at

    async def entries(self) -> dict[str, WorkerEntry]:
        """Return all entries by owner."""
        async with self._store.call() as connection:
            documents = await connection.workers.find({}).to_list(None)
        return {entry.owner: entry for entry in map(WorkerEntry.of, documents)}

    async def fence(self, entry: WorkerEntry) -> bool:
        """Fence a worker whose last heartbeat is still the one in `entry`; return whether it was."""
        async with self._store.call() as connection:
            result = await connection.workers.update_one(
                {"_id": entry.owner, "fenced": False, "beat_at": entry.beat_at}, {"$set": {"fenced": True}}
            )
        return bool(result.matched_count)

    async def remove(self, owner: str) -> None:
        """Remove a worker that owns nothing any more."""
        async with self._store.call() as connection:
            await connection.workers.delete_one({"_id": owner})

    async def forget(self, *, at: datetime) -> None:
        """Remove the workers whose last heartbeat was more than `FORGET_AFTER` before `at` and that were fenced."""
        async with self._store.call() as connection:
            await connection.workers.delete_many({"fenced": True, "beat_at": {"$lt": at - FORGET_AFTER}})

    async def pauses(self) -> tuple[Pause, ...]:
        """Return the stored pauses of handlers."""
        return await HandlerPauses(self._store).read()

    def channel(self, *, timeout: float) -> ThreadChannel:
        """Return a channel for the thread that sends heartbeats, with a client of its own."""
        client, database = self._store.synchronous(timeout=timeout)
        return ThreadChannel(client, database, self._store.workers_name, self._store.handlers_name, timeout)


class ThreadChannel:
    """Synchronous access to the registry and the pauses, for the thread that sends heartbeats.

    Each call, connecting included, ends within `timeout` seconds. Errors of the driver are raised as they are.
    """

    def __init__(
        self, client: MongoClient[dict[str, Any]], database: str, workers: str, handlers: str, timeout: float
    ) -> None:
        self._client = client
        self._timeout = timeout
        in_database = client.get_database(database)
        self._workers = in_database.get_collection(workers, codec_options=_AWARE, write_concern=MAJORITY)
        self._handlers = in_database.get_collection(handlers, codec_options=_AWARE, read_preference=PRIMARY)

    def beat(self, owner: str, running: Sequence[RunningDelivery] = ()) -> datetime | None:
        """Renew a lease, note what runs, and return the database's time; None where the worker was fenced."""
        condition, renewal = _beat_of(owner)
        note = {"$set": {"running": [asdict(one) for one in running]}}
        with pymongo.timeout(self._timeout):
            document = self._workers.find_one_and_update(
                condition, renewal | note, return_document=ReturnDocument.AFTER
            )
        return None if document is None else document["beat_at"]

    def pauses(self) -> tuple[Pause, ...]:
        """Return the stored pauses of handlers."""
        with pymongo.timeout(self._timeout):
            return pauses_of(self._handlers.find({}).sort("_id", 1).limit(MAX_PAUSES))

    def end(self, owner: str) -> None:
        """Remove the worker, so that others can take over its records at once."""
        with pymongo.timeout(self._timeout):
            self._workers.delete_one({"_id": owner})

    def close(self) -> None:
        self._client.close()
