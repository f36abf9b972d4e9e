"""What a redispatch tells: each delivery as it is stored, whom it waits for, and what it all came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from craft_easy.core.events.model.delivery import Delivery, Ended
from craft_easy.core.events.model.retry import OutcomeKind

if TYPE_CHECKING:
    from craft_easy.core.events.store.deliveries import Tracked
    from craft_easy.core.events.store.registry import WorkerEntry


@dataclass(slots=True)
class RedispatchSummary:
    """What one run came to: the first four, and `taken_over`, count events, the rest deliveries.

    `held` stand behind an event of their tenant that this run may not run (`ordered`), `owned` are still with a living
    worker, `lost` were claimed and then taken over by another, `orphaned` are pending for a handler that is not loaded.
    """

    claimed: int = 0
    held: int = 0
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
    """One delivery of this run, as it is stored: `outcome` is done, failed, dead, skipped or lost."""

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
class Waiting:
    """Records that a worker owns; it is taken over in `left` seconds unless it beats."""

    worker: WorkerEntry
    events: int
    left: float


class Observer:
    """Is told how a run goes; does nothing by itself."""

    def began(self, events: int) -> None:
        """So many events may be claimed now."""

    def reported(self, report: DeliveryReport) -> None:
        """A delivery's outcome is stored."""

    def ended(self) -> None:
        """All deliveries of one event have ended."""

    def waits(self, waiting: Sequence[Waiting]) -> None:
        """Nothing else is left to do but to wait for these."""

    def lost(self, reason: str) -> None:
        """The log cannot be reached; the run tries again."""

    def resumed(self, seconds: float) -> None:
        """The log was reached again, after so long."""


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
