"""The records that a worker owns: claim, give back, reconcile.

A claim is here (`RecordOwner.claim`), its write in `store.deliveries`; the outcomes of owned records go to `outcomes`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.engine.outcomes import OutcomeWriter, OwnedRecord, Ownership
from craft_easy.core.events.engine.report import DeliveryObserver
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended, give_back, note_running
from craft_easy.core.events.model.retry import Outcome
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked, Transition
from craft_easy.core.events.store.worker_registry import WorkerRegistry

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

log: Final = logging.getLogger("craft_easy.core.events")

RECONCILE_S: Final = 180.0
"""Seconds after which a worker reconciles even where no reply was lost."""


WRITING_S: Final = 60.0
"""Seconds within which the last outcomes must be written."""


@dataclass(slots=True)
class Acquisition:
    """The records of an insert or a claim that is under way; they count as owned until its reply is known.

    Args:
        owner: the identity that is to own them.
        new: those that the worker did not own before.
        owned: all that the worker owns, these included.
        kept: those that stay owned after the end of the insert or claim.
    """

    owner: str
    new: set[Ownership]
    owned: set[Ownership]
    kept: set[Ownership] = field(default_factory=set)

    def is_new(self, record_id: Any) -> bool:
        """Return whether a record was not owned before and is not kept yet."""
        ownership = (record_id, self.owner)
        return ownership in self.new and ownership not in self.kept

    def keep(self, record: Tracked) -> OwnedRecord | None:
        """Keep a record that the log has confirmed, if there is anything to run."""
        if not record.delivery.is_open:
            return None
        owned = OwnedRecord(record, self.owner)
        self.kept.add(owned.ownership)
        self.owned.add(owned.ownership)
        return owned

    def give_up_all(self) -> None:
        """Keep none of the records; reconciling gives back those that the log has assigned to the worker."""
        self.owned.difference_update(self.kept)
        self.kept.clear()


class RecordOwner:
    """Owns records of a log for one event loop, with a worker and a writer of outcomes.

    Args:
        store: the event log.
        lease: seconds of silence after which others may take over.
        start: starts a task that `drain` awaits.
        observers: called with each delivery whose outcome is stored.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        lease: float,
        start: Callable[[Coroutine[Any, Any, object]], object],
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.store = store
        self.observers = observers
        self.registry = WorkerRegistry(store)
        self.deliveries = Deliveries(store)
        self.worker = Worker(self.registry, lease=lease)
        self.worker.on_beat = self._on_heartbeat
        self.writer = OutcomeWriter(self.deliveries, self.worker.now, observers)
        self._start = start
        self.is_uncertain = False
        """True if a write whose reply was lost may have been applied."""
        self._is_reconciling = False
        self._reconciling = asyncio.Lock()
        self._reconciled_at = steady()

    @property
    def is_current(self) -> bool:
        """True if this is the process and the loop that the record owner was made for."""
        return self.worker.is_current

    async def claim(self, ids: Sequence[Any], condition: Mapping[str, Any]) -> list[OwnedRecord]:
        """Claim records that meet a condition; return those that are owned now, in the order of the listing.

        Raises:
            StoreUnavailable: the result of the claim is unknown; a record that it did claim is given back soon.
        """
        owner = await self.worker.ready()
        with self.acquiring(ids, owner) as acquisition:
            # not what counts as owned: after a lost reply to a give-back the log may list it as free already
            new = [record_id for record_id in ids if acquisition.is_new(record_id)]
            if not new:
                return []
            try:
                hooks.kill_point("claim.sent")
                claimed = await self.deliveries.claim(new, condition, owner=owner, at=self.worker.now())
                hooks.kill_point("claim.acknowledged")
            except BaseException:
                self.mark_uncertain()
                raise
            return [owned for record in claimed if (owned := acquisition.keep(record)) is not None]

    @contextmanager
    def acquiring(self, ids: Iterable[Any], owner: str) -> Iterator[Acquisition]:
        """Count records as owned while their insert or claim is under way, so that reconciling does not free them."""
        acquisition = Acquisition(
            owner, {(record_id, owner) for record_id in ids} - self.writer.owned, self.writer.owned
        )
        acquisition.owned.update(acquisition.new)
        try:
            yield acquisition
        finally:
            acquisition.owned.difference_update(acquisition.new - acquisition.kept)

    async def note_running(self, owned: OwnedRecord, handler_id: str) -> bool:
        """Note in a suspect's record which handler is about to run; return whether the record is still ours."""
        await self.writer.wait_until_stored(owned)
        await self.deliveries.change(
            [PendingChange(owned.record, lambda now: note_running(now, owned.owner, handler_id))]
        )
        return owned.record.delivery.owner == owned.owner

    def end(self, owned: OwnedRecord, handler_id: str, outcome: Outcome, *, is_last: bool) -> None:
        """Hand over the outcome of a delivery to be stored; the last one also frees its record."""
        if self.is_current:  # the records of a closed loop are freed with its worker
            self.writer.add(owned, Ended(outcome, self.worker.now(), handler_id), is_finished=is_last)

    # reconcile

    def mark_uncertain(self) -> None:
        """Note that a write whose reply was lost may have been applied."""
        self.is_uncertain = True

    def _on_heartbeat(self) -> None:
        self.reconcile_if_uncertain(at_the_latest=RECONCILE_S)

    def reconcile_if_uncertain(self, *, at_the_latest: float = float("inf")) -> None:
        """Start to reconcile where a reply was lost, or where the last time is more than `at_the_latest` seconds ago.

        Called when the log has just answered.
        """
        is_due = self.is_uncertain or steady() - self._reconciled_at > at_the_latest
        if is_due and not self._is_reconciling and self.is_current:
            self._is_reconciling, self.is_uncertain = True, False
            self._is_reconciling = self._start(self._reconcile_in_background()) is not None

    async def _reconcile_in_background(self) -> None:
        try:
            await self.reconcile()
        except StoreUnavailable:
            self.mark_uncertain()  # the next heartbeat that is answered tries again
        finally:
            self._is_reconciling = False

    async def reconcile(self) -> int:
        """Give back the open records that the log assigns to this worker without its knowledge; return their number.

        They come from inserts and claims whose reply was lost. No other worker takes them over while this one lives.
        """
        async with self._reconciling:
            owner, given_back = self.worker.owner, 0
            self.is_uncertain = False
            async with aclosing(self.deliveries.owned_by([owner])) as pages:
                async for page in pages:
                    forgotten = [record for record in page if (record.id, owner) not in self.writer.owned]
                    await self.give_back(forgotten, owner)
                    given_back += len(forgotten)
            self._reconciled_at = steady()
        return given_back

    async def give_back(self, records: Sequence[Tracked], owner: str) -> None:
        """Free records whose handlers did not run.

        Ownership is checked again at each write: this worker may have claimed it in the meantime.
        """
        await self.deliveries.change([PendingChange(record, self._unless_owned(record, owner)) for record in records])

    def _unless_owned(self, record: Tracked, owner: str) -> Transition:
        at = self.worker.now()

        def transition(delivery: Delivery) -> Delivery:
            is_owned = (record.id, owner) in self.writer.owned
            return delivery if is_owned else give_back(delivery, owner, at=at)

        return transition

    async def aclose(self) -> None:
        """Write the remaining outcomes and leave the registry."""
        try:
            async with asyncio.timeout(WRITING_S):
                await self.writer.flush()
        except TimeoutError:
            await self.writer.give_up()
            log.warning("the log cannot be reached: deliveries without a stored outcome run again elsewhere")
        hooks.kill_point("stop.written")
        await self.worker.stop()
