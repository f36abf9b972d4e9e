"""The notices that a run passes to its observer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from craft_easy.core.events.model.retry import OutcomeKind

if TYPE_CHECKING:
    from craft_easy.core.events.model.delivery import Delivery, Ended, HandlerDelivery
    from craft_easy.core.events.model.pause import PausedHandler
    from craft_easy.core.events.store.deliveries import Tracked
    from craft_easy.core.events.store.worker_registry import WorkerEntry

log: Final = logging.getLogger("craft_easy.core.events")

OutcomeName: TypeAlias = Literal["done", "failed", "retried", "dead", "skipped", "lost"]


def outcome_name(ended: Ended, delivery: Delivery) -> OutcomeName | None:
    """Return the name of an attempt's outcome in the log; None if it was given back without one."""
    outcome, entry = ended.outcome, delivery.handler(ended.handler_id)
    if outcome.kind is OutcomeKind.GIVEN_BACK:
        return None
    if entry is None or entry.attempts < outcome.attempt:
        return "lost"
    if entry.state == "pending":
        return "retried" if outcome.kind is OutcomeKind.RETRY else "failed"
    return entry.state


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """One delivery of this run, once it is stored: `outcome` is done, failed, retried, dead, skipped or lost.

    It ran for `took_ms` milliseconds.
    """

    event_id: str
    event_type: str
    tenant_id: str | None
    handler: str
    outcome: str
    attempt: int
    error: str | None
    due_at: datetime | None
    where: str | None = None
    took_ms: float = 0.0

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
            where=None if error is None else error.where,
            took_ms=ended.outcome.took_ms,
        )

    @classmethod
    def of_crash(cls, record: Tracked, entry: HandlerDelivery) -> DeliveryReport:
        """Return the report of a delivery that became dead in a take-over, since its handler had ended its process."""
        return cls(
            event_id=str(record.document.get("event_id")),
            event_type=str(record.document.get("event_type")),
            tenant_id=record.document.get("tenant_id"),
            handler=entry.id,
            outcome="dead",
            attempt=entry.attempts,
            error=None,
            due_at=None,
        )


DeliveryObserver: TypeAlias = Callable[[DeliveryReport], object]
"""Called with each delivery whose outcome is stored; an exception that it raises is logged."""


def notify(observers: Iterable[DeliveryObserver], report: DeliveryReport) -> None:
    """Pass a report to each observer."""
    for observer in observers:
        try:
            observer(report)
        except Exception:
            log.exception("an observer failed at the report of event %s", report.event_id)


@dataclass(frozen=True, slots=True)
class Began:
    """The run has begun; `events` may be claimed or read now, None where the run has no end."""

    events: int | None


@dataclass(frozen=True, slots=True)
class EventEnded:
    """All deliveries of one event have ended."""


@dataclass(frozen=True, slots=True)
class AwaitedWorker:
    """A worker that owns `events` records, and is taken over in `left` seconds unless it sends a heartbeat."""

    worker: WorkerEntry
    events: int
    left: float


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """The run only waits for these workers now."""

    workers: tuple[AwaitedWorker, ...]


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The log cannot be reached; the run tries again."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionResumed:
    """The log was reached again, after an outage of `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Working:
    """A watch works on `running` events; `waiting` ones are claimed and begin when they may. Reported each second.

    It looks for silent workers about once a second: the log has answered each look from `answered_since` on, the last
    at `answered_at`, in seconds of `clock.steady`; None before the first answer.
    """

    running: int
    waiting: int
    answered_since: float | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class HandlersPaused:
    """These handlers are paused; reported when the run begins, and when it learns of further ones."""

    handlers: tuple[PausedHandler, ...]


@dataclass(frozen=True, slots=True)
class HandlersResumed:
    """The pauses of these handlers have ended."""

    handlers: tuple[str, ...]


Notice: TypeAlias = (
    Began
    | DeliveryReport
    | EventEnded
    | Working
    | WaitingFor
    | ConnectionLost
    | ConnectionResumed
    | HandlersPaused
    | HandlersResumed
)
Observer: TypeAlias = Callable[[Notice], object]
"""Called with each notice, on the run's event loop.

An exception that it raises ends the run, except where the notice reports the outcome of a delivery that a redispatch
has stored: that is logged, and the run continues.
"""


def ignore(_: object) -> None:
    """Observe nothing."""
