"""Writes outcomes in groups, without delaying whoever runs the handlers.

What has ended goes into the next write and never waits for a sibling. While a write is under way everything that ends
gathers for the one after it: group commit, as databases do it for their logs (DeWitt et al., "Implementation
Techniques for Main Memory Database Systems", SIGMOD 1984), with no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from craft_easy.core.events import hooks
from craft_easy.core.events.errors import RecordRefused, StoreError, StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended, finish, forget_errors
from craft_easy.core.events.store.deliveries import TOGETHER_S, Deliveries, PendingChange, Tracked

log: Final = logging.getLogger("craft_easy.core.events")

GROUP: Final = 1_000
"""Records that one write takes at most."""
PAUSE: Final = 0.5
"""Seconds between two tries while the log cannot be reached."""
UNFIT: Final = (RecordRefused, ArithmeticError, TypeError, ValueError)
"""What an outcome raises that cannot be stored, however often it is tried: it must not keep the others waiting."""


Ownership = tuple[Any, str]
"""A record's `_id` and the identity that holds it: after a refused beat the same process may claim it again."""


@dataclass(eq=False, slots=True)
class OwnedRecord:
    """A record that a worker owns, and what came of it since the last write.

    Args:
        record: as it was read or written last.
        owner: the identity under which it was inserted or claimed.
        on_stored: called with each outcome and the delivery that holds it, once it is stored.
    """

    record: Tracked
    owner: str
    on_stored: Callable[[Ended, Delivery], None] | None = None
    has_run: bool = False
    ended: list[Ended] = field(default_factory=list)
    is_through: bool = False
    is_locked: bool = False
    """A transaction is open that will write this record: nothing else may."""

    @property
    def key(self) -> str:
        return str(self.record.document.get("event_id"))

    @property
    def hold(self) -> Ownership:
        return self.record.id, self.owner


class OutcomeWriter:
    """Takes what ended and writes it; belongs to one running loop.

    While the log cannot be reached it goes on trying; a loop that closes gets one last try.

    Args:
        deliveries: where it is written.
        now: the database's time.
    """

    def __init__(self, deliveries: Deliveries, now: Callable[[], datetime]) -> None:
        self._deliveries = deliveries
        self._now = now
        self.held: set[Ownership] = set()
        """What this loop holds, inserts and claims under way included."""
        self._waiting: dict[int, OwnedRecord] = {}
        self._group: list[OutcomeWrite] = []
        self._task: asyncio.Task[None] | None = None
        self._written = asyncio.Event()

    def add(self, held: OwnedRecord, *ended: Ended, is_through: bool = False) -> None:
        """Take outcomes of a record; `is_through` gives it back with the same write."""
        held.ended.extend(ended)
        held.is_through = held.is_through or is_through
        self._waiting[id(held)] = held
        self._begin()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            # in a context of its own: the deadline or the delivery of whoever ended first is not that of the others
            self._task = asyncio.get_running_loop().create_task(self._run(), name="write outcomes", context=Context())

    @asynccontextmanager
    async def exclusive(self, held: OwnedRecord) -> AsyncIterator[None]:
        """Write nothing to a record while the block runs: a transaction is to write it."""
        held.is_locked = True
        try:
            while self.is_busy and any(step.held is held for step in self._group):
                await self._next_write()
            yield
        finally:
            held.is_locked = False
            if self._waiting:
                self._begin()

    async def settle(self, held: OwnedRecord) -> None:
        """Return when nothing of a record waits to be written."""
        while self.is_busy and (id(held) in self._waiting or any(step.held is held for step in self._group)):
            await self._next_write()

    @property
    def is_busy(self) -> bool:
        """Whether something is being written."""
        return self._task is not None and not self._task.done()

    async def _next_write(self) -> None:
        self._written.clear()
        await self._written.wait()

    async def below(self, records: int) -> None:
        """Return when fewer records than that wait to be written, so that whoever claims does not run ahead."""
        while self.is_busy and len(self._waiting) + len(self._group) >= records:
            await self._next_write()

    async def flush(self) -> None:
        """Return when everything that was taken so far, and meanwhile, is stored."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def give_up(self) -> None:
        """Let go of what the log does not take."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

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
        if not self._group:
            keys = list(islice((key for key, held in self._waiting.items() if not held.is_locked), GROUP))
            taken = [self._waiting.pop(key) for key in keys]
            now = self._now()
            self._group = [OutcomeWrite.of(held, now) for held in taken]
        return self._group

    async def _write(self) -> bool:
        group = self._group
        try:
            await self._write_together()
        except StoreUnavailable as error:
            self._group = await self._write_apart()
            if self._group:
                log.warning("outcomes of %d events are not stored yet: %s", len(self._group), error)
        except StoreError as error:
            log.warning("outcomes of %d events are not stored yet: %s", len(self._group), error)
            return False
        else:
            self._group = []
        left = set(map(id, self._group))
        for step in group:
            if id(step) not in left:
                step.report()
                if step.release:
                    self.held.discard(step.held.hold)
        self._written.set()
        return not self._group

    async def _write_together(self) -> None:
        changes = [step.change for step in self._group]
        hooks.kill_point("outcomes.sent")
        try:
            await self._deliveries.change(changes, seconds=TOGETHER_S if len(changes) > 1 else None)
            hooks.kill_point("outcomes.acknowledged")
        except UNFIT:
            for step in self._group:
                await self._write_alone(step)

    async def _write_apart(self) -> list[OutcomeWrite]:
        """Write what can be written with a write for each; return what cannot: its record may be locked."""
        if len(self._group) == 1:
            return self._group
        changes = [(step, step.change) for step in self._group]
        try:
            left = await self._deliveries.change_apart([change for _, change in changes])
        except (StoreUnavailable, *UNFIT):
            return self._group
        return [step for step, change in changes if any(change is one for one in left)]

    async def _write_alone(self, step: OutcomeWrite) -> None:
        try:
            await self._deliveries.change([step.change])
        except UNFIT:
            await self._write_without_errors(step)

    async def _write_without_errors(self, step: OutcomeWrite) -> None:
        """Store an outcome on a record that has no room for the texts of its errors."""
        try:
            await self._deliveries.change([PendingChange(step.held.record, step.lean)])
        except UNFIT:
            log.exception("the outcome of event %s cannot be stored", step.held.key)


@dataclass(eq=False, slots=True)
class OutcomeWrite:
    """What one write does to one record."""

    held: OwnedRecord
    ended: tuple[Ended, ...]
    at: datetime
    release: bool

    @classmethod
    def of(cls, held: OwnedRecord, at: datetime) -> OutcomeWrite:
        ended, held.ended = tuple(held.ended), []
        return cls(held, ended, at, held.is_through)

    @property
    def change(self) -> PendingChange:
        return PendingChange(self.held.record, self.transition)

    def transition(self, delivery: Delivery) -> Delivery:
        held = self.held
        return finish(
            delivery,
            self.ended,
            owner=held.owner,
            key=held.key,
            at=self.at,
            release=self.release,
            has_run=held.has_run,
        )

    def lean(self, delivery: Delivery) -> Delivery:
        after = self.transition(delivery)
        return delivery if after is delivery else forget_errors(after)

    def report(self) -> None:
        """Tell whoever wants to know what the log holds now."""
        if self.held.on_stored is not None:
            for one in self.ended:
                self.held.on_stored(one, self.held.record.delivery)
