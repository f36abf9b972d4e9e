"""The queries of redaction: one write removes a payload and skips the pending and dead deliveries.

The write follows the rule of deliveries and requires the `rev` that was read, so that no worker's write brings a text
back. A record that is redacted already is left out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne

from craft_easy.core.events.errors import RecordRefused, StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, redact
from craft_easy.core.events.model.envelope import is_malformed, is_redacted
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import drivers, read
from craft_easy.core.events.store.deliveries import APART_S, BULK_WRITE_S, Tracked, same_revision
from craft_easy.core.events.store.documents import to_document
from craft_easy.core.events.store.filters import UNREDACTED, joined, selection_filter
from craft_easy.core.events.store.read import WITHOUT_PAYLOAD

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

REDACT_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class RedactionMark:
    """The mark of a redaction in a record: its time, the operator and the reason."""

    at: datetime
    by: str | None = None
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the value of `redacted` in the record."""
        return {"at": self.at, "by": self.by, "reason": self.reason}


async def unredacted(store: Log, selection: Selection) -> AsyncGenerator[list[Tracked], None]:
    """Yield the selected records that are not redacted yet, in order, without their payload."""
    condition = joined(selection_filter(selection), dict(UNREDACTED))
    pages = read.scan(
        store, condition, fields=WITHOUT_PAYLOAD, reverse=selection.reverse, limit=selection.limit, size=REDACT_PAGE
    )
    async with aclosing(pages):
        async for page in pages:
            yield [Tracked.of(document) for document in page if not is_malformed(document)]


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that keeps its payload, because a transaction locks it or the server refuses to change it."""

    record: Tracked
    reason: str


async def remove_payloads(store: Log, records: Sequence[Tracked], mark: RedactionMark) -> list[Kept]:
    """Remove the payloads of records and return the records that could not be changed.

    Afterwards the `delivery` of each other record is the stored one. A record that was removed is left as it is.

    Raises:
        StoreUnavailable: the server was not reached; the same call may be made again.
    """
    try:
        await _change(store, records, mark, BULK_WRITE_S)
    except (StoreUnavailable, RecordRefused):
        return await _change_apart(store, records, mark)
    return []


async def _change_apart(store: Log, records: Sequence[Tracked], mark: RedactionMark) -> list[Kept]:
    kept = []
    for record in records:
        try:
            await _change(store, [record], mark, APART_S)
        except StoreUnavailable:
            await store.now()  # raises in an outage, which a lock is not
            kept.append(Kept(record, "it is locked by a transaction"))
        except RecordRefused as error:
            kept.append(Kept(record, error.message))
    return kept


async def _change(store: Log, records: Sequence[Tracked], mark: RedactionMark, seconds: float) -> None:
    todo = list(records)
    while todo:
        after = [redact(record.delivery, at=mark.at, by=mark.by) for record in todo]
        writes = [_write(record, delivery, mark) for record, delivery in zip(todo, after, strict=True)]
        async with store.call(seconds) as connection:
            matched = (await connection.events.bulk_write(writes, ordered=False)).matched_count
        if matched == len(todo):
            for record, delivery in zip(todo, after, strict=True):
                record.delivery = delivery
            return
        todo = await _lost(store, todo)


def _write(record: Tracked, after: Delivery, mark: RedactionMark) -> UpdateOne:
    document = record.document.get("delivery")
    fields: dict[str, Any] = {"payload": {}, "redacted": mark.document()}
    if not isinstance(document, Mapping):
        return UpdateOne({"_id": record.id, "delivery": {"$eq": document}, **UNREDACTED}, {"$set": fields})
    as_it_was = {"_id": record.id, "delivery.rev": same_revision(record.delivery.rev), **UNREDACTED}
    return UpdateOne(as_it_was, {"$set": {**fields, "delivery": to_document(after)}})


async def _lost(store: Log, records: Sequence[Tracked]) -> list[Tracked]:
    """Return the records that were changed in the meantime and still have their payload, as they are now."""
    ids = [record.id for record in records]
    fields = dict.fromkeys((*WITHOUT_PAYLOAD, "redacted"), 1)
    async with store.call() as connection:
        events = drivers.by_majority(connection.events)
        documents = await events.find({"_id": {"$in": ids}}, fields).to_list(None)
    fresh = {record.id: record for record in map(Tracked.of, documents)}
    lost = []
    for record in records:
        now = fresh.get(record.id)
        if now is None:
            continue
        record.document, record.delivery = now.document, now.delivery
        if not is_redacted(now.document):
            lost.append(record)
    return lost
