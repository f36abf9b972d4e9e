"""Replay: run handlers over a range of history.

begin   fix the end of the range, or find where an earlier run ended
plan    count what would run
feed    read the events in order and queue each behind the earlier ones of its tenant
work    run the handlers of one event, each delivery marked as a replay
keep    write the low watermark, from which a run continues that was killed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.pool import Slots
from craft_easy.core.events.engine.report import DeliveryReport, EventEnded, Observer, ignore
from craft_easy.core.events.engine.runner import CANCELLED_S, DEFAULT_LIMIT, DueDelivery, RecordRun
from craft_easy.core.events.engine.sinks import ReportSink
from craft_easy.core.events.engine.watchdog import RunningHandlers, Watchdog, watching
from craft_easy.core.events.handlers.context import Suppression, suppressing
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.history.pace import Pace
from craft_easy.core.events.history.plan import ReplayHandlers, ReplayPlan
from craft_easy.core.events.history.progress import Position, ProgressStep, ProgressWriter
from craft_easy.core.events.history.range import ReplayRange, fixed
from craft_easy.core.events.model.envelope import is_redacted
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.position import RecordPosition

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus

log: Final = logging.getLogger("craft_easy.core.events")

DRAINING_S: Final = 60.0
"""Seconds that the events which a cascade published get to be delivered."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a replay runs handlers.

    Args:
        handlers: ids of the handlers to run; all that are loaded when empty.
        only: the events to run, and for each its handlers, or None for those of `handlers`; None for all events.
        cascade: store and dispatch what the handlers publish, instead of suppressing it.
        concurrency: tenants whose events run at the same time, each in order.
        timeout: seconds that a handler may take that has no timeout of its own.
        grace: seconds that running handlers get to end after a stop.
        fail_fast: stop at the first event with a handler that fails.
        rate: events that start in a second at most; None for no limit.
        speed: keep the gaps between events, shortened by this factor; None for no gaps.
    """

    handlers: tuple[str, ...] = ()
    only: Mapping[str, frozenset[str] | None] | None = None
    cascade: bool = False
    concurrency: int = 10
    timeout: float = DEFAULT_LIMIT
    grace: float = 10.0
    fail_fast: bool = False
    rate: float | None = None
    speed: float | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")
        for name in ("rate", "speed"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be a positive number or None, not {value!r}")


@dataclass(slots=True)
class ReplaySummary:
    """The result of a run: `events` counts events whose handlers have ended; the outcomes count deliveries.

    A delivery that raised `Discard` is skipped; one that raised `Retry` has failed: nothing tries it again.
    """

    replay_id: str = ""
    events: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    suppressed: int = 0
    """Events that were published during the run, and neither stored nor dispatched."""
    redacted: int = 0
    """Events whose payload was removed on request: no handler gets them."""
    malformed: int = 0
    """Records whose id, type or timestamp is missing or of another type: no handler gets them."""
    missing: tuple[str, ...] = ()
    """Named ids that are not in the log."""
    is_complete: bool = False
    """True if this run, or an earlier one, has reached the end of the range."""
    abandoned: int = 0
    """Handlers that still run past their timeout or the grace; the run does not wait for them."""
    elapsed_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """True if nothing failed or was missing."""
        return not (self.failed or self.missing)


@dataclass(slots=True, eq=False)
class _Item:
    """An event that is queued or whose handlers run."""

    step: ProgressStep
    event: DomainEvent
    handlers: Sequence[Handler]


async def replay(
    bus: EventBus,
    selection: Selection,
    options: ReplayOptions | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
    checkpoint: Checkpoint | None = None,
) -> ReplaySummary:
    """Run handlers of a bus over a range of history, each tenant's events in order.

        async with EventStore() as store:
            bus.configure_store(store)
            last_week = Selection(types=("payment.*",), since=now - timedelta(days=7))
            await replay(bus, last_week, ReplayOptions(handlers=("shop.ledger:book",)))

    A handler gets the event as it was, its id, time and actor, and `current_delivery().is_replay` is true. Deliveries
    in the log are neither read nor changed; without `cascade` nothing at all is written to the log. Every publish in
    this process is then suppressed and counted, whether by a handler, by a task or a thread that it started, or from
    another bus; so give a replay a process of its own. Handlers with `replayable=False` are left out, and so are events
    whose payload was removed. The range ends with the last event in the log at the start. A handler that fails is not
    tried again; the others continue.

    Setting `stop` ends the run: no event begins any more, and running handlers get `options.grace` to end.

    Args:
        bus: has a store.
        selection: which events; its order is ignored, the oldest come first.
        options: all handlers, as fast as they go, when None.
        observer: called with each notice.
        stop: ends the run.
        checkpoint: stores the low watermark, with the window, the end and the replay id. A run that was killed repeats
            at most 1,000 events; an event counts once its handlers have ended, with any outcome. It is locked.

    Raises:
        HandlerNotFound: `options.handlers` names a handler that is not loaded.
        StoreUnavailable: the log did not answer for a minute; the checkpoint has the position.
        CheckpointError: the checkpoint cannot be used, or cannot be written any more.
    """
    with nullcontext() if checkpoint is None else checkpoint.lock():
        run = Replay(bus, selection, options or ReplayOptions(), checkpoint=checkpoint)
        await run.begin()
        return await run.run(stop or asyncio.Event(), observer=observer)


class Replay:
    """One run of `replay`, in steps: `begin`, then `plan` if it is needed, then `run`.

    Raises:
        HandlerNotFound: `options.handlers` names a handler that is not loaded.
    """

    def __init__(
        self,
        bus: EventBus,
        selection: Selection,
        options: ReplayOptions,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.on_hang: Callable[[str], None] = log.error
        """Called from another thread, once, with a text that names a handler that blocks the loop past its timeout."""
        self._bus = bus
        self._store = bus.publisher.store
        self._selection = selection
        self._options = options
        self._observer: Observer = ignore
        self._checkpoint = checkpoint
        self._handlers = ReplayHandlers(bus, options.handlers, options.only)
        self._summary = ReplaySummary()
        self._halt = asyncio.Event()
        self._pace = Pace(self._halt, rate=options.rate, speed=options.speed)
        self._slots: Slots[_Item] = Slots(options.concurrency, self._work)
        self._running_handlers = RunningHandlers()
        self._position = Position("")
        self._range: ReplayRange | None = None
        self._progress = ProgressWriter(None, self._position)

    @property
    def position(self) -> Position:
        """The position at which the run begins: the start of the range, or where an earlier run ended."""
        return self._position

    @property
    def missing(self) -> Sequence[str]:
        """The named ids that are not in the log."""
        return self._summary.missing

    async def begin(self) -> None:
        """Read where an earlier run ended, or fix the end of a new one; look up the named events."""
        kept = None if self._checkpoint is None else self._checkpoint.read()
        only = self._options.only
        self._position = (
            await fixed(self._store, self._selection, is_named=only is not None)
            if kept is None
            else Position.from_json(kept)
        )
        self._summary.replay_id = self._position.replay_id
        self._progress = ProgressWriter(self._checkpoint, self._position)
        self._range = ReplayRange(self._store, self._selection, self._position, None if only is None else list(only))
        await self._range.locate()
        self._summary.missing = self._range.missing

    async def plan(self) -> ReplayPlan:
        """Count what would run from here on; write nothing."""
        plan = ReplayPlan()
        if self._range is None or self._position.is_complete:
            return plan
        if self._options.only is None:
            for (event_type, tenant_id), events in (await self._range.tally()).items():
                self._handlers.count(plan, event_type, tenant_id, events)
            return plan
        async with aclosing(self._range.named()) as named:
            async for event in named:
                self._handlers.count(plan, event.event_type, event.tenant_id, 1, event.event_id)
        return plan

    async def run(self, stop: asyncio.Event, *, observer: Observer | None = None) -> ReplaySummary:
        """Go through the range until its end, until `stop` is set, or with `fail_fast` until a handler fails."""
        self._observer = observer or self._observer
        began = steady()
        self._summary.is_complete = self._position.is_complete
        if not self._position.is_complete:
            running = self._running_handlers
            watchdog = Watchdog(
                running,
                limit=lambda: running.longest + CANCELLED_S if running.longest else float("inf"),
                consequence="nothing else can run",
                on_hang=self.on_hang,
            )
            with watching(watchdog), self._silence() as suppression:
                try:
                    await self._go(stop)
                finally:
                    self._summary.suppressed = 0 if suppression is None else suppression.events
        self._summary.malformed = 0 if self._range is None else self._range.malformed
        self._summary.elapsed_s = round(steady() - began, 3)
        return self._summary

    def _silence(self) -> AbstractContextManager[Suppression | None]:
        return nullcontext() if self._options.cascade else suppressing()

    async def _go(self, stop: asyncio.Event) -> None:
        self._bus.tasks()  # a thread that publishes finds this loop
        through = asyncio.create_task(self._feed_and_wait())
        stopped = asyncio.create_task(_set_with(stop, self._halt))
        halted = asyncio.create_task(self._halt.wait())
        keeping = asyncio.create_task(self._progress.keep())
        try:
            await asyncio.wait(
                [through, halted] if self._checkpoint is None else [through, halted, keeping],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in (stopped, halted):
                task.cancel()
            await self._end(through, keeping)
        await self._settle(through, keeping)

    async def _end(self, through: asyncio.Task[None], keeping: asyncio.Task[None]) -> None:
        """Wait for the running handlers, as long as the grace allows."""
        self._halt.set()
        await self._slots.stop(self._options.grace)
        through.cancel()
        self._progress.stop()
        await asyncio.wait([through, keeping])

    async def _settle(self, through: asyncio.Task[None], keeping: asyncio.Task[None]) -> None:
        """Write the position; then raise the error that ended the run, if one did."""
        keeping.result()
        await self._progress.close(is_complete=self._summary.is_complete)
        if self._options.cascade:
            await self._bus.drain(timeout=max(self._options.grace, DRAINING_S))
        self._slots.check()
        if not through.cancelled():
            through.result()

    # feed

    async def _feed_and_wait(self) -> None:
        assert self._range is not None
        async with aclosing(self._range.pages(self._observer)) as pages:
            async for page in pages:
                for record in page:
                    await self._take(record)
        await self._slots.idle()
        self._summary.is_complete = not self._halt.is_set()

    async def _take(self, record: Mapping[str, Any]) -> None:
        """Queue an event behind the earlier ones of its tenant, once it is due and there is room."""
        event, position = DomainEvent.from_record(record), RecordPosition.of(record)
        assert position is not None  # the range has passed over the malformed
        handlers = self._handlers.of(event.event_type, event.event_id)
        if handlers and is_redacted(record):
            self._summary.redacted += 1
            handlers = []
        if not handlers:
            self._progress.water.pass_over(position)
            return
        await self._pace.gap(event.timestamp)
        await self._progress.room()
        if self._options.cascade:
            await self._bus.tasks().admit()
        if not self._halt.is_set():
            self._slots.add(event.tenant_id, _Item(self._progress.water.begin(position), event, handlers))

    # run

    async def _work(self, item: _Item) -> None:
        """Run the handlers of an event, unless the run is ending."""
        await self._pace.turn()
        if self._halt.is_set():
            return
        sink = ReportSink(
            item.event,
            self._report,
            running_handlers=self._running_handlers,
            replay_id=self._position.replay_id,
        )
        due = [DueDelivery(handler, handler.id, default_limit=self._options.timeout) for handler in item.handlers]
        run = RecordRun(sink, item.event, due)
        try:
            await run.run()
            self._observer(EventEnded())
        except Exception:
            self._halt.set()  # the observer has failed: no handler's failure comes here
            raise
        finally:
            self._summary.abandoned += run.abandoned
        self._summary.events += 1
        if self._options.fail_fast and sink.has_failed:
            self._halt.set()
        else:
            self._progress.end(item.step)

    def _report(self, report: DeliveryReport) -> None:
        setattr(self._summary, report.outcome, getattr(self._summary, report.outcome) + 1)
        self._observer(report)


async def _set_with(first: asyncio.Event, then: asyncio.Event) -> None:
    await first.wait()
    then.set()
