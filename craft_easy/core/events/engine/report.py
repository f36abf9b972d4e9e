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
    """What one run came to: `events` to `lost` and `not_due` count events, the rest deliveries.

    Args:
        events: events that were worked on; with `--watch` each of them may have been `claimed` several times.
        owned: events that a living worker still owns.
        lost: events that were claimed and then taken over by another worker.
        retried: deliveries whose handler asked for another attempt (`Retry`).
        not_due: events that wait for their back-off, up to a bound; the first of them is due at `next_due_at`.
        orphaned: deliveries that wait for a handler that is not loaded.
        abandoned: handlers that still run past their limit or the grace; nothing waits for them.
    """

    events: int = 0
    claimed: int = 0
    taken_over: int = 0
    owned: int = 0
    lost: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    not_due: int = 0
    next_due_at: datetime | None = None
    orphaned: int = 0
    orphaned_handlers: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    abandoned: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, died or lacked its handler."""
        return not (self.failed or self.dead or self.orphaned)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """One delivery of this run, once it is stored: `outcome` is done, failed, retried, dead, skipped or lost."""

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
    """The run has begun; `events` may be claimed or read now, None where the run has no end."""

    events: int | None


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


def ignore(_: object) -> None:
    """Observe nothing."""


OutcomeName: TypeAlias = Literal["done", "failed", "retried", "dead", "skipped", "lost"]


def outcome_of(ended: Ended, delivery: Delivery) -> OutcomeName | None:
    """Return what became of an attempt in the log; None when it was given back without one."""
    outcome, entry = ended.outcome, delivery.handler(ended.handler_id)
    if outcome.kind is OutcomeKind.GIVEN_BACK:
        return None
    if entry is None or entry.attempts < outcome.attempt:
        return "lost"
    if entry.state == "pending":
        return "retried" if outcome.kind is OutcomeKind.RETRY else "failed"
    return entry.state
