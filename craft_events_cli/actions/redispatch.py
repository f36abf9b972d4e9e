"""`redispatch`: deliver what was never finished. It asks nothing, since it delivers only what is due."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from craft_easy.core.events.bus import EventBus
from craft_easy.core.events.engine.report import Notice, Observer
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary, redispatch
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.redispatch.event_ids import EventIds, count_named, look_up, redispatch_named
from craft_easy.core.events.redispatch.options import claim_filter
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import event_ids, lifecycle, loading, params, terminal
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.output.counts import counted, missing_lines, write_counts
from craft_events_cli.output.pauses import paused_text
from craft_events_cli.output.redispatch import RedispatchView
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_events_cli.metrics.address import ListenAddress
    from craft_events_cli.metrics.worker import WorkerMetrics


@dataclass(frozen=True, slots=True)
class NamedEvents:
    """The events that are named: as arguments, whose beginnings are enough, and in a file."""

    given: tuple[str, ...]
    listed: tuple[str, ...] | None

    async def ids(self, store: EventStore) -> tuple[str, ...] | None:
        """Return their ids; None where none is named."""
        if not self.given:
            return self.listed
        return (*await event_ids.whole(store, self.given), *(self.listed or ()))


def check_handlers(bus: EventBus, options: RedispatchOptions) -> None:
    """Refuse handlers that are not loaded, and a run without any: a typo must not deliver what is to be left out.

    Raises:
        HandlerNotFound: a handler is not loaded; the error suggests a similar id.
        UsageError: every handler is excluded.
    """
    loading.require_handlers(bus, options.handlers)
    loading.require_handlers(bus, options.exclude_handlers, flag="--exclude-handler")
    if not claim_filter(bus.registry, Selection(), options).handlers:
        raise UsageError("every handler of this run is excluded", hint="leave out --exclude-handler for one of them")


async def run(
    settings: Settings,
    bus: EventBus,
    where: params.Excluding,
    options: RedispatchOptions,
    output: Output,
    *,
    lease: float,
    named: NamedEvents,
    is_dry: bool,
    metrics: ListenAddress | None = None,
) -> ExitCode:
    """Deliver what is due, or count it; a handler that never ends does not keep the process alive.

    Raises:
        UsageError: the address for the metrics cannot be listened on.
    """
    if metrics is None:
        return await _run(settings, bus, where, options, output, lease=lease, named=named, is_dry=is_dry)
    from craft_events_cli.metrics.worker import serving_worker

    with serving_worker(metrics, (settings.database.value, settings.collection.value)) as worker:
        return await _run(settings, bus, where, options, output, lease=lease, named=named, is_dry=is_dry, worker=worker)


async def _run(
    settings: Settings,
    bus: EventBus,
    where: params.Excluding,
    options: RedispatchOptions,
    output: Output,
    *,
    lease: float,
    named: NamedEvents,
    is_dry: bool,
    worker: WorkerMetrics | None = None,
) -> ExitCode:
    if_missing = IfMissing.WAIT if options.watch else IfMissing.REFUSE
    if options.watch:
        terminal.serving()
    async with opened(settings, if_missing=if_missing) as store:
        bus.configure_store(store, lease=lease)
        bus.publisher.record_owner().worker.watchdog.on_hang = partial(
            lifecycle.end_what_hangs, remark="another run takes over what this one had claimed"
        )
        try:
            selection = where.selection(await store.now())
            loaded = len({one.handler.id for one in bus.subscriptions()})
            terminal.note(f"{counted(loaded, 'handler')} loaded")
            ids = await named.ids(store)
            meant = selection if ids is None else await look_up(store, selection, ids)
            if is_dry:
                return await _count(bus, meant, options, output)
            with nullcontext() if worker is None else worker.following(bus):
                code, summary = await _deliver(bus, meant, options, output, worker)
        finally:
            await bus.aclose()
    if summary.abandoned:
        lifecycle.leave(code)
    return code


async def _count(bus: EventBus, meant: Selection | EventIds, options: RedispatchOptions, output: Output) -> ExitCode:
    if isinstance(meant, EventIds):
        counts = await count_named(bus, meant, options)
    else:
        counts = await count(bus, meant, options)
    write_counts(counts, output)
    deliveries = counted(counts.deliveries, "delivery", "deliveries")
    terminal.note(f"{counted(counts.events, 'event')}, {deliveries} · nothing was written")
    if counts.paused:
        terminal.note(paused_text(counts.paused.total(), sorted(counts.paused)))
    if counts.after_take_over:
        terminal.note(f"{counts.after_take_over:,} of them after a take-over, in {counts.take_over_s:.0f} s")
    return ExitCode.UNFINISHED if _note_missing(meant) else ExitCode.DONE


async def _deliver(
    bus: EventBus,
    meant: Selection | EventIds,
    options: RedispatchOptions,
    output: Output,
    worker: WorkerMetrics | None,
) -> tuple[ExitCode, RedispatchSummary]:
    terminal.acting()
    with RedispatchView(output) as view:
        stop = lifecycle.Stop(view.note)
        observer = view.show if worker is None else _both(worker.observe, view.show)
        if isinstance(meant, EventIds):
            summary = await redispatch_named(bus, meant, options, observer=observer, stop=stop.event)
        else:
            summary = await redispatch(bus, meant, options, observer=observer, stop=stop.event)
    view.write_summary(summary)
    is_unfinished = _note_missing(meant) or not summary.is_clean
    return stop.exit_code or (ExitCode.UNFINISHED if is_unfinished else ExitCode.DONE), summary


def _both(first: Observer, second: Observer) -> Observer:
    def observe(notice: Notice) -> None:
        first(notice)
        second(notice)

    return observe


def _note_missing(meant: Selection | EventIds) -> bool:
    """Name the events that were asked for and are not in the log; return whether there are any."""
    lines = list(missing_lines(meant.missing)) if isinstance(meant, EventIds) else []
    for line in lines:
        terminal.note(line)
    return bool(lines)
