"""The dead or pending deliveries that `dead` and `pending` list, one by one or in groups."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

from craft_easy.core.events.model.delivery import HandlerDelivery, HandlerState
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.deliveries import Tracked

By = Literal["error", "handler", "type", "tenant"]


@dataclass(frozen=True, slots=True)
class UnfinishedDelivery:
    """A delivery that is dead or pending, and its last error.

    Args:
        due_at: when it is tried next; None where it is dead.
        owner: the worker that owns its record, and may be running it.
        finished_at: when it died; None while it is pending.
        error_type: of its last error, as are `error_message` and `where`, the innermost frame of the user's code.
        reason: "crashed" where the handler ended its process again and again.
        takeovers: how often its record was taken over from a worker that was lost.
        paused: whether it is pending and its handler is paused.
    """

    event_id: str
    event_type: str
    timestamp: datetime
    tenant_id: str | None
    handler: str
    state: HandlerState
    attempts: int
    crashes: int
    due_at: datetime | None
    owner: str | None
    finished_at: datetime | None
    error_type: str | None
    error_message: str | None
    where: str | None
    reason: str | None
    takeovers: int = 0
    paused: bool = False

    @classmethod
    def of(cls, record: Tracked, entry: HandlerDelivery) -> Self:
        """Return one delivery of a record."""
        envelope = read_envelope(record.document)
        last = entry.errors[-1] if entry.errors else None
        return cls(
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            timestamp=envelope.timestamp,
            tenant_id=envelope.tenant_id,
            handler=entry.id,
            state=entry.state,
            attempts=entry.attempts,
            crashes=entry.crashes,
            due_at=entry.due_at,
            owner=record.delivery.owner,
            finished_at=entry.finished_at,
            error_type=None if last is None else last.type,
            error_message=None if last is None else last.message,
            where=None if last is None else last.where,
            reason=entry.reason,
            takeovers=record.delivery.takeovers,
        )

    @property
    def cause(self) -> str:
        """The cause in a word or two: the type of the last error, "crashed", or what else is known."""
        return self.reason or self.error_type or self._without_error

    @property
    def _without_error(self) -> str:
        if self.crashes:
            return "crashed"
        if self.state != "pending":
            return "unknown"
        if self.attempts:
            return "asked for another attempt"
        return "its worker was lost" if self.takeovers else "not tried yet"

    @property
    def error(self) -> str | None:
        """The last error, type and message."""
        if self.error_type is None:
            return self.reason
        return f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type


@dataclass(frozen=True, slots=True)
class DeliveryGroup:
    """A group of dead, or of pending, deliveries.

    `group` is the error, handler, event type or tenant that they share. `oldest` and `newest` are times of death, of
    pending deliveries the times of their events; `event_id`, `handler` and `error` are those of the newest. `due_at` is
    when the first of them is tried next; all of them wait for a paused handler where `paused` is true.
    """

    group: str | None
    deliveries: int
    oldest: datetime
    newest: datetime
    event_id: str
    handler: str
    error: str
    due_at: datetime | None = None
    paused: bool = False


class GroupedDeliveries:
    """Groups deliveries, with memory for the groups alone."""

    def __init__(self, by: By) -> None:
        self._by = by
        self._groups: dict[tuple[str | None, ...], DeliveryGroup] = {}

    @classmethod
    async def of(cls, deliveries: AsyncGenerator[UnfinishedDelivery, None], by: By) -> list[DeliveryGroup]:
        """Return deliveries in groups, the largest first."""
        grouped = cls(by)
        async with aclosing(deliveries) as each:
            async for one in each:
                grouped.add(one)
        return grouped.largest_first()

    def add(self, death: UnfinishedDelivery) -> None:
        """Add a delivery to its group."""
        key = self._key(death)
        self._groups[key] = _with(self._groups.get(key), death, key[-1])

    def largest_first(self) -> list[DeliveryGroup]:
        """Return the groups, the largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.deliveries, group.group or "", group.handler))

    def _key(self, death: UnfinishedDelivery) -> tuple[str | None, ...]:
        if self._by == "error":
            return death.handler, death.cause
        return ({"handler": death.handler, "type": death.event_type, "tenant": death.tenant_id}[self._by],)


def _with(group: DeliveryGroup | None, death: UnfinishedDelivery, name: str | None) -> DeliveryGroup:
    died_at = death.finished_at or death.timestamp
    if group is None:
        first = DeliveryGroup(name, 1, died_at, died_at, death.event_id, death.handler, death.cause, death.due_at)
        return replace(first, paused=death.paused)
    is_newest = died_at >= group.newest
    return DeliveryGroup(
        group=name,
        deliveries=group.deliveries + 1,
        oldest=min(group.oldest, died_at),
        newest=max(group.newest, died_at),
        event_id=death.event_id if is_newest else group.event_id,
        handler=death.handler if is_newest else group.handler,
        error=death.cause if is_newest else group.error,
        due_at=min((at for at in (group.due_at, death.due_at) if at is not None), default=None),
        paused=group.paused and death.paused,
    )
