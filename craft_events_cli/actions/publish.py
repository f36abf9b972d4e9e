"""`publish`: one event, or lines of them. It asks nothing, since it stores only what was typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import Any

from craft_easy.core.events.bus import EventBus
from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.model.times import Moment
from craft_easy.core.events.operations.publish import (
    PublishSummary,
    UnfitPayload,
    publish_event,
    publish_lines,
    unfit_class,
)
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.formats.extended_json import parse
from craft_easy.core.events.store.formats.incoming import new_event
from craft_events_cli import terminal
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.output import next_step, spans
from craft_events_cli.output.importing import Rejects
from craft_events_cli.output.publish import PublishView
from craft_events_cli.terminal import Output


def payload_of(data: str) -> dict[str, Any]:
    """Read a payload, strictly.

    Raises:
        UsageError: it is not an object of Extended JSON.
    """
    try:
        payload = parse(data)
    except InvalidEvent as error:
        raise UsageError(f"--data: {error}", hint="""as in --data '{"order_id": "o_1"}'""") from None
    if not isinstance(payload, dict):
        raise UsageError("--data: the payload is not an object", hint="""as in --data '{"order_id": "o_1"}'""")
    return payload


async def publish_typed(
    settings: Settings,
    bus: EventBus | None,
    output: Output,
    line: Mapping[str, Any],
    timestamp: Moment | None,
    *,
    dispatch: bool,
) -> ExitCode:
    """Publish the event that was typed; without a timestamp it happens now, without a bus no handler gets it."""
    async with _opened(settings, bus if dispatch else None) as store:
        with PublishView(output, is_one=True) as view:
            summary = await _publish_one(store, bus, line, timestamp, view, dispatch=dispatch)
    return _summarised(view, summary, dispatch=dispatch)


async def publish_source(
    settings: Settings, bus: EventBus | None, output: Output, source: str, *, rejects: Path | None, dispatch: bool
) -> ExitCode:
    """Publish each line of a file or of stdin; `rejects` is where rejected lines go."""
    async with _opened(settings, bus if dispatch else None) as store:
        kept = nullcontext() if rejects is None else closing(Rejects(rejects))
        with kept as file, PublishView(output, rejects=file) as view:
            summary = await publish_lines(store, source, bus=bus, dispatch=dispatch, observer=view.observe)
    return _summarised(view, summary, dispatch=dispatch)


@asynccontextmanager
async def _opened(settings: Settings, dispatching: EventBus | None) -> AsyncIterator[EventStore]:
    async with opened(settings, if_missing=IfMissing.BEGIN) as store:
        if dispatching is not None:
            dispatching.configure_store(store)
        terminal.acting()
        try:
            yield store
        except asyncio.CancelledError:
            if dispatching is not None:
                await asyncio.sleep(0)  # one that is cancelled before it began would not give its record back
                dispatching.tasks().cancel()
            raise
        finally:
            if dispatching is not None:
                await dispatching.aclose()


async def _publish_one(
    store: EventStore,
    bus: EventBus | None,
    line: Mapping[str, Any],
    timestamp: Moment | None,
    view: PublishView,
    *,
    dispatch: bool,
) -> PublishSummary:
    at = await store.now()
    event = new_event(line, at=at if timestamp is None else timestamp.at(at, spans.zone()))
    if (name := unfit_class(event)) is not None:
        view.observe(UnfitPayload(event.event_type, name))
    try:
        published = await publish_event(store, event, bus=bus, dispatch=dispatch)
    except asyncio.CancelledError:
        terminal.note(f"stopped before event {event.event_id} was stored and handled")
        terminal.note(f"next: {next_step.command('show', event.event_id)}")
        raise
    summary = PublishSummary()
    summary.add(published)
    view.observe(published)
    return summary


def _summarised(view: PublishView, summary: PublishSummary, *, dispatch: bool) -> ExitCode:
    view.write_summary(summary, is_dispatched=dispatch)
    return ExitCode.DONE if summary.is_clean else ExitCode.UNFINISHED
