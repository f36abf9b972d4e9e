"""What a run reports while it goes on, as notices to one callback, and its summary at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from craft_easy.core.events.model.delivery import Delivery, Ended
from craft_easy.core.events.model.retry import OutcomeKind

if TYPE_CHECKING:
    from craft_easy.core.events.store.deliveries import Tracked
    from craft_easy.core.events.store.registry import WorkerEntry


@dataclass(slots=True)
class RedispatchSummary:
    """What one run came to: the first four, and `taken_over`, count events, the rest deliveries.

    `owned` are still with a living worker, `lost` were claimed and then taken over by another, `orphaned` are pending
    for a handler that is not loaded.
    """

    claimed: int = 0
    owned: int = 0
    lost: int = 0
    done: int = 0
    failed: int = 0
    dead: int = 0
    skipped: int = 0
    orphaned: int = 0
    orphaned_handlers: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    taken_over: int = 0
    abandoned: int = 0
    """Handlers that still run, past their limit or the grace: nobody waits for them, and a loop that closes would."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, died or lacked its handler."""
        return not (self.failed or self.dead or self.orphaned)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """One delivery of this run, once it is stored: `outcome` is done, failed, dead, skipped or lost."""

    event_id: str
    event_type: str
    tenant_id: str | None
    handler: str
    outcome: str
    attempt: int
    error: str | None
    due_at: datetime | None

    @classmethod
    def of(cls, record: Tracked, ended: Ended, delivery: Delivery, outcome: str) -> DeliveryReport:
        entry = delivery.handler(ended.handler_id)
        error = ended.outcome.error
        return cls(
            event_id=str(record.document.get("event_id")),
            event_type=str(record.document.get("event_type")),
            tenant_id=record.document.get("tenant_id"),
            handler=ended.handler_id,
            outcome=outcome,
            attempt=ended.outcome.attempt,
            error=None if error is None else f"{error.type}: {error.message}",
            due_at=None if entry is None else entry.due_at,
        )


@dataclass(frozen=True, slots=True)
class Began:
    """The run has begun; `events` may be claimed or read now."""

    events: int


@dataclass(frozen=True, slots=True)
class EventEnded:
    """All deliveries of one event have ended."""


@dataclass(frozen=True, slots=True)
class AwaitedWorker:
    """A worker that owns `events` records; it is taken over in `left` seconds unless it sends a heartbeat."""

    worker: WorkerEntry
    events: int
    left: float


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """Nothing is left to do but to wait for these workers."""

    workers: tuple[AwaitedWorker, ...]


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The log cannot be reached; the run tries again."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionResumed:
    """The log was reached again, after an outage of `seconds`."""

    seconds: float


Notice: TypeAlias = Began | DeliveryReport | EventEnded | WaitingFor | ConnectionLost | ConnectionResumed
Observer: TypeAlias = Callable[[Notice], object]
"""Called with each notice, on the run's event loop; an exception that it raises ends the run."""


def ignore(_: Notice) -> None:
    """Observe nothing."""


def outcome_of(ended: Ended, delivery: Delivery) -> Literal["done", "failed", "dead", "skipped", "lost"] | None:
    """Return what became of an attempt in the log; None when it was given back without one."""
    outcome, entry = ended.outcome, delivery.handler(ended.handler_id)
    if outcome.kind is OutcomeKind.GIVEN_BACK:
        return None
    if entry is None or entry.attempts < outcome.attempt:
        return "lost"
    if entry.state == "pending":
        return "failed"
    return entry.state
