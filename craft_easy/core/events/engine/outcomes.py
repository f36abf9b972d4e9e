"""The writer of outcomes: stores them in groups, without delaying the handlers' callers.

An outcome goes into the next write and never waits for the other deliveries of its record. While a write is under way,
new outcomes are collected for the next one: group commit without a timer (DeWitt et al., "Implementation Techniques for
Main Memory Database Systems", SIGMOD 1984).

It is not `store.group_commit`, which answers each caller once and fails all of them in an outage: outcomes have no
caller. They are merged by record, kept as long as an outage lasts, held back while a transaction writes their record,
and a loop that closes tries once more to store them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.engine.report import DeliveryObserver, DeliveryReport, notify, outcome_name
from craft_easy.core.events.errors import RecordRefused, StoreError, StoreLoginRefused
from craft_easy.core.events.model.delivery import Delivery, Ended, finish, forget_errors
from craft_easy.core.events.store.deliveries import BULK_WRITE_S, Deliveries, PendingChange, Tracked

log: Final = logging.getLogger("craft_easy.core.events")

GROUP: Final = 1_000
"""Records of one write at most."""
PAUSE: Final = 0.5
"""Seconds between two tries while the log cannot be reached."""
UNFIT: Final = (RecordRefused, ArithmeticError, TypeError, ValueError)
"""Errors of an outcome that can never be stored: it must not keep the others waiting."""


Ownership = tuple[Any, str]
"""A record's `_id` and the identity that owns it: after a refused heartbeat the same process may claim it again."""


@dataclass(eq=False, slots=True)
class OwnedRecord:
    """A record that a worker owns, and the outcomes since the last write.

    Args:
        record: as it was last read or written.
        owner: the identity under which it was inserted or claimed.
        on_stored: called with each outcome and the delivery that holds it, once it is stored.
        has_run: whether a handler was started since the claim.
        ended: the outcomes that no write has taken yet.
        is_finished: whether the worker has finished with it: the next write gives it back.
        is_locked: whether a transaction is open that alone may write the record.
    """

    record: Tracked
    owner: str
    on_stored: Callable[[Ended, Delivery], None] | None = None
    has_run: bool = False
    ended: list[Ended] = field(default_factory=list)
    is_finished: bool = False
    is_locked: bool = False

    @property
    def key(self) -> str:
        """The id of its event."""
        return str(self.record.document.get("event_id"))

    @property
    def ownership(self) -> Ownership:
        """The key of the record among those that a worker owns."""
        return self.record.id, self.owner


class OutcomeWriter:
    """Takes the outcomes of one event loop and writes them.

    While the log cannot be reached it keeps trying; a loop that closes gets one last try.

    Args:
        deliveries: the deliveries of the log.
        now: returns the database's time.
        observers: called with each outcome, once it is stored.
    """

    def __init__(
        self, deliveries: Deliveries, now: Callable[[], datetime], observers: Sequence[DeliveryObserver] = ()
    ) -> None:
        self._deliveries = deliveries
        self._now = now
        self._observers = observers
        self.owned: set[Ownership] = set()
        """The records that this loop owns, including those whose insert or claim is under way."""
        self._waiting: dict[int, OwnedRecord] = {}
        self._group: list[OutcomeWrite] = []
        """The write that is under way; after an outage the same write is made again."""
        self._task: asyncio.Task[None] | None = None
        self._written = asyncio.Event()

    def add(self, owned: OwnedRecord, *ended: Ended, is_finished: bool = False) -> None:
        """Take outcomes of a record; `is_finished` gives the record back with the same write."""
        owned.ended.extend(ended)
        owned.is_finished = owned.is_finished or is_finished
        self._waiting[id(owned)] = owned
        self._begin()

    @property
    def is_busy(self) -> bool:
        """True if something is being written."""
        return self._task is not None and not self._task.done()

    async def wait_until_stored(self, owned: OwnedRecord) -> None:
        """Return when no outcome of a record waits to be written."""
        while self.is_busy and (id(owned) in self._waiting or self._is_being_written(owned)):
            await self._next_write()

    async def wait_for_room(self, records: int) -> None:
        """Return when fewer than `records` wait to be written, so that claims do not run ahead of the writes."""
        while self.is_busy and len(self._waiting) + len(self._group) >= records:
            await self._next_write()

    async def flush(self) -> None:
        """Return when every outcome is stored, including those that arrive during the wait."""
        if self._waiting and not self.is_busy:
            self._begin()
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def give_up(self) -> None:
        """Try a last time, and drop the outcomes that the log does not store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @asynccontextmanager
    async def locked(self, owned: OwnedRecord) -> AsyncIterator[None]:
        """Lock a record against writes of outcomes until the block ends: a transaction is to write it."""
        owned.is_locked = True
        try:
            while self.is_busy and self._is_being_written(owned):
                await self._next_write()
            yield
        finally:
            owned.is_locked = False
            if self._waiting:
                self._begin()

    def _is_being_written(self, owned: OwnedRecord) -> bool:
        return any(write.owned is owned for write in self._group)

    async def _next_write(self) -> None:
        self._written.clear()
        await self._written.wait()

    # the task that writes

    def _begin(self) -> None:
        if not self.is_busy:
            # in a context of its own: the deadline or the delivery of the first caller is not that of the others
            self._task = asyncio.get_running_loop().create_task(self._run(), name="write outcomes", context=Context())

    async def _run(self) -> None:
        try:
            while self._take():
                if not await self._write():
                    await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            while self._take() and await self._write():
                pass
            raise
        finally:
            self._written.set()

    def _take(self) -> list[OutcomeWrite]:
        """Return the next group: the outcomes that could not be stored yet, and new ones of other records."""
        left = {id(write.owned) for write in self._group}
        free = (key for key, owned in self._waiting.items() if not owned.is_locked and key not in left)
        if keys := list(islice(free, GROUP - len(left))):
            at = self._now()
            self._group += [OutcomeWrite.of(self._waiting.pop(key), at) for key in keys]
        return self._group

    async def _write(self) -> bool:
        """Write the group, and return whether all of it is stored."""
        group, left = self._group, list[OutcomeWrite]()
        try:
            await self._write_together()
        except StoreLoginRefused as error:
            left = group
            log.warning("outcomes of %d events are not stored yet: %s", len(left), error)
        except StoreError as error:
            left = await self._write_apart()
            if left:
                log.warning("outcomes of %d events are not stored yet: %s", len(left), error)
        self._group, unwritten = left, set(left)
        self._report_stored([write for write in group if write not in unwritten])
        self._written.set()
        return not left

    def _report_stored(self, stored: list[OutcomeWrite]) -> None:
        """Remove the records that were given back from the owned ones, and report the stored outcomes."""
        self.owned.difference_update(write.owned.ownership for write in stored if write.release)
        for write in stored:
            write.report(self._observers)

    async def _write_together(self) -> None:
        changes = [write.change for write in self._group]
        hooks.kill_point("outcomes.sent")
        try:
            await self._deliveries.change(changes, seconds=BULK_WRITE_S if len(changes) > 1 else None)
            hooks.kill_point("outcomes.acknowledged")
        except UNFIT:
            for write in self._group:
                await self._write_alone(write)

    async def _write_apart(self) -> list[OutcomeWrite]:
        """Give each outcome a write of its own, and return those that are not stored.

        Their records may be locked, or the server refuses them for a reason that is not known to be permanent.
        """
        if len(self._group) == 1:
            return self._group
        changes = [(write, write.change) for write in self._group]
        try:
            left = await self._deliveries.change_apart([change for _, change in changes])
        except (StoreError, *UNFIT):
            return self._group
        return [write for write, change in changes if any(change is unstored for unstored in left)]

    async def _write_alone(self, write: OutcomeWrite) -> None:
        try:
            await self._deliveries.change([write.change])
        except UNFIT:
            await self._write_without_errors(write)

    async def _write_without_errors(self, write: OutcomeWrite) -> None:
        """Store an outcome in a record that has no room for the texts of its errors."""
        try:
            await self._deliveries.change([PendingChange(write.owned.record, write.lean)])
        except UNFIT:
            log.exception("the outcome of event %s cannot be stored", write.owned.key)


@dataclass(eq=False, slots=True)
class OutcomeWrite:
    """The change that one write makes to one record."""

    owned: OwnedRecord
    ended: tuple[Ended, ...]
    at: datetime
    release: bool

    @classmethod
    def of(cls, owned: OwnedRecord, at: datetime) -> OutcomeWrite:
        ended, owned.ended = tuple(owned.ended), []
        return cls(owned, ended, at, owned.is_finished)

    @property
    def change(self) -> PendingChange:
        return PendingChange(self.owned.record, self.transition)

    def transition(self, delivery: Delivery) -> Delivery:
        owned = self.owned
        return finish(
            delivery,
            self.ended,
            owner=owned.owner,
            key=owned.key,
            at=self.at,
            release=self.release,
            has_run=owned.has_run,
        )

    def lean(self, delivery: Delivery) -> Delivery:
        after = self.transition(delivery)
        return delivery if after is delivery else forget_errors(after)

    def report(self, observers: Sequence[DeliveryObserver]) -> None:
        """Report each outcome with the delivery that the log holds now."""
        owned = self.owned
        for ended in self.ended:
            if owned.on_stored is not None:
                try:
                    owned.on_stored(ended, owned.record.delivery)
                except Exception:
                    log.exception("the report of an outcome of event %s failed", owned.key)
            outcome = outcome_name(ended, owned.record.delivery) if observers else None
            if outcome is not None:
                notify(observers, DeliveryReport.of(owned.record, ended, owned.record.delivery, outcome))
