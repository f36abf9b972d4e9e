"""Running the handlers of an event again: each delivery marked as a replay, each outcome reported and kept nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import DeliveryReport
from craft_easy.core.events.engine.runner import CANCELLED_S
from craft_easy.core.events.engine.watchdog import RunningHandler, RunningHandlers
from craft_easy.core.events.handlers.attempt import attempt, extra_of
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind

log: Final = logging.getLogger("craft_easy.core.events")

_abandoned: Final[set[asyncio.Task[Outcome]]] = set()
"""Held until they end: one that is collected is closed, in the middle of whatever runs then."""


class Redelivery:
    """Runs the handlers of one event after another, of several at the same time.

    Args:
        timeout: seconds that a handler may take where it names no limit.
        report: is told of each delivery that has ended.
    """

    def __init__(self, timeout: float, report: Callable[[DeliveryReport], None]) -> None:
        self.replay_id: str | None = None
        self.abandoned = 0
        """Handlers that still run though nobody waits for them any more."""
        self.running_handlers = RunningHandlers()
        self._timeout = timeout
        self._report = report
        self._running: set[asyncio.Task[Outcome]] = set()
        self._is_cut = False

    async def run(self, event: DomainEvent, handlers: Sequence[Handler]) -> list[str | None]:
        """Await the foreground handlers in order, run the background ones beside them, and return their outcomes.

        An outcome is done, failed or skipped, or None where the delivery was broken off by `cut`.
        """
        beside: list[asyncio.Task[str | None]] = []
        outcomes: list[str | None] = []
        try:
            for handler in handlers:
                if handler.background:
                    beside.append(asyncio.create_task(self._deliver(event, handler)))
                else:
                    outcomes.append(await self._deliver(event, handler))
            return outcomes + [await task for task in beside]
        finally:
            for task in beside:
                task.cancel()

    async def _deliver(self, event: DomainEvent, handler: Handler) -> str | None:
        """Run one delivery, report it and return what became of it; None where it was broken off by a stop."""
        if self._is_cut:
            return None
        current = CurrentDelivery(event, handler.id, is_replay=True, replay_id=self.replay_id)
        limit = handler.timeout or self._timeout
        began = steady()
        running = RunningHandler(handler.id, getattr(handler.function, "__code__", None), limit)
        with self.running_handlers.including(current, running):
            task = asyncio.create_task(attempt(handler, current, timeout=limit))
            self._running.add(task)
            await asyncio.wait({task}, timeout=limit + CANCELLED_S)
        if not task.done():
            self._abandon(task)
            return self._told(event, self._late(handler, event, limit, (steady() - began) * 1000))
        self._running.discard(task)
        if task.cancelled() and self._is_cut:
            return None
        return self._told(event, _cancelled_by_itself(handler, event) if task.cancelled() else task.result())

    def cut(self) -> None:
        """Break off what runs, and begin nothing more."""
        self._is_cut = True
        for task in self._running:
            task.cancel()

    def abandon(self) -> None:
        """Wait no longer for what did not heed its cancellation."""
        for task in [task for task in self._running if not task.done()]:
            self._abandon(task)

    def _abandon(self, task: asyncio.Task[Outcome]) -> None:
        self._running.discard(task)
        self.abandoned += 1
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)

    def _late(self, handler: Handler, event: DomainEvent, limit: float, took_ms: float) -> Outcome:
        text = "handler %r is abandoned on %r %s: it went on after it was cancelled at its limit of %g s"
        log.error(text, handler.id, event.event_type, event.event_id, limit, extra=extra_of(handler, event))
        error = ErrorText("TimeoutError", f"ran past its limit of {limit:g} s, and went on after that")
        return Outcome(handler.id, OutcomeKind.FAILED, took_ms=took_ms, error=error)

    def _told(self, event: DomainEvent, outcome: Outcome) -> str:
        error = outcome.error
        if outcome.kind is OutcomeKind.RETRY:
            error = ErrorText("Retry", "asks for another attempt, which a replay does not give")
        report = DeliveryReport(
            event_id=event.event_id,
            event_type=event.event_type,
            tenant_id=event.tenant_id,
            handler=outcome.handler_id,
            outcome=_word_for(outcome.kind),
            attempt=outcome.attempt,
            error=None if error is None else f"{error.type}: {error.message}",
            due_at=None,
        )
        self._report(report)
        return report.outcome


def _word_for(kind: OutcomeKind) -> str:
    match kind:
        case OutcomeKind.SUCCEEDED:
            return "done"
        case OutcomeKind.DISCARDED:
            return "skipped"
        case _:
            return "failed"


def _cancelled_by_itself(handler: Handler, event: DomainEvent) -> Outcome:
    text = "handler %r cancelled the task that it runs in on %r %s"
    log.error(text, handler.id, event.event_type, event.event_id, extra=extra_of(handler, event))
    return Outcome(
        handler.id, OutcomeKind.FAILED, error=ErrorText("CancelledError", "cancelled the task that it runs in")
    )
