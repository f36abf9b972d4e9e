"""Publishing with a store: first the record, then the handlers, then the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from craft_easy.core.events.desk import Desk, Due, Run
from craft_easy.core.events.dispatch import Tasks
from craft_easy.core.events.outcomes import Held
from craft_easy.core.events.registry import Plan
from craft_easy.core.events.types import DomainEvent
from craft_easy.core.events.worker import DEFAULT_LIMIT

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

log: Final = logging.getLogger("craft_easy.core.events")


class StoreTracking:
    """Keeps every event of a bus in a store and runs its handlers as the record's owner.

    Args:
        store: the event log.
        on_error: "raise" refuses to publish what cannot be stored; "log" runs the handlers all the same.
        lease: seconds of silence after which others may take over what this process owns.
        tasks: the background tasks of the running loop.
    """

    def __init__(
        self, store: EventStore, *, on_error: Literal["raise", "log"], lease: float, tasks: Callable[[], Tasks]
    ) -> None:
        self.store = store
        self._on_error = on_error
        self._lease = lease
        self._tasks = tasks
        self._desks: WeakKeyDictionary[asyncio.AbstractEventLoop, Desk] = WeakKeyDictionary()

    def desk(self) -> Desk:
        """Return the desk of the running loop; a fork or a new loop gets one of its own."""
        loop = asyncio.get_running_loop()
        desk = self._desks.get(loop)
        if desk is None or not desk.is_here:
            desk = self._desks[loop] = Desk(self.store, lease=self._lease)
        return desk

    async def publish(self, event: DomainEvent, plan: Plan) -> None:
        """Store an event and run its handlers.

        Raises:
            InvalidEvent: the log could not keep it exactly; nothing was written.
            EventConflict: the id is stored with other content.
            StoreUnavailable: it is not known to be stored, and no handler ran.
        """
        await self.publish_many([event], [plan])

    async def publish_many(self, events: Sequence[DomainEvent], plans: Sequence[Plan]) -> None:
        """Store events with one write and run the handlers of each in turn."""
        for event, plan, held in await self._stored(events, plans):
            await self._dispatch(event, plan, held)

    async def _dispatch(self, event: DomainEvent, plan: Plan, held: Held | None) -> None:
        due = [Due(handler, handler.id, limit=handler.timeout or DEFAULT_LIMIT) for handler in plan.handlers]
        await Run(self.desk(), held, event, due).dispatch(self._tasks().start)

    async def flush(self, timeout: float | None = None) -> None:
        """Return when the outcomes that this loop has gathered are stored."""
        desk = self._desks.get(asyncio.get_running_loop())
        if desk is not None:
            async with asyncio.timeout(timeout):
                await desk.writer.flush()

    async def aclose(self) -> None:
        """Write what is left and leave the registry of workers."""
        desk = self._desks.pop(asyncio.get_running_loop(), None)
        if desk is not None:
            await desk.aclose()
