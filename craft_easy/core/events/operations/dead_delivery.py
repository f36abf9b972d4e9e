"""The dead deliveries that `dead` lists, one by one or in groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from craft_easy.core.events.model.delivery import HandlerDelivery, HandlerState
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.store.deliveries import Tracked

By = Literal["error", "handler", "type", "tenant"]


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """A delivery that an operator may retry or discard, and its last error.

    `finished_at` is when it died, None while it is pending; `error_type` and `error_message` are of its last error;
    `reason` is "crashed" where the handler ended its process again and again.
    """

    event_id: str
    event_type: str
    timestamp: datetime
    tenant_id: str | None
    handler: str
    state: HandlerState
    attempts: int
    crashes: int
    finished_at: datetime | None
    error_type: str | None
    error_message: str | None
    reason: str | None

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
            finished_at=entry.finished_at,
            error_type=None if last is None else last.type,
            error_message=None if last is None else last.message,
            reason=entry.reason,
        )

    @property
    def cause(self) -> str:
        """The cause of death in one word: the type of the last error, or "crashed"."""
        return self.reason or self.error_type or "unknown"

    @property
    def error(self) -> str | None:
        """The last error, type and message."""
        if self.error_type is None:
            return self.reason
        return f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type


@dataclass(frozen=True, slots=True)
class Deaths:
    """A group of dead deliveries.

    `group` is the error, handler, event type or tenant that they share. `oldest` and `newest` are times of death;
    `event_id`, `handler` and `error` are those of the newest.
    """

    group: str | None
    deaths: int
    oldest: datetime
    newest: datetime
    event_id: str
    handler: str
    error: str


class DeathGroups:
    """Groups dead deliveries, with memory for the groups alone."""

    def __init__(self, by: By) -> None:
        self._by = by
        self._groups: dict[tuple[str | None, ...], Deaths] = {}

    def add(self, death: DeadDelivery) -> None:
        """Add a delivery to its group."""
        key = self._key(death)
        self._groups[key] = _with(self._groups.get(key), death, key[-1])

    def largest_first(self) -> list[Deaths]:
        """Return the groups, the largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.deaths, group.group or "", group.handler))

    def _key(self, death: DeadDelivery) -> tuple[str | None, ...]:
        if self._by == "error":
            return death.handler, death.cause
        return ({"handler": death.handler, "type": death.event_type, "tenant": death.tenant_id}[self._by],)


def _with(group: Deaths | None, death: DeadDelivery, name: str | None) -> Deaths:
    died_at = death.finished_at or death.timestamp
    if group is None:
        return Deaths(name, 1, died_at, died_at, death.event_id, death.handler, death.cause)
    is_newest = died_at >= group.newest
    return Deaths(
        group=name,
        deaths=group.deaths + 1,
        oldest=min(group.oldest, died_at),
        newest=max(group.newest, died_at),
        event_id=death.event_id if is_newest else group.event_id,
        handler=death.handler if is_newest else group.handler,
        error=death.cause if is_newest else group.error,
    )
