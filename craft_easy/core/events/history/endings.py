"""The endings of deliveries: which attempts each change of a record has ended, each reported once. Pure.

A record stores the state of its deliveries, not the latest change. So the deliveries of recently changed records are
remembered. In any other record an ending is new if it came after the latest claim, because earlier ones were in the
record that the worker claimed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.documents import from_document

Record = Mapping[str, Any]

REMEMBERED: Final = 10_000
"""The maximum number of records whose deliveries are remembered."""
_Seen = tuple[int, str]
"""Attempts and state of one handler's delivery."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one attempt of a delivery, or of a delivery that an operator or a crash ended without an attempt.

    Args:
        outcome: done, failed (another attempt follows), dead or skipped.
        attempt: the number of attempts so far.
        error: type and message of the exception that this attempt raised.
        took_ms: milliseconds that this attempt ran.
        reason: why the delivery was skipped, or died without an error.
        at: the database's time of the end; None where the record has none, as for a `Retry`.
        event_state: the state of the event after it.
    """

    event_id: str
    event_type: str
    tenant_id: str | None
    handler: str
    outcome: str
    attempt: int
    error: str | None
    took_ms: float | None
    reason: str | None
    at: datetime | None
    event_state: str | None = None


class Endings:
    """Finds the deliveries that ended with each change of a record.

    Args:
        since: in a record that is not remembered, no earlier ending is new.
    """

    def __init__(self, since: datetime) -> None:
        self._since = _aware(since)
        self._known: OrderedDict[object, dict[str, _Seen]] = OrderedDict()

    def of(self, key: object, record: Record) -> list[Ending]:
        """Return the new endings of a record in order of time, and remember them.

        Args:
            key: identifies the record.
            record: the record after the change.
        """
        document = record.get("delivery")
        if not isinstance(document, Mapping):
            return []
        delivery = from_document(document)
        before = self._known.pop(key, None)
        ended = [entry for entry in delivery.handlers if _has_ended(entry) and self._is_new(entry, delivery, before)]
        self._remember(key, delivery)
        return sorted((_ending(record, entry, delivery.state) for entry in ended), key=_time_of)

    def _is_new(self, entry: HandlerDelivery, delivery: Delivery, before: Mapping[str, _Seen] | None) -> bool:
        if before is not None:
            return before.get(entry.id) != (entry.attempts, entry.state)
        ended_at = _ended_at(entry) or entry.due_at
        claimed_at = _aware(delivery.claimed_at) if delivery.claimed_at else self._since
        return ended_at is None or _aware(ended_at) >= max(self._since, claimed_at)

    def _remember(self, key: object, delivery: Delivery) -> None:
        self._known[key] = {entry.id: (entry.attempts, entry.state) for entry in delivery.handlers}
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _has_ended(entry: HandlerDelivery) -> bool:
    """Return whether an attempt ended: a pending delivery may still wait for its first, also of a fresh budget."""
    return not entry.is_pending or entry.attempts > entry.budget_from


def _ending(record: Record, entry: HandlerDelivery, event_state: str) -> Ending:
    envelope, error = read_envelope(record), _error_of(entry)
    has_run = entry.state != "skipped" and entry.reason is None
    return Ending(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        tenant_id=envelope.tenant_id,
        handler=entry.id,
        outcome="failed" if entry.is_pending else entry.state,
        attempt=entry.attempts,
        error=None if error is None else f"{error.type}: {error.message}",
        took_ms=entry.took_ms if has_run else None,
        reason=entry.reason,
        at=_ended_at(entry),
        event_state=event_state,
    )


def _error_of(entry: HandlerDelivery) -> Failure | None:
    """Return the error of the latest attempt; the record also keeps those of earlier attempts."""
    failures: Sequence[Failure] = entry.errors[-1:]
    is_its_own = entry.is_pending or (entry.state == "dead" and entry.reason is None)
    return next((failure for failure in failures if is_its_own and failure.attempt == entry.attempts), None)


def _ended_at(entry: HandlerDelivery) -> datetime | None:
    error = _error_of(entry)
    moment = entry.finished_at or (error.at if error is not None else None)
    return None if moment is None else _aware(moment)


def _time_of(ending: Ending) -> datetime:
    return ending.at or datetime.max.replace(tzinfo=UTC)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
