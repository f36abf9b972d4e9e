"""A process of an application in the model: the steps of a bus and a redispatch, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import (
    Delivery,
    Ended,
    discard,
    finish,
    give_back,
    note_running,
    retry,
    track,
)
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind
from craft_easy.core.events.store.deliveries import PendingChange, Tracked, Transition
from tests.properties.ledger import SUSPECT_AFTER, Key, policy
from tests.properties.memory_log import Clock, Records, Registry
from tests.properties.network import Wire

if TYPE_CHECKING:
    from craft_easy.core.events.engine.owner import RecordOwner
    from craft_easy.core.events.engine.report import DeliveryObserver

LEASE: Final = 3.0
RELEASES: Final[tuple[dict[str, tuple[str, ...]], ...]] = (
    {"a": ("a",), "b": ("b",)},
    {"renamed": ("renamed", "a"), "b": ("b",)},
)
"""The handlers of each release of the application, and their names in records: a rename keeps both."""


@dataclass(eq=False)
class Due:
    """A delivery to run: the handler, its name in the record, and the number of the run."""

    handler_id: str
    known_as: str
    attempt: int

    def ended(self, kind: OutcomeKind, at: datetime) -> Ended:
        error = ErrorText("ValueError", "no") if kind is OutcomeKind.FAILED else None
        return Ended(
            Outcome(self.handler_id, kind, self.attempt, error=error, retry=policy(self.known_as)), at, self.known_as
        )


@dataclass(eq=False)
class Held:
    """A record that a process owns, and the remaining work on it."""

    record: Tracked
    owner: str
    waiting: deque[Due]
    is_suspect: bool = False
    noted: Due | None = None
    running: int = 0
    has_run: bool = False
    ended: list[Ended] = field(default_factory=list)
    unwritten: Transition | None = None
    """A write that is not acknowledged yet: it is repeated unchanged."""
    written: tuple[Ended, ...] = ()
    is_releasing: bool = False
    is_writing: bool = False

    @property
    def event_id(self) -> str:
        return str(self.record.document["event_id"])

    @property
    def is_finished(self) -> bool:
        return not (self.waiting or self.noted or self.running)

    @property
    def has_to_write(self) -> bool:
        """True if a write may start: not while a suspect's handler runs, because a write would clear its note."""
        is_busy = self.is_writing or (self.is_suspect and self.running > 0)
        return not is_busy and bool(self.unwritten or self.ended or self.is_finished)

    @property
    def is_at_rest(self) -> bool:
        return not (self.noted or self.running or self.ended or self.unwritten or self.is_writing)

    def leave_out(self, paused: Callable[[str], bool]) -> None:
        """Leave the deliveries of paused handlers that have not started as they are; the next write gives them back."""
        self.waiting = deque(due for due in self.waiting if not paused(due.handler_id))

    def break_off(self, at: datetime) -> None:
        """Give back records that have not started."""
        left = [*self.waiting, self.noted] if self.noted else list(self.waiting)
        self.waiting.clear()
        self.noted = None
        self.ended += [due.ended(OutcomeKind.GIVEN_BACK, at) for due in left]


@dataclass(eq=False)
class Run:
    """A running handler."""

    process: Process
    held: Held
    due: Due
    was_noted: bool = False
    """Whether it was noted before it started, and so may have been paused in between."""

    @property
    def key(self) -> Key:
        return self.held.event_id, self.due.known_as


@dataclass(eq=False)
class Process:
    """A worker, its records, and its running handlers.

    Its coroutines are tasks of the network; a lost reply is a `StoreUnavailable`, and the process then drops the
    request, as the engine does.
    """

    number: int
    release: int
    clock: Clock
    wire: Wire
    deliveries: Records
    registry: Registry
    pauses: set[str] = field(default_factory=set)
    """The pauses that are stored, for all processes."""
    known_pauses: frozenset[str] = frozenset()
    """Those that this process has read."""
    owner: str = ""
    beat_sent: float | None = None
    is_refused: bool = False
    is_silent: bool = False
    is_beating: bool = False
    is_noting: bool = False
    unanswered: int = 0
    """Heartbeats without an answer, for `TakeOver`."""
    observers: tuple[DeliveryObserver, ...] = ()
    """Of deliveries that die by a take-over, for `TakeOver`."""
    held: list[Held] = field(default_factory=list)
    under_way: list[Any] = field(default_factory=list)
    """Ids of records whose insert or claim is under way: they count as held."""
    runs: list[Run] = field(default_factory=list)
    acknowledged: set[Key] = field(default_factory=set)
    """Deliveries whose success was stored, as far as the process can tell."""
    _names: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.owner = self._new_owner()
        self.take_over = TakeOver(cast("RecordOwner", self), clock=self.clock.steady)

    @property
    def worker(self) -> Process:
        """The owner and the time, for `TakeOver`."""
        return self

    @property
    def is_dead(self) -> bool:
        return self.wire.is_dead

    @property
    def may_start(self) -> bool:
        is_within = self.beat_sent is not None and self.clock.seconds - self.beat_sent <= LEASE
        return is_within and not self.is_refused and not self.is_dead

    @property
    def must_register(self) -> bool:
        return not self.is_dead and (self.beat_sent is None or self.is_refused)

    @property
    def is_idle(self) -> bool:
        return self.beat_sent is not None and not self.held and not self.under_way

    @property
    def loaded(self) -> list[str]:
        """The names of the handlers that this process claims for."""
        release = RELEASES[self.release]
        return [name for handler, names in release.items() for name in names if not self.is_paused(handler)]

    def is_paused(self, handler: str) -> bool:
        """Return whether this process knows that a handler of its release is paused, under any of its names."""
        return not self.known_pauses.isdisjoint({handler, *RELEASES[self.release][handler]})

    def _read_pauses(self) -> None:
        self.known_pauses = frozenset(self.pauses)
        for held in self.held:
            held.leave_out(self.is_paused)

    def now(self) -> datetime:
        return self.clock.now()

    def holds(self, record_id: Any) -> bool:
        return record_id in self.under_way or any(one.record.id == record_id for one in self.held)

    def may_run(self, held: Held) -> bool:
        """Return whether a delivery of this record may start: a suspect's runs alone in its process."""
        if held.noted is not None:
            return not self.is_dead and self.owner == held.owner
        if not held.waiting or not self.may_start or self.owner != held.owner or self.is_noting:
            return False
        if any(one.is_suspect and not one.is_at_rest for one in self.held):
            return False
        return not held.is_suspect or not self.runs

    def _new_owner(self) -> str:
        return f"host:{self.number}:{next(self._names)}"

    # the worker

    async def register(self) -> None:
        owner, sent = self._new_owner() if self.is_refused else self.owner, self.clock.steady()
        try:
            await self.registry.register(owner, lease=LEASE)
        except StoreUnavailable:
            return
        self.owner, self.beat_sent, self.is_refused = owner, sent, False
        self._read_pauses()

    async def beat(self) -> None:
        self.is_beating = True
        owner, sent = self.owner, self.clock.steady()
        try:
            at = await self.registry.beat(owner)
        except StoreUnavailable:
            self.unanswered += 1
            return
        finally:
            self.is_beating = False
        if owner == self.owner:
            self._heard(sent, is_refused=at is None)

    def _heard(self, sent: float, *, is_refused: bool) -> None:
        if is_refused:
            self.is_refused = True
        elif self.beat_sent is None or sent > self.beat_sent:
            self.beat_sent = sent
        self._read_pauses()

    async def leave(self) -> None:
        try:
            await self.registry.remove(self.owner)
        except StoreUnavailable:
            return

    async def look(self) -> None:
        try:
            await self.take_over.once()
        except StoreUnavailable:
            return

    async def reconcile(self) -> None:
        owner = self.owner
        try:
            async for page in self.deliveries.owned_by([owner]):
                for record in page:
                    if not self.holds(record.id):
                        await self._give_back(record, owner)
        except StoreUnavailable:
            return

    async def _give_back(self, record: Tracked, owner: str) -> None:
        await self.deliveries.change([PendingChange(record, partial(give_back, owner=owner, at=self.now()))])

    # records

    async def publish(self, event_id: str) -> None:
        owner, handlers = self.owner, list(RELEASES[self.release])
        record_id = self.deliveries.id_of(event_id)
        self.under_way.append(record_id)
        try:
            record = await self.deliveries.insert(event_id, Delivery.new(handlers, at=self.now(), owner=owner))
        except StoreUnavailable:
            return
        finally:
            self.under_way.remove(record_id)
        if record is not None:
            due = deque(Due(handler, handler, 1) for handler in handlers if not self.is_paused(handler))
            self.held.append(Held(record, owner, due))

    async def append(self, event_id: str, handlers: Iterable[str]) -> None:
        """Store an event for others to deliver, if it has any handlers."""
        try:
            await self.deliveries.insert(event_id, Delivery.new(handlers, at=self.now()))
        except StoreUnavailable:
            return

    async def claim(self) -> None:
        owner, at, names = self.owner, self.now(), self.loaded
        ids: list[Any] = []
        try:
            ids = self.not_held(await self.deliveries.unowned_ids(names, at=at))
            self.under_way += ids
            records = await self.deliveries.claim_for(names, ids, owner=owner, at=at) if ids else []
        except StoreUnavailable:
            return
        finally:
            for one in ids:
                self.under_way.remove(one)
        self.held += [self._claimed(record, owner) for record in records]

    def not_held(self, ids: list[Any]) -> list[Any]:
        """Return the records to claim: a held record still has a pending write, which would free it again."""
        return [one for one in ids if not self.holds(one)]

    def _claimed(self, record: Tracked, owner: str) -> Held:
        handlers = {name: handler for handler, names in RELEASES[self.release].items() for name in names}
        pending = [one for one in record.delivery.pending if one.id in handlers]
        due = deque(Due(handlers[one.id], one.id, one.attempts + 1) for one in pending)
        held = Held(record, owner, due, is_suspect=record.delivery.takeovers >= SUSPECT_AFTER)
        held.leave_out(self.is_paused)
        return held

    async def note(self, held: Held) -> None:
        """Note the handler of a suspect that is about to run; it runs if this worker still owns the record."""
        due = held.waiting.popleft()
        self.is_noting = True
        try:
            await self.deliveries.change(
                [PendingChange(held.record, lambda now: note_running(now, held.owner, due.known_as))]
            )
        except StoreUnavailable:
            held.waiting.appendleft(due)
            return
        finally:
            self.is_noting = False
        if held.record.delivery.owner == held.owner:
            held.noted = due
        else:
            held.waiting.clear()

    async def write(self, held: Held) -> None:
        """Write outcomes, and give the record back with the last of them."""
        if held.unwritten is None:
            held.is_releasing, held.written, held.ended = held.is_finished, tuple(held.ended), []
            held.unwritten = self.outcomes(held)
        held.is_writing = True
        try:
            await self.deliveries.change([PendingChange(held.record, held.unwritten)])
        except StoreUnavailable:
            return
        finally:
            held.is_writing = False
        held.unwritten = None
        succeeded = [one for one in held.written if one.outcome.kind is OutcomeKind.SUCCEEDED]
        self.acknowledged |= {(held.event_id, one.handler_id) for one in succeeded}
        if held.is_releasing:
            self.held.remove(held)

    def outcomes(self, held: Held) -> Transition:
        """Return the change of a write."""
        return partial(
            finish,
            ended=held.written,
            owner=held.owner,
            key=held.event_id,
            at=self.now(),
            release=held.is_releasing,
            has_run=held.has_run,
        )

    # an operator's

    async def track(self, event_id: str) -> None:
        """Track an event that had no handler when it was published."""
        await self._change(event_id, partial(track, RELEASES[self.release], at=self.now()))

    async def retry(self, event_id: str, handler_id: str) -> None:
        await self._change(event_id, lambda now: retry(now, [handler_id], at=self.now()))

    async def discard(self, event_id: str, handler_id: str) -> None:
        await self._change(event_id, lambda now: discard(now, [handler_id], reason="gone", at=self.now()))

    async def _change(self, event_id: str, transition: Transition) -> None:
        try:
            record = await self.deliveries.find(event_id)
            if record is not None:
                await self.deliveries.change([PendingChange(record, transition)])
        except StoreUnavailable:
            return
