"""The publisher of a bus with a store: first the record, then the handlers, then the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events import hooks
from craft_easy.core.events.engine.children import as_child
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.owner import Acquisition, RecordOwner
from craft_easy.core.events.engine.report import DeliveryObserver
from craft_easy.core.events.engine.runner import DueDelivery, RecordRun
from craft_easy.core.events.engine.sinks import RecordSink, Sink, UnstoredSink
from craft_easy.core.events.errors import EventsError, InvalidEvent, StoreUnavailable
from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.context import open_delivery
from craft_easy.core.events.handlers.loops import PerLoop
from craft_easy.core.events.handlers.registry import Plan
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.store.append import InsertResult
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.documents import event_content, stored_event, to_document

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

log: Final = logging.getLogger("craft_easy.core.events")


def _tracked(document: dict[str, Any], plan: Plan, *, at: datetime, owner: str | None) -> Tracked:
    """Return a record with its delivery, which begins at a time of the database's clock."""
    delivery = Delivery.new([handler.id for handler in plan.handlers], at=at, owner=owner)
    return Tracked({**document, "delivery": to_document(delivery)}, delivery)


def _has_landed(record: Tracked, result: InsertResult) -> bool:
    """Return whether the stored record is of this very insert, which the driver sent again after a lost reply."""
    is_same = result.stored is not None and not result.is_conflict
    return is_same and Tracked.of(result.stored or {}).delivery == record.delivery


@dataclass(eq=False, slots=True)
class PendingPublish:
    """An event that is being published.

    Args:
        event: the event in its stored form, as its handlers get it.
        plan: its handlers.
        owned: its record; None if it has no handlers, or they run without a record (`on_error="log"`).
        runs: whether its handlers are to run here.
        error: an error that is raised once the handlers of all events have run.
    """

    event: DomainEvent
    plan: Plan
    owned: OwnedRecord | None = None
    runs: bool = True
    error: EventsError | None = None


class Publisher:
    """Keeps every event of a bus in a store and runs its handlers as the record's owner.

    Args:
        store: the event log.
        on_error: "raise" refuses an event that cannot be stored; "log" runs its handlers anyway.
        lease: seconds without a heartbeat after which other workers may take over the records of this process.
        tasks: the background tasks of the running loop.
        observers: called with each delivery whose outcome is stored.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        on_error: Literal["raise", "log"],
        lease: float,
        tasks: Callable[[], Tasks],
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        self.store = store
        self._on_error = on_error
        self._lease = lease
        self.tasks = tasks
        self._observers = observers
        self._record_owners = PerLoop(self._new_record_owner)

    def record_owner(self) -> RecordOwner:
        """Return the record owner of the running loop."""
        return self._record_owners.here()

    def record_owners(self) -> tuple[RecordOwner, ...]:
        """Return those of all loops, in any thread."""
        return self._record_owners.every()

    def _new_record_owner(self) -> RecordOwner:
        return RecordOwner(
            self.store,
            lease=self._lease,
            start=lambda coroutine: self.tasks().start(coroutine),
            observers=self._observers,
        )

    async def publish(self, event: DomainEvent, plan: Plan) -> None:
        """Store an event and run its handlers.

        Raises:
            InvalidEvent: the log could not keep the event exactly; nothing was written.
            EventConflict: its id is stored with other content.
            StoreUnavailable: the event may not be stored, and no handler ran.
        """
        await self.publish_many([event], [plan])

    async def publish_many(self, events: Sequence[DomainEvent], plans: Sequence[Plan]) -> None:
        """Store events with one write and run the handlers of each in turn; the first conflict is raised at the end."""
        if not events:
            return
        record_owner = self.record_owner()
        published = [PendingPublish(event, plan) for event, plan in zip(events, plans, strict=True)]
        await self._store(record_owner, published)
        await self.dispatch_all(record_owner, [pending for pending in published if pending.runs])
        for pending in published:
            if pending.error is not None:
                raise pending.error

    async def dispatch_all(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        """Run the handlers of each event in turn; an exception gives back the events that come later."""
        waiting = deque(published)
        try:
            while waiting:
                await self.dispatch(record_owner, waiting.popleft())
        finally:
            for pending in waiting:
                if pending.owned is not None:
                    record_owner.writer.add(pending.owned, is_finished=True)

    async def dispatch(self, record_owner: RecordOwner, pending: PendingPublish) -> None:
        """Run the handlers of an event whose record is owned, or that runs without a record.

        The deliveries of paused handlers stay in the record, which is given back; without a record none can wait.
        """
        worker, handlers, owned = record_owner.worker, pending.plan.handlers, pending.owned
        sink: Sink = UnstoredSink(worker.running_handlers)
        if owned is not None:
            sink = RecordSink(record_owner, owned)
            if worker.pauses.stored:
                handlers = tuple(handler for handler in handlers if not worker.pauses.holds(handler))
        if handlers:
            due = [DueDelivery(handler, handler.id) for handler in handlers]
            await RecordRun(sink, pending.event, due).dispatch(lambda delivery: self.tasks().start(delivery))
        elif owned is not None:
            record_owner.writer.add(owned, is_finished=True)

    # the record first

    async def _store(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        """Store the records; with `on_error="log"` the handlers of those that could not be stored run anyway."""
        try:
            await self._insert(record_owner, published)
        except StoreUnavailable as error:
            if self._on_error == "raise":
                raise
            text = "%d events are dispatched and not stored: %s"
            log.error(text, len(published), error)  # noqa: TRY400 - the message holds the whole reason
        else:
            record_owner.reconcile_if_uncertain()

    async def _insert(self, record_owner: RecordOwner, published: Sequence[PendingPublish]) -> None:
        documents = [self._document(pending) for pending in published]
        owner = await record_owner.worker.ready()
        at = record_owner.worker.now()
        records = [
            _tracked(document, pending.plan, at=at, owner=owner)
            for pending, document in zip(published, documents, strict=True)
        ]
        with record_owner.acquiring([record.id for record in records], owner) as acquisition:
            try:
                results = await self.store.insert([record.document for record in records])
                taken = []
                for pending, record, result in zip(published, records, results, strict=True):
                    if result.is_inserted or (acquisition.is_new(record.id) and _has_landed(record, result)):
                        pending.owned = acquisition.keep(record)
                        if pending.event.causation_id is not None:
                            hooks.kill_point("child.stored")
                    else:
                        taken.append((pending, record, result))
                if taken:
                    await self._publish_again(record_owner, taken, acquisition)
            except InvalidEvent:
                raise  # it was not sent
            except BaseException as error:
                record_owner.mark_uncertain()
                if not (isinstance(error, StoreUnavailable) and self._on_error == "log"):
                    acquisition.give_up_all()  # the publish raises: its stored records are given back
                raise

    def _document(self, pending: PendingPublish) -> dict[str, Any]:
        """Return the record of an event without its delivery; the event is replaced by the one that the log returns.

        Inside a delivery the event is a child of that delivery's event.

        Raises:
            InvalidEvent: the log could not keep the event exactly.
        """
        parent = open_delivery()
        event = pending.event if parent is None else as_child(pending.event, parent, event_content)
        document, pending.event = stored_event(event)
        return document

    def unowned_record(self, pending: PendingPublish, *, at: datetime) -> Tracked:
        """Return the record of an event that no worker owns yet, due at a time of the database's clock.

        Raises:
            InvalidEvent: the log could not keep the event exactly.
        """
        return _tracked(self._document(pending), pending.plan, at=at, owner=None)

    async def _publish_again(
        self,
        record_owner: RecordOwner,
        taken: Sequence[tuple[PendingPublish, Tracked, InsertResult]],
        acquisition: Acquisition,
    ) -> None:
        """Answer publishes whose id is taken: conflicts, no-ops, and records that get their delivery only now."""
        answering: dict[Any, PendingPublish] = {}
        for pending, record, result in taken:
            pending.runs = False
            try:
                result.check()
            except EventsError as error:
                pending.error = error
                continue
            stored = Tracked.of(result.stored or {})
            if not stored.is_tracked and await record_owner.deliveries.add(stored, record.delivery):
                pending.runs = True
                pending.owned = acquisition.keep(stored)
            else:
                answering[stored.id] = pending
        if answering:
            await self._confirm(record_owner, answering)

    async def _confirm(self, record_owner: RecordOwner, answering: Mapping[Any, PendingPublish]) -> None:
        """Make sure that no record that answers a publish is rolled back: a majority write, then a majority read."""
        await record_owner.worker.confirm()
        confirmed = await record_owner.deliveries.read(list(answering))
        for record_id, pending in answering.items():
            if record_id not in confirmed:
                pending.error = StoreUnavailable(
                    f"event {pending.event.event_id!r} was stored and rolled back: publish it again"
                )

    # the end

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as `drain` has it
        """Return when the outcomes that this loop has gathered are stored.

        Raises:
            TimeoutError: they are not, within `timeout` seconds.
        """
        record_owner = self._record_owners.find()
        if record_owner is not None:
            async with asyncio.timeout(timeout):
                await record_owner.writer.flush()

    async def aclose(self) -> None:
        """Write the remaining outcomes and leave the registry of workers."""
        record_owner = self._record_owners.pop()
        if record_owner is not None:
            await record_owner.aclose()
