"""An archive that is a collection of the same database: the same records, to the byte, under the same `_id`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from craft_easy.core.events import hooks
from craft_easy.core.events.store import drivers
from craft_easy.core.events.store.documents import same_content
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.inserting import MAX_NAMED
from craft_easy.core.events.store.queries.prune import RAW, Copy

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore


class CollectionArchive:
    """Keeps records in a collection of the log's database.

    A record that an earlier run kept, and that was written since, takes the place of its older copy; another event
    under the same id does not.

    Args:
        store: the log.
        name: of the collection.
    """

    def __init__(self, store: EventStore, name: str) -> None:
        if name in (store.name, store.workers_name):
            raise ValueError(f"{name} is the log itself or its registry, and no archive")
        self._store = store
        self._name = name

    def __str__(self) -> str:
        return f"{self._store.database_name}.{self._name}"

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        """Keep copies of records and return the records of which there is no exact copy when this returns.

        Raises:
            StoreUnavailable: nothing is known of the copies; the same call may be made again.
        """
        await self._insert([one.document for one in copies])
        hooks.at("prune.copied")
        differing = await self._differing(copies)
        if differing:
            await self._replace(differing)
            differing = await self._differing([one for one, _ in differing])
        return [one for one, _ in differing]

    async def _insert(self, documents: Sequence[RawBSONDocument]) -> None:
        async with self._store.call() as site:
            try:
                await self._archive(site.database).insert_many(documents, ordered=False)
            except BulkWriteError as error:
                refused = error.details.get("writeErrors", ())
                if error.details.get("writeConcernErrors") or not refused:
                    raise
                # those that are there already, or that it does not take: what is there is looked at next

    async def _differing(self, copies: Sequence[Copy]) -> list[tuple[Copy, RawBSONDocument | None]]:
        """Return the records whose copy, as the majority has it, is not the record to the byte, and that copy."""
        kept: dict[bytes, RawBSONDocument] = {}
        for start in range(0, len(copies), MAX_NAMED):
            ids = [one.id for one in copies[start : start + MAX_NAMED]]
            async with self._store.call() as site:
                archive: Any = drivers.by_majority(self._archive(site.database))
                for document in await archive.find({"_id": {"$in": ids}}).to_list(None):
                    kept[Copy(document).key] = document
        pairs = [(one, kept.get(one.key)) for one in copies]
        return [(one, copy) for one, copy in pairs if copy is None or copy.raw != one.data]

    async def _replace(self, differing: Sequence[tuple[Copy, RawBSONDocument | None]]) -> None:
        older = [one for one, copy in differing if copy is not None and _says_the_same(one.document, copy)]
        if not older:
            return
        writes: list[ReplaceOne[Any]] = [ReplaceOne({"_id": one.id}, one.document) for one in older]
        async with self._store.call() as site:
            await self._archive(site.database).bulk_write(writes, ordered=False)

    def _archive(self, database: drivers.Database) -> Any:
        return drivers.majority_collection(database, self._name, RAW)


def _says_the_same(one: RawBSONDocument, other: RawBSONDocument) -> bool:
    return same_content(*(bson.decode(each.raw, codec_options=CODEC) for each in (one, other)))
