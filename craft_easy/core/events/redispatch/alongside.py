"""A redispatch inside an application, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.engine.report import Observer, ignore
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch.loop import Redispatch
from craft_easy.core.events.redispatch.options import RedispatchOptions
from craft_easy.core.events.redispatch.summary import RedispatchSummary

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus

log: Final = logging.getLogger("craft_easy.core.events")


@asynccontextmanager
async def redispatching(
    bus: EventBus,
    selection: Selection | None = None,
    options: RedispatchOptions | None = None,
    *,
    observer: Observer | None = None,
) -> AsyncIterator[None]:
    """Redispatch alongside an application for as long as the block runs, as `--watch` does.

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with EventStore() as store, get_event_bus() as bus:
                bus.configure_store(store)
                async with redispatching(bus):
                    yield

    It rides out every error of the log but a refused login. The end of the block stops it as a signal stops the
    command.

    Args:
        bus: has a store.
        selection: all events when None.
        options: `watch` is always set.
        observer: called with each notice.
    """
    watch = replace(options or RedispatchOptions(), watch=True)
    run = Redispatch(bus, selection or Selection(), watch, observer or ignore)
    stop = asyncio.Event()
    running = asyncio.create_task(run.run(stop), name="redispatch")
    running.add_done_callback(_log_its_error)
    try:
        yield
    finally:
        stop.set()
        with suppress(Exception):  # it is in the log of the process
            await running


def _log_its_error(task: asyncio.Task[RedispatchSummary]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the redispatch alongside the application has ended", exc_info=error)
