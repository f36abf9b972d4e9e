"""Publishing with a store: first the record, then the handlers, then the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from craft_easy.core.events.context import current_delivery
from craft_easy.core.events.delivery import Delivery
from craft_easy.core.events.desk import Desk, Due, Run
from craft_easy.core.events.errors import EventsError, StoreUnavailable
from craft_easy.core.events.outcomes import Held
from craft_easy.core.events.registry import Plan
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.delivery_document import to_document
from craft_easy.core.events.store.documents import new_record
from craft_easy.core.events.store.inserting import InsertResult
from craft_easy.core.events.tasks import Tasks
from craft_easy.core.events.types import DomainEvent, set_cause
from craft_easy.core.events.worker import DEFAULT_LIMIT

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

log: Final = logging.getLogger("craft_easy.core.events")


@dataclass(eq=False, slots=True)
class Published:
    """An event on its way: its record, and whether its handlers are to run here.

    `held` is None where the handlers run without a record (`on_error="log"`), or where there are none.
    """

    event: DomainEvent
    plan: Plan
    held: Held | None = None
    runs: bool = True
    error: EventsError | None = None


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
        """Store events with one write and run the handlers of each in turn; the first conflict is raised at the end."""
        desk = self.desk()
        published = [Published(event, plan) for event, plan in zip(events, plans, strict=True)]
        await self._store(desk, published)
        for one in published:
            if one.runs:
                await self._dispatch(desk, one)
        for one in published:
            if one.error is not None:
                raise one.error

    async def _dispatch(self, desk: Desk, one: Published) -> None:
        due = [Due(handler, handler.id, limit=handler.timeout or DEFAULT_LIMIT) for handler in one.plan.handlers]
        await Run(desk, one.held, one.event, due).dispatch(self._tasks().start)

    # the record first

    async def _store(self, desk: Desk, published: Sequence[Published]) -> None:
        try:
            await self._insert(desk, published)
        except StoreUnavailable as error:
            desk.has_doubt = True
            if self._on_error == "raise":
                raise
            log.error("%d events are dispatched and not stored: %s", len(published), error)  # noqa: TRY400 - it is no bug
            return
        if desk.has_doubt:
            desk.has_doubt = False
            self._tasks().start(desk.reconcile())

    async def _insert(self, desk: Desk, published: Sequence[Published]) -> None:
        owner = await desk.worker.ready()
        records = [self._tracked(desk, one, owner) for one in published]
        ids = {record.id for record in records}
        desk.writer.held |= ids
        try:
            results = await self.store.insert([record.document for record in records])
        except BaseException:
            desk.writer.held -= ids
            raise
        for one, record, result in zip(published, records, results, strict=True):
            if result.is_inserted:
                self._hold(desk, one, record, owner)
            else:
                await self._publish_again(desk, one, record, result, owner)

    def _tracked(self, desk: Desk, one: Published, owner: str) -> Tracked:
        parent = current_delivery()
        if parent is not None and one.event.causation_id is None:
            chain = parent.event.correlation_id or parent.event.event_id
            set_cause(one.event, causation_id=parent.event.event_id, correlation_id=chain)
        delivery = Delivery.new((handler.id for handler in one.plan.handlers), at=desk.worker.now(), owner=owner)
        return Tracked(new_record(one.event, to_document(delivery)), delivery)

    def _hold(self, desk: Desk, one: Published, record: Tracked, owner: str) -> None:
        if record.delivery.is_open:
            one.held = Held(record, owner)
        else:
            desk.writer.held.discard(record.id)

    async def _publish_again(
        self, desk: Desk, one: Published, record: Tracked, result: InsertResult, owner: str
    ) -> None:
        """Answer a publish whose id is taken: a conflict, a no-op, or a record that gets its delivery only now."""
        one.runs = False
        desk.writer.held.discard(record.id)
        try:
            result.check()
        except EventsError as error:
            one.error = error
            return
        stored = Tracked.of(result.stored or {})
        if not stored.is_tracked and await desk.deliveries.add(stored, record.delivery):
            one.runs = True
            desk.writer.held.add(stored.id)
            self._hold(desk, one, stored, owner)
        else:
            await self._confirm(desk, stored)

    async def _confirm(self, desk: Desk, stored: Tracked) -> None:
        """Make sure that what answers for this publish is not taken back: a write, then a read, of the majority."""
        await desk.worker.confirm()
        if stored.id not in await desk.deliveries.read([stored.id]):
            raise StoreUnavailable(
                f"event {stored.document.get('event_id')!r} was stored and taken back: publish it again"
            )

    # the end

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as `drain` has it
        """Return when the outcomes that this loop has gathered are stored.

        Raises:
            TimeoutError: they are not, within `timeout` seconds.
        """
        desk = self._desks.get(asyncio.get_running_loop())
        if desk is not None:
            async with asyncio.timeout(timeout):
                await desk.writer.flush()

    async def aclose(self) -> None:
        """Write what is left and leave the registry of workers."""
        desk = self._desks.pop(asyncio.get_running_loop(), None)
        if desk is not None:
            await desk.aclose()
