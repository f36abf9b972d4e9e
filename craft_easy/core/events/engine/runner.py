"""The one runner: runs the deliveries of one event, in order, for publishers, redispatch and replay.

A sink takes each outcome as it comes: the record's (`sinks.RecordSink`) or a report's. `handlers.attempt` enforces the
limit of a handler; this module deals with a handler that ignores it, or cancels itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.watchdog import RunningHandler
from craft_easy.core.events.handlers.attempt import attempt, log_delivery
from craft_easy.core.events.handlers.background import thread_for
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.model.retry import DEFAULT_RETRY, ErrorText, Outcome, OutcomeKind

if TYPE_CHECKING:
    from craft_easy.core.events.engine.sinks import Sink
    from craft_easy.core.events.handlers.registry import Handler
    from craft_easy.core.events.model.event import DomainEvent

DEFAULT_LIMIT: Final = 15 * 60.0
"""Seconds that a handler may run where neither the handler nor the run has a limit."""
LOOK_S: Final = 0.5
"""Seconds between two checks for handlers that kept running past their limit."""
CANCELLED_S: Final = 1.0
"""Seconds that a handler gets to end after it was cancelled; one that ignores its cancellation is abandoned."""
LEAVING_S: Final = 5.0
"""Seconds that a `KeyboardInterrupt` waits at most until the deliveries that it broke off are given back."""

_abandoned: Final[set[asyncio.Task[None]]] = set()
"""Held until they end: a task that is collected is closed in the middle."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that is about to run.

    Args:
        handler: as registered now.
        known_as: the id under which the record names it; another one after a rename.
        attempt: the number of this run, the first is 1.
        default_limit: seconds that it may take where the handler has no limit of its own.
    """

    handler: Handler
    known_as: str
    attempt: int = 1
    default_limit: float = DEFAULT_LIMIT

    @property
    def limit(self) -> float:
        """The seconds that it may take."""
        return self.default_limit if self.handler.timeout is None else self.handler.timeout

    @property
    def given_back(self) -> Outcome:
        """The outcome of a run that was broken off or did not start."""
        return Outcome(self.handler.id, OutcomeKind.GIVEN_BACK, self.attempt)

    def failed(self, error_type: str, message: str, began_at: float) -> Outcome:
        """Return the outcome of a run that failed without raising."""
        took_ms, retry = (steady() - began_at) * 1000, self.handler.retry or DEFAULT_RETRY
        error = ErrorText(error_type, message)
        return Outcome(self.handler.id, OutcomeKind.FAILED, self.attempt, took_ms, error, retry=retry)


@dataclass(frozen=True, slots=True)
class _Started:
    due: DueDelivery
    current: CurrentDelivery
    began_at: float = field(default_factory=steady)


class RecordRun:
    """Runs the deliveries of one event.

    Args:
        sink: takes their outcomes.
        event: the event that the handlers get.
        due: the deliveries that are to run.
    """

    def __init__(self, sink: Sink, event: DomainEvent, due: Sequence[DueDelivery]) -> None:
        self._sink = sink
        self._event = event
        self._open = {delivery.known_as: delivery for delivery in due}
        """The deliveries that have not ended."""
        self._waiting = deque(due)
        self._tasks: dict[asyncio.Task[None], _Started] = {}
        self.abandoned = 0
        """Handlers that were abandoned: they may still run, and nothing waits for them any more."""

    # for a publisher

    async def dispatch(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Await the foreground deliveries in order, in the caller's context, and start the background ones as tasks.

        A caller that is cancelled while it waits leaves that foreground delivery, and the later ones, pending;
        background ones still start.
        """
        try:
            while self._waiting:
                due = self._waiting.popleft()
                if due.handler.background:
                    start(self._deliver_or_give_back(due))
                else:
                    await self._deliver_or_give_back(due)
        finally:
            while self._waiting:
                due = self._waiting.popleft()
                if due.handler.background:
                    start(self._deliver_or_give_back(due))
                else:
                    self._end(due, due.given_back)

    async def _deliver_or_give_back(self, due: DueDelivery) -> None:
        try:
            await self._deliver(due, self._current_for(due))
        finally:
            self._end(due, due.given_back)

    # for a redispatch and a replay

    async def run(self, *, is_alone: bool = False) -> None:
        """Run every delivery to its end, each in a task and a context of its own; cancelling this gives back the rest.

        Foreground deliveries run one after another, in their order, and background ones at the same time. A handler
        that keeps running after it was cancelled at its limit is abandoned, and the others continue.

        Args:
            is_alone: the event is a suspect: its deliveries run one at a time, each noted before it starts.
        """
        front: asyncio.Task[None] | None = None
        try:
            while self._waiting or self._tasks:
                while self._waiting and front not in self._tasks:
                    due = self._waiting.popleft()
                    task = self._start(due, is_alone=is_alone)
                    front = task if is_alone or not due.handler.background else None
                await self._next_end(is_alone=is_alone)
        except asyncio.CancelledError:
            await self._cut()
            raise
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Give back every delivery that has not ended."""
        for due in list(self._open.values()):
            self._end(due, due.given_back)

    def _start(self, due: DueDelivery, *, is_alone: bool) -> asyncio.Task[None]:
        current = self._current_for(due)
        work = self._note_and_deliver(due, current) if is_alone else self._deliver(due, current)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = _Started(due, current)
        return task

    async def _note_and_deliver(self, due: DueDelivery, current: CurrentDelivery) -> None:
        if await self._sink.note_running(due.handler, due.known_as):
            await self._deliver(due, current)
        else:
            self._end(due, due.given_back)

    async def _next_end(self, *, is_alone: bool) -> None:
        """Wait until a delivery has ended, or was abandoned."""
        await asyncio.wait(self._tasks, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        for task, started in list(self._tasks.items()):
            if task.done():
                del self._tasks[task]
                if task.cancelled():
                    self._end_self_cancelled(started)
                else:
                    task.result()  # raises an error that is not the handler's failure
            elif self._is_late(started):
                self._abandon(task, started)
                if is_alone:
                    # an abandoned handler may still end its process, and the one that is noted then would be charged
                    self._waiting.clear()

    def _is_late(self, started: _Started) -> bool:
        running = self._sink.running_handlers.find(started.current)
        return running is not None and steady() - running.since > running.limit + CANCELLED_S

    def _abandon(self, task: asyncio.Task[None], started: _Started) -> None:
        due = started.due
        self._leave_running(task)
        self._log("handler %r is abandoned on %r %s: it kept running after it was cancelled at its limit", due)
        message = f"ran past its limit of {due.limit:g} s, and kept running after it was cancelled"
        self._end(due, due.failed("TimeoutError", message, started.began_at))

    def _leave_running(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self.abandoned += 1
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)

    def _end_self_cancelled(self, started: _Started) -> None:
        due = started.due
        if due.known_as in self._open:
            self._log("handler %r cancelled the task that it runs in on %r %s", due)
            outcome = due.failed("CancelledError", "cancelled the task that it runs in", started.began_at)
            self._end(due, outcome)

    async def _cut(self) -> None:
        """Cancel the handlers that run, and abandon those that ignore it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCELLED_S)
        for task in [task for task in self._tasks if not task.done()]:
            self._leave_running(task)

    # one delivery

    def _current_for(self, due: DueDelivery) -> CurrentDelivery:
        transactions, replay_id = self._sink.transactions, self._sink.replay_id
        return CurrentDelivery(self._event, due.known_as, due.attempt, transactions, replay_id)

    async def _deliver(self, due: DueDelivery, current: CurrentDelivery) -> None:
        """Run one delivery to its outcome, once it has a thread if it needs one; a cancellation leaves it open."""
        async with thread_for(due.handler):
            await self._attempt(due, current)

    async def _attempt(self, due: DueDelivery, current: CurrentDelivery) -> None:
        try:
            if not await self._sink.may_start(due.handler):
                self._end(due, due.given_back)
                return
            code = getattr(due.handler.function, "__code__", None)
            running = RunningHandler(due.handler.id, code, due.limit, self._event.event_id)
            with self._sink.running_handlers.including(current, running):
                hooks.kill_point("handler.running")
                outcome = await attempt(due.handler, current, limit=due.limit)
                hooks.kill_point("handler.returned")
        except KeyboardInterrupt:
            await self._leave(due)
            raise
        self._end(due, outcome)

    async def _leave(self, due: DueDelivery) -> None:
        """Give back a delivery and those that have not begun, and store that; an error ends the loop."""
        for delivery in (due, *self._waiting):
            self._end(delivery, delivery.given_back)
        self._waiting.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await self._sink.wait_until_stored()

    def _end(self, due: DueDelivery, outcome: Outcome) -> None:
        """Hand an outcome to the sink; only the first of a delivery counts."""
        if due.known_as in self._open:
            self._sink.end(due.known_as, outcome, is_last=len(self._open) == 1)
            del self._open[due.known_as]

    def _log(self, text: str, due: DueDelivery) -> None:
        log_delivery(logging.ERROR, text, due.handler, self._event)
