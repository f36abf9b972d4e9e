"""Dead letters: list, retry or discard deliveries that have used up their attempts.

    from craft_easy.core.events.operations import dead

    async for delivery in dead.deliveries(store, dead.Choice(handlers=("shop.billing:charge",))):
        print(delivery.event_id, delivery.error)
    await dead.retry(store, dead.Choice(Selection(tenants=("acme",))))
    await dead.discard(store, dead.Choice(event_ids=("019abf3e-…",)), reason="paid by hand", by="ada")

A record may be open while one of its handlers is dead: that delivery counts too. Every change follows the one rule of
deliveries, a pure transition written where `rev` is unchanged, so that an operator's command and a worker that runs the
same record do not undo each other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events.model import delivery as transitions
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.model.retry import cut
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.model.times import Window
from craft_easy.core.events.operations.unfinished_delivery import (
    By,
    DeliveryGroup,
    GroupedDeliveries,
    UnfinishedDelivery,
)
from craft_easy.core.events.store import read
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.filters import DeliveryFilter
from craft_easy.core.events.store.read import MAX_IDS, WITHOUT_PAYLOAD, located

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

State = Literal["pending", "dead"]
_Transition = Callable[[Delivery, Sequence[str], datetime], Delivery]
_Moved = Callable[[HandlerDelivery, HandlerDelivery, datetime], bool]

DEAD_PAGE: Final = 200
"""The number of records that are read and changed at a time."""
_DEAD: Final[Sequence[State]] = ("dead",)
_UNFINISHED: Final[Sequence[State]] = ("pending", "dead")
"""In this order, so that a delivery that dies while the pending ones are listed is listed among the dead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The deliveries to list or to change; by default every dead one.

    Args:
        selection: their events; its `limit` counts deliveries, after every other condition. Its window is that of
            the deaths, and of the events where pending deliveries are chosen.
        handlers: ids of handlers in the records.
        event_ids: only deliveries of these events.
        cause: only deliveries with this cause in a word or two, as groups by error have it.
        as_of: leave out deliveries that died later, so that a command changes only those that were counted before.
    """

    selection: Selection = field(default_factory=Selection)
    handlers: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    cause: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """The deliveries that a command would change, or has changed.

    Args:
        counts: the numbers of events and deliveries.
        moved_by_others: chosen deliveries that a worker or another operator changed first.
        not_found: named event ids that are not in the log.
        not_dead: named event ids without a chosen delivery.
        last_death: the latest time of death; as the `as_of` of a choice it leaves out later deaths.
    """

    counts: Counts
    moved_by_others: int = 0
    not_found: tuple[str, ...] = ()
    not_dead: tuple[str, ...] = ()
    last_death: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """True if every named event had a chosen delivery."""
        return not (self.not_found or self.not_dead)


EVERY: Final = Choice()


async def deliveries(store: EventStore, choice: Choice = EVERY) -> AsyncGenerator[UnfinishedDelivery, None]:
    """Yield the chosen dead deliveries, ascending by `(timestamp, event_id)`, with flat memory.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    async with aclosing(listed(store, choice, _DEAD)) as each:
        async for one in each:
            yield one


async def listed(
    store: EventStore, choice: Choice, states: Sequence[State]
) -> AsyncGenerator[UnfinishedDelivery, None]:
    """Yield the chosen deliveries in these states; `pending` lists with it, too."""
    async with aclosing(_Search(store, choice, states).pages()) as pages:
        async for page in pages:
            for chosen in page:
                for entry in chosen.entries:
                    yield UnfinishedDelivery.of(chosen.record, entry)


async def groups(store: EventStore, choice: Choice = EVERY, *, by: By = "error") -> list[DeliveryGroup]:
    """Return the chosen dead deliveries in groups, the largest first.

    Args:
        by: the key of a group: the handler and the type of its last error, the handler, the event type, or the tenant.
    """
    return await GroupedDeliveries.of(deliveries(store, choice), by)


async def count(store: EventStore, choice: Choice = EVERY, *, pending: bool = False) -> Touched:
    """Count the deliveries that `retry`, or `discard` with the same `pending`, would change now; nothing is written.

    Raises:
        ValueError: `pending` without a handler.
    """
    counts = Counts()
    search = _Search(store, choice, _states(choice, pending=pending))
    async with aclosing(search.pages()) as pages:
        async for page in pages:
            for chosen in page:
                counts.add(chosen.record.document, chosen.handlers)
    return search.summary(counts)


async def retry(
    store: EventStore, choice: Choice = EVERY, *, on_stored: Callable[[UnfinishedDelivery], None] | None = None
) -> Touched:
    """Give the chosen dead deliveries a fresh budget of attempts, due at once; their history stays.

    A redispatch that has their handlers loaded runs them.

    Args:
        on_stored: called with each delivery once its change is stored.

    Raises:
        StoreUnavailable: the log was not reached; the same call may be made again.
    """
    search = _Search(store, choice, _DEAD)
    return await _change(store, search, _retried, _is_retried, on_stored)


async def discard(
    store: EventStore,
    choice: Choice = EVERY,
    *,
    reason: str,
    by: str | None = None,
    pending: bool = False,
    on_stored: Callable[[UnfinishedDelivery], None] | None = None,
) -> Touched:
    """Skip the chosen dead deliveries: they are never reported as done.

    Args:
        reason: the reason that the record keeps, cut at 2,000 characters.
        by: the operator.
        pending: also skip pending deliveries to the handlers of the choice, which are gone for good.
        on_stored: called with each delivery once its change is stored.

    Raises:
        ValueError: the reason is empty, or `pending` was given without a handler.
        StoreUnavailable: the log was not reached; the same call may be made again.
    """
    if not reason.strip():
        raise ValueError("a discard needs a reason")
    states, why, who = _states(choice, pending=pending), cut(reason), None if by is None else cut(by)

    def skipped(delivery: Delivery, handlers: Sequence[str], at: datetime) -> Delivery:
        # a delivery that was retried in the meantime is pending, and no longer selected
        still = [entry.id for entry in delivery.handlers if entry.id in handlers and entry.state in states]
        return transitions.discard(delivery, still, reason=why, at=at, by=who)

    def is_skipped(_: HandlerDelivery, after: HandlerDelivery, at: datetime) -> bool:
        return (after.state, after.finished_at, after.reason, after.by) == ("skipped", at, why, who)

    search = _Search(store, choice, states)
    return await _change(store, search, skipped, is_skipped, on_stored)


def _retried(delivery: Delivery, handlers: Sequence[str], at: datetime) -> Delivery:
    return transitions.retry(delivery, handlers, at=at)


def _is_retried(before: HandlerDelivery, after: HandlerDelivery, _: datetime) -> bool:
    """Distinguish a fresh budget from a late success; the delivery may have run again since."""
    return after.state == "pending" or after.budget_from > before.budget_from or after.crashes < before.crashes


def _states(choice: Choice, *, pending: bool) -> Sequence[State]:
    if pending and not choice.handlers:
        raise ValueError("pending deliveries are discarded for handlers that no longer exist: name one in `handlers`")
    return _UNFINISHED if pending else _DEAD


@dataclass(eq=False, slots=True)
class _ChosenRecord:
    """A record, and its chosen deliveries as they were when it was listed."""

    record: Tracked
    entries: Sequence[HandlerDelivery]

    @property
    def handlers(self) -> list[str]:
        return [entry.id for entry in self.entries]


class _Search:
    """Lists the records with a chosen delivery, page by page.

    One cursor lists each state; what this command changes leaves the index behind the cursor, and nothing is listed
    twice or passed over.
    """

    def __init__(self, store: EventStore, choice: Choice, states: Sequence[State]) -> None:
        self._store = store
        self._choice = choice
        self._states = states
        chosen = choice.selection
        self._died = Window(chosen.since, chosen.until) if states == _DEAD else None
        self._left = choice.selection.limit
        self._event_ids = list(dict.fromkeys(choice.event_ids))
        self._located: dict[str, Any] = {}
        self._met: set[str] = set()
        self._last_death: datetime | None = None

    async def pages(self) -> AsyncGenerator[list[_ChosenRecord], None]:
        for chosen in await self._chosen():
            for state in self._states:
                async with aclosing(self._pages_of(chosen, state)) as pages:
                    async for page in pages:
                        records = [self._chosen_of(Tracked.of(record), state) for record in page]
                        if chosen_records := [record for record in records if record.entries]:
                            yield chosen_records
                        if self._left == 0:
                            return

    def _pages_of(self, chosen: DeliveryFilter, state: State) -> AsyncGenerator[read.Page, None]:
        return read.scan(
            self._store,
            chosen.having(state),
            fields=WITHOUT_PAYLOAD,
            reverse=self._choice.selection.reverse,
            size=DEAD_PAGE,
            index=chosen.index(state),
        )

    async def _chosen(self) -> list[DeliveryFilter]:
        selection, handlers = self._choice.selection, self._choice.handlers
        if selection.is_empty:
            return []
        if self._died is not None:
            selection = replace(selection, since=None, until=None)
        if not self._event_ids:
            return [DeliveryFilter(selection, handlers, died=self._died)]
        self._located = await located(self._store, self._event_ids)
        ids = list(self._located.values())
        chunks = [tuple(ids[start : start + MAX_IDS]) for start in range(0, len(ids), MAX_IDS)]
        return [DeliveryFilter(selection, handlers, chunk, self._died) for chunk in chunks]

    def _chosen_of(self, record: Tracked, state: State) -> _ChosenRecord:
        """Return the chosen deliveries of a record; none if its pending deliveries listed it before."""
        chosen = (entry for entry in record.delivery.handlers if self._is_chosen(entry))
        entries = [entry for entry in chosen if self._has_cause(record, entry)]
        if state != self._states[0] and any(entry.state == self._states[0] for entry in entries):
            return _ChosenRecord(record, ())
        entries = entries[: self._left]
        if self._left is not None:
            self._left -= len(entries)
        if entries and self._event_ids:
            self._met.add(read_envelope(record.document).event_id)
        deaths = [self._last_death, *(entry.finished_at for entry in entries)]
        self._last_death = max((at for at in deaths if at is not None), default=None)
        return _ChosenRecord(record, entries)

    def _is_chosen(self, entry: HandlerDelivery) -> bool:
        if entry.state not in self._states or (self._choice.handlers and entry.id not in self._choice.handlers):
            return False
        if self._died is not None and not self._died.has(entry.finished_at):
            return False
        as_of = self._choice.as_of
        return as_of is None or entry.finished_at is None or entry.finished_at <= as_of

    def _has_cause(self, record: Tracked, entry: HandlerDelivery) -> bool:
        cause = self._choice.cause
        return cause is None or UnfinishedDelivery.of(record, entry).cause == cause

    def summary(self, counts: Counts, moved_by_others: int = 0) -> Touched:
        """Return the summary, with the named event ids that had no chosen delivery."""
        unmatched = [event_id for event_id in self._event_ids if event_id not in self._met]
        return Touched(
            counts,
            moved_by_others,
            not_found=tuple(event_id for event_id in unmatched if event_id not in self._located),
            not_dead=tuple(event_id for event_id in unmatched if event_id in self._located),
            last_death=self._last_death,
        )


async def _change(
    store: EventStore,
    search: _Search,
    transition: _Transition,
    has_moved: _Moved,
    on_stored: Callable[[UnfinishedDelivery], None] | None,
) -> Touched:
    counts, chosen = Counts(), 0
    log = Deliveries(store)
    async with aclosing(search.pages()) as pages:
        async for page in pages:
            at = await store.now()
            await log.change(
                [PendingChange(listed.record, partial(_applied, transition, listed.handlers, at)) for listed in page]
            )
            for listed in page:
                chosen += len(listed.entries)
                _note(listed, list(_after(listed, has_moved, at)), counts, on_stored)
    return search.summary(counts, chosen - counts.deliveries)


def _applied(transition: _Transition, handlers: Sequence[str], at: datetime, delivery: Delivery) -> Delivery:
    return transition(delivery, handlers, at)


def _after(listed: _ChosenRecord, has_moved: _Moved, at: datetime) -> Iterable[HandlerDelivery]:
    """Yield the deliveries of a record that this command has moved, as the log holds them now."""
    for before in listed.entries:
        after = listed.record.delivery.handler(before.id)
        if after is not None and has_moved(before, after, at):
            yield after


def _note(
    listed: _ChosenRecord,
    moved: Sequence[HandlerDelivery],
    counts: Counts,
    on_stored: Callable[[UnfinishedDelivery], None] | None,
) -> None:
    if moved:
        counts.add(listed.record.document, [entry.id for entry in moved])
    for entry in moved:
        if on_stored is not None:
            on_stored(UnfinishedDelivery.of(listed.record, entry))
