"""The registry of workers: who owns records, how long their lease is, when they last beat.

A document a worker, in a collection of its own: `{_id: owner, host, pid, started_at, beat_at, lease, fenced}`.
All times are the database's. A beat revives nobody: a worker that was fenced, or whose entry is gone, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pymongo
from pymongo import MongoClient, ReturnDocument

from craft_easy.core.events.store.drivers import MAJORITY

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

FORGET_AFTER: Final = timedelta(days=1)
"""The entry of a worker that was fenced stays this long for whoever asks what happened."""


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    """A worker as the registry knows it; `lease` is in seconds."""

    owner: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    lease: float
    fenced: bool

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
        )


def _beat_of(owner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"_id": owner, "fenced": False}, {"$currentDate": {"beat_at": True}}


class WorkerRegistry:
    """Reads and changes the registry of workers."""

    def __init__(self, store: Log) -> None:
        self._store = store

    async def register(self, owner: str, *, lease: float) -> datetime:
        """Enter a worker and return the database's time."""
        host, pid, _ = owner.rsplit(":", 2)
        entry = {"host": host, "pid": int(pid), "lease": lease, "fenced": False}
        async with self._store.call() as site:
            document = await site.workers.find_one_and_update(
                {"_id": owner},
                {"$setOnInsert": entry, "$currentDate": {"started_at": True, "beat_at": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert document is not None  # an upsert has one
        return WorkerEntry.of(document).beat_at

    async def beat(self, owner: str) -> datetime | None:
        """Renew a lease with a write that the majority acknowledges; None is a refusal."""
        async with self._store.call() as site:
            document = await site.workers.find_one_and_update(*_beat_of(owner), return_document=ReturnDocument.AFTER)
        return None if document is None else WorkerEntry.of(document).beat_at

    async def entries(self) -> dict[str, WorkerEntry]:
        """Return all entries by owner."""
        async with self._store.call() as site:
            documents = await site.workers.find({}).to_list(None)
        return {entry.owner: entry for entry in map(WorkerEntry.of, documents)}

    async def fence(self, entry: WorkerEntry) -> bool:
        """Fence a worker whose last beat is still the one that was seen; answer whether that was so."""
        async with self._store.call() as site:
            result = await site.workers.update_one(
                {"_id": entry.owner, "fenced": False, "beat_at": entry.beat_at}, {"$set": {"fenced": True}}
            )
        return bool(result.matched_count)

    async def remove(self, owner: str) -> None:
        """Take a worker out: it owns nothing any more."""
        async with self._store.call() as site:
            await site.workers.delete_one({"_id": owner})

    async def forget(self, *, at: datetime) -> None:
        """Take out the workers that were fenced long ago."""
        async with self._store.call() as site:
            await site.workers.delete_many({"fenced": True, "beat_at": {"$lt": at - FORGET_AFTER}})

    def channel(self, *, timeout: float) -> ThreadChannel:
        """Return a channel for the thread that beats, with a client of its own."""
        client, database = self._store.synchronous(timeout=timeout)
        return ThreadChannel(client, database, self._store.workers_name, timeout)


class ThreadChannel:
    """A synchronous way to the registry, for a thread that must go on while its loop is blocked.

    Each call, connecting included, ends within `timeout` seconds. Driver errors are raised as they are.
    """

    def __init__(self, client: MongoClient[dict[str, Any]], database: str, collection: str, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._workers = client.get_database(database).get_collection(collection, write_concern=MAJORITY)

    def beat(self, owner: str) -> datetime | None:
        """Renew a lease; return the database's time, or None when refused."""
        with pymongo.timeout(self._timeout):
            document = self._workers.find_one_and_update(*_beat_of(owner), return_document=ReturnDocument.AFTER)
        return None if document is None else document["beat_at"]

    def end(self, owner: str) -> None:
        """Take the worker out of the registry, so that what it left is free at once."""
        with pymongo.timeout(self._timeout):
            self._workers.delete_one({"_id": owner})

    def close(self) -> None:
        self._client.close()
