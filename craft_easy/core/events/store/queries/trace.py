"""What belongs to a chain of events: the few fields that tie them together, and where they are looked for.

No index knows causes: it would cost every publish a write, for a question that is seldom asked. Two indexes that are
there answer it. An event that was published inside a delivery has an id that begins with its parent's milliseconds
(`children.child_id`), so that all of a chain lies in one short range of the unique index over `event_id`. One that was
given an id of its own is found in a window of time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from bson.errors import BSONError

from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.encoding import canonical
from craft_easy.core.events.store.filters import Condition, can_be_stored, stored_forms, window

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

FIELDS: Final = (
    "event_id", "event_type", "tenant_id", "timestamp", "causation_id", "correlation_id",
    "delivery.state", "delivery.finished_at",
)  # fmt: skip
PAGE: Final = 1_000
MAX_NAMED: Final = 200
"""So many ids stand in a query; a server may compare each event with each of them."""
READ_AT_ONCE: Final = 100
"""So many records are read whole at a time, payloads included."""
_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """An event of a chain: what it is, and what caused it.

    Args:
        record_id: the `_id` of its record.
        state: of its delivery; None where the record has none.
        finished_at: when its delivery ended.
    """

    record_id: Any
    event_id: str
    event_type: str
    tenant_id: str | None
    timestamp: datetime
    causation_id: str | None
    correlation_id: str | None
    state: str | None = None
    finished_at: datetime | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return what ties a record to others, whoever wrote it."""
        envelope = read_envelope(record)
        delivery = record.get("delivery")
        delivery = delivery if isinstance(delivery, Mapping) else {}
        state, finished_at = delivery.get("state"), delivery.get("finished_at")
        return cls(
            record_id=record.get("_id"),
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            tenant_id=envelope.tenant_id,
            timestamp=envelope.timestamp,
            causation_id=envelope.causation_id or None,
            correlation_id=envelope.correlation_id or None,
            state=state if isinstance(state, str) else None,
            finished_at=finished_at if isinstance(finished_at, datetime) else None,
        )


def id_range(event_id: str) -> tuple[str, str] | None:
    """Return the bounds, the second left out, between which the derived ids of an event's descendants lie.

    None for an id that tells no time: what such an event causes has ids that lie anywhere.

    >>> id_range("019abf3e-77d1-7000-8000-000000000057")
    ('019abf3e-77d1-7', '019abf3e-77d1-8')
    """
    if not _UUID7.fullmatch(event_id):
        return None
    milliseconds = event_id[:14].lower()
    return f"{milliseconds}7", f"{milliseconds}8"


async def by_id_range(store: Log, bounds: tuple[str, str]) -> AsyncGenerator[list[Link], None]:
    """Yield the events with an id between these bounds that have a cause; an index answers."""
    condition: Condition = {"event_id": {"$gte": bounds[0], "$lt": bounds[1]}, "causation_id": {"$gt": ""}}
    async with store.call(store.scan_timeout) as site:
        cursor = site.events.find(condition, FIELDS, batch_size=PAGE)
        page = await cursor.to_list(PAGE)
    try:
        while page:
            yield [Link.of(record) for record in page]
            async with store.call(store.scan_timeout) as site:
                page = await cursor.to_list(PAGE)
    finally:
        await cursor.close()


async def in_window(
    store: Log,
    since: datetime,
    until: datetime,
    *,
    chains: Collection[str] = (),
    parents: Collection[str] = (),
    seconds: float | None = None,
) -> list[Link]:
    """Return the events of a window of time that name one of these chains, or one of these parents, as theirs.

    The server looks at every event of the window. Where there are many parents, all that have a cause are returned.

    Args:
        seconds: the deadline of each query; None for the store's own for a scan.
    """
    found: dict[str, Link] = {}
    # two queries and no $or: the embedded server would read the whole log
    for field, ids in (("correlation_id", chains), ("causation_id", parents)):
        if ids:
            condition: Condition = {**window(since, until), field: _one_of(ids)}
            async with store.call(store.scan_timeout if seconds is None else seconds) as site:
                records = await site.events.find(condition, FIELDS).to_list(None)
            found |= {link.event_id: link for link in map(Link.of, records)}
    return list(found.values())


def _one_of(ids: Collection[str]) -> Condition:
    if len(ids) > MAX_NAMED:
        return {"$gt": ""}
    return {"$in": [form for event_id in ids if can_be_stored(event_id) for form in stored_forms(event_id)]}


async def whole_records(store: Log, ids: Sequence[Any]) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
    """Yield the records with these `_id`s, payloads included, some at a time."""
    for start in range(0, len(ids), READ_AT_ONCE):
        condition = {"_id": {"$in": list(ids[start : start + READ_AT_ONCE])}}
        async with store.call() as site:
            records: Sequence[Mapping[str, Any]] = await site.events.find(condition).to_list(None)
        yield records


def said(record: Mapping[str, Any]) -> bytes | None:
    """Return the bytes that a child's id was derived from, as `documents.event_content` returns them of its event.

    None where another writer left what has no such form: then the id was not derived.
    """
    envelope = read_envelope(record)
    try:
        return canonical([envelope.event_type, envelope.tenant_id, envelope.actor_id, envelope.payload])
    except (BSONError, ArithmeticError, RecursionError, TypeError, ValueError):
        return None
