"""Redaction: the removal of payloads on request, while ids and deliveries stay.

    from craft_easy.core.events.operations.redact import redact
    from craft_easy.core.events.model.selection import Selection

    redacted = await redact(store, Selection(tenants=("acme",)), by="ada", reason="request 17")

Nothing else changes the payload of a stored event. The same write skips pending and dead deliveries, with the reason
`redacted`, and removes the texts of errors and the reasons of skips. The record keeps the time, the operator and the
reason under `redacted`. Type, time, tenant, actor, ids and deliveries stay. So do copies elsewhere: in archives,
backups, the database's oplog, and the data that handlers derived from the event. Publishing the same event again is a
no-op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from craft_easy.core.events.model.delivery import REDACTED
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.model.retry import cut
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.documents import record_event_id
from craft_easy.core.events.store.queries import redact as redact_queries
from craft_easy.core.events.store.queries.redact import Kept, RedactionMark

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore


@dataclass(slots=True)
class Redacted:
    """The events that a redaction would change, or has changed.

    `counts` are the events that lose their payload, with their skipped deliveries. `kept` are the ids of the events
    that keep it, with the reason: a transaction locked the record, or the server refused. The same call may be made
    again.
    """

    counts: Counts = field(default_factory=Counts)
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """True if every chosen payload is gone."""
        return not self.kept


async def count(store: EventStore, selection: Selection) -> Redacted:
    """Count the events that `redact` would change now; nothing is written.

    Raises:
        ValueError: the selection names neither a tenant nor an actor.
        StoreUnavailable: the log was not reached.
    """
    _check(selection)
    redacted = Redacted()
    async with aclosing(redact_queries.unredacted(store, selection)) as pages:
        async for page in pages:
            for record in page:
                redacted.counts.add(record.document, _unfinished(record))
    return redacted


async def redact(
    store: EventStore,
    selection: Selection,
    *,
    by: str | None = None,
    reason: str | None = None,
    on_redacted: Callable[[int], None] | None = None,
) -> Redacted:
    """Remove the payloads of the selected events for good.

    Events that are published while it runs may be passed over; those already redacted stay as they are.

    Args:
        selection: the events; it must name tenants or actors.
        by: the operator; the record keeps it, as well as `reason`, cut at 2,000 characters.
        reason: the reason, without personal data.
        on_redacted: called with the number of events that each write reached.

    Raises:
        ValueError: the selection names neither a tenant nor an actor.
        StoreUnavailable: the log was not reached; the same call may be made again.
    """
    _check(selection)
    trace = RedactionMark(await store.now(), _text(by), _text(reason))
    redacted = Redacted()
    async with aclosing(redact_queries.unredacted(store, selection)) as pages:
        async for page in pages:
            kept = await redact_queries.remove_payloads(store, page, trace)
            _note(redacted, page, kept, trace)
            if on_redacted is not None:
                on_redacted(len(page) - len(kept))
    return redacted


def _check(selection: Selection) -> None:
    if not (selection.tenants or selection.actors):
        raise ValueError("a redaction needs a tenant or an actor: name one")


def _text(text: str | None) -> str | None:
    return None if text is None else cut(text)


def _unfinished(record: Tracked) -> list[str]:
    return [entry.id for entry in record.delivery.handlers if entry.state in ("pending", "dead")]


def _note(redacted: Redacted, page: Sequence[Tracked], kept: Sequence[Kept], trace: RedactionMark) -> None:
    reasons = {id(refusal.record): refusal.reason for refusal in kept}
    for record in page:
        if id(record) in reasons:
            redacted.kept[record_event_id(record.document)] = reasons[id(record)]
        else:
            redacted.counts.add(record.document, _skipped(record, trace))


def _skipped(record: Tracked, trace: RedactionMark) -> list[str]:
    handlers = record.delivery.handlers
    return [entry.id for entry in handlers if entry.reason == REDACTED and entry.finished_at == trace.at]
