"""Publishing with a store: first the record, then the handlers, then the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

from craft_easy.core.events import hooks
from craft_easy.core.events.engine.children import derive_child_id
from craft_easy.core.events.engine.lease import DEFAULT_LIMIT
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.owner import RecordOwner
from craft_easy.core.events.engine.runner import DueDelivery, RecordRun
from craft_easy.core.events.engine.sinks import RecordSink, UnstoredSink
from craft_easy.core.events.errors import EventsError, StoreUnavailable
from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.context import current_delivery
from craft_easy.core.events.handlers.registry import Plan
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.store.append import InsertResult
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.documents import event_content, raw_document, unmeasured_record

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

log: Final = logging.getLogger("craft_easy.core.events")


def _has_landed(record: Tracked, result: InsertResult) -> bool:
    """Tell whether what took the id is this very insert: it was sent again, and the server no longer knew it."""
    is_same = result.stored is not None and not result.is_conflict
    return is_same and Tracked.of(result.stored or {}).delivery == record.delivery


@dataclass(eq=False, slots=True)
class PendingPublish:
    """An event on its way: its record, and whether its handlers are to run here.

    `held` is None where the handlers run without a record (`on_error="log"`), or where there are none. `give_back`
    frees the number that a derived id took; it is called where the event is not surely stored.
    """

    event: DomainEvent
    plan: Plan
    held: OwnedRecord | None = None
    runs: bool = True
    error: EventsError | None = None
    give_back: Callable[[], None] | None = None

    def fail(self) -> None:
        """Note that the event is not surely stored."""
        if self.give_back is not None:
            self.give_back()


@dataclass(frozen=True, slots=True)
class _NewDelivery:
    """What the records of one plan, millisecond and owner begin with; it is never changed."""

    plan: Plan
    at: datetime
    owner: str | None
    delivery: Delivery
    document: Mapping[str, Any]


class Publisher:
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
        self.tasks = tasks
        self._record_owners: WeakKeyDictionary[asyncio.AbstractEventLoop, RecordOwner] = WeakKeyDictionary()
        self._here: RecordOwner | None = None
        self._last: _NewDelivery | None = None

    def record_owner(self) -> RecordOwner:
        """Return the desk of the running loop; a fork or a new loop gets one of its own."""
        loop, here = asyncio.get_running_loop(), self._here
        if here is not None and here.loop is loop and here.is_current:
            return here
        record_owner = self._record_owners.get(loop)
        if record_owner is None or not record_owner.is_current:
            record_owner = self._record_owners[loop] = RecordOwner(
                self.store, lease=self._lease, start=lambda one: self.tasks().start(one)
            )
        self._here = record_owner
        return record_owner

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
        record_owner = self.record_owner()
        published = [PendingPublish(event, plan) for event, plan in zip(events, plans, strict=True)]
        await self._store(record_owner, published)
        await self.dispatch_all(record_owner, [one for one in published if one.runs])
        for one in published:
            if one.error is not None:
                raise one.error

    async def dispatch_all(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        """Run the handlers of each event in turn; who breaks this off gives back those that come later."""
        waiting = deque(published)
        try:
            while waiting:
                await self.dispatch(record_owner, waiting.popleft())
        finally:
            for one in waiting:
                if one.held is not None:
                    record_owner.writer.add(one.held, is_through=True)

    async def dispatch(self, record_owner: RecordOwner, one: PendingPublish) -> None:
        """Run the handlers of an event whose record is held, or that runs without one."""
        due = [
            DueDelivery(handler, handler.id, limit=handler.timeout or DEFAULT_LIMIT) for handler in one.plan.handlers
        ]
        if due:
            held, running_handlers = one.held, record_owner.worker.running_handlers
            sink = UnstoredSink(running_handlers) if held is None else RecordSink(record_owner, held)
            await RecordRun(sink, one.event, due).dispatch(self.tasks().start)

    # the record first

    async def _store(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        try:
            await self._insert(record_owner, published)
        except BaseException as error:
            if not self._may_do_without(record_owner, published, error):
                raise
        else:
            record_owner.reconcile_if_uncertain()

    def _may_do_without(
        self, record_owner: RecordOwner, published: Sequence[PendingPublish], error: BaseException
    ) -> bool:
        """Hold nothing of what is not surely stored, and tell whether its handlers are to run all the same.

        Who was cancelled may have sent it already.
        """
        record_owner.mark_uncertain()
        for one in published:
            one.fail()
        if isinstance(error, StoreUnavailable) and self._on_error == "log":
            log.error("%d events are dispatched and not stored: %s", len(published), error)
            return True
        self._let_go(record_owner, published)
        return False

    def _let_go(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        """Hold nothing of a publish that is to raise: what is stored of it is given back."""
        record_owner.writer.held -= {one.held.hold for one in published if one.held is not None}

    async def _insert(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        owner = record_owner.worker.owner if record_owner.worker.may_start else await record_owner.worker.ready()
        at = record_owner.worker.now()
        records = [self.record(one, at=at, owner=owner) for one in published]
        new = {
            (record.id, owner) for record in records
        } - record_owner.writer.held  # what is held already, its holder keeps
        record_owner.writer.held |= new
        try:
            results = await self.store.insert([record.document for record in records])
            taken = []
            unheld = set(new)
            for one, record, result in zip(published, records, results, strict=True):
                if result.is_inserted or ((record.id, owner) in unheld and _has_landed(record, result)):
                    self.hold(one, record, owner)
                    unheld.discard((record.id, owner))
                else:
                    taken.append((one, record, result))
            if taken:
                await self._publish_again(record_owner, taken, owner)
        finally:
            record_owner.writer.held -= new - {one.held.hold for one in published if one.held is not None}

    def record(self, one: PendingPublish, *, at: datetime, owner: str | None = None) -> Tracked:
        """Return the record that an event is to have; inside a delivery it becomes a child of that.

        Raises:
            InvalidEvent: the log could not keep the event exactly.
        """
        event, parent = one.event, current_delivery()
        if parent is not None:
            one.give_back = derive_child_id(event, parent, lambda: event_content(event))
        delivery, document = self._new_delivery(one.plan, at, owner)
        return Tracked(unmeasured_record(event, document), delivery)

    def _new_delivery(self, plan: Plan, at: datetime, owner: str | None) -> tuple[Delivery, Mapping[str, Any]]:
        """Return a delivery and its document; those of one millisecond are the same."""
        last = self._last
        if last is None or last.plan is not plan or last.at != at or last.owner != owner:
            delivery = Delivery.new((handler.id for handler in plan.handlers), at=at, owner=owner)
            last = self._last = _NewDelivery(plan, at, owner, delivery, raw_document(delivery))
        return last.delivery, last.document

    def hold(self, one: PendingPublish, record: Tracked, owner: str) -> None:
        """Hold a record that was just inserted, if there is anything to run."""
        if record.delivery.is_open:
            one.held = OwnedRecord(record, owner)
        if one.give_back is not None:
            hooks.kill_point("child.stored")

    async def _publish_again(
        self, record_owner: RecordOwner, taken: Sequence[tuple[PendingPublish, Tracked, InsertResult]], owner: str
    ) -> None:
        """Answer publishes whose id is taken: conflicts, no-ops, and records that get their delivery only now."""
        answering: dict[Any, PendingPublish] = {}
        for one, record, result in taken:
            one.runs = False
            try:
                result.check()
            except EventsError as error:
                one.error = error
                one.fail()
                continue
            stored = Tracked.of(result.stored or {})
            if not stored.is_tracked and await record_owner.deliveries.add(stored, record.delivery):
                one.runs = True
                self.hold(one, stored, owner)
                record_owner.writer.held.add((stored.id, owner))
            else:
                answering[stored.id] = one
        if answering:
            await self._confirm(record_owner, answering)

    async def _confirm(self, record_owner: RecordOwner, answering: Mapping[Any, PendingPublish]) -> None:
        """Make sure that what answers for these publishes is not taken back: a write, then a read, of the majority."""
        await record_owner.worker.confirm()
        found = await record_owner.deliveries.read(list(answering))
        for record_id, one in answering.items():
            if record_id not in found:
                one.fail()
                one.error = StoreUnavailable(
                    f"event {one.event.event_id!r} was stored and taken back: publish it again"
                )

    # the end

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as `drain` has it
        """Return when the outcomes that this loop has gathered are stored.

        Raises:
            TimeoutError: they are not, within `timeout` seconds.
        """
        record_owner = self._record_owners.get(asyncio.get_running_loop())
        if record_owner is not None:
            async with asyncio.timeout(timeout):
                await record_owner.writer.flush()

    async def aclose(self) -> None:
        """Write what is left and leave the registry of workers."""
        self._here = None
        record_owner = self._record_owners.pop(asyncio.get_running_loop(), None)
        if record_owner is not None:
            await record_owner.aclose()
