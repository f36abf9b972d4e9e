"""Publishing from outside an application: events are dispatched at once, or left open for a redispatch.

    from craft_easy.core.events.operations.publish import publish_lines

    published = await publish_lines(store, "events.ndjson", bus=get_event_bus())
    print(published.stored, published.bad)

With a bus the events are open for the handlers that are subscribed on it; without one they are untracked.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from craft_easy.core.events import clock
from craft_easy.core.events.engine.report import ignore
from craft_easy.core.events.errors import EventConflict, EventsError, InvalidEvent, StoreUnavailable
from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.operations import intake
from craft_easy.core.events.operations.import_ import Refused
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.documents import new_record, record_id, to_document
from craft_easy.core.events.store.formats.extended_json import parse
from craft_easy.core.events.store.formats.incoming import new_event
from craft_easy.core.events.store.queries.import_ import insert_each, stored_twins

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.operations.intake import Line
    from craft_easy.core.events.store import EventStore

State = Literal["untracked", "open", "done", "dead"]
MAX_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event that is in the log, and the state of its delivery.

    Args:
        event: the event.
        is_new: it was not stored before.
        state: "untracked", or the state of its delivery.
        handlers: the state of each handler by its id.
        failed: the errors of the handlers that ran just now and did not succeed, by their ids.
    """

    event: DomainEvent
    is_new: bool
    state: State
    handlers: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PublishSummary:
    """The result of publishing lines: events by outcome, deliveries by state."""

    stored: int = 0
    present: int = 0
    conflicts: int = 0
    bad: int = 0
    untracked: int = 0
    open: int = 0
    delivered: int = 0
    failed: int = 0

    @property
    def is_clean(self) -> bool:
        """True if every event is in the log and no handler failed."""
        return not (self.conflicts or self.bad or self.failed)

    def add(self, published: PublishedEvent) -> None:
        """Count one event."""
        if not published.is_new:
            self.present += 1
            return
        self.stored += 1
        self.untracked += published.state == "untracked"
        states = list(published.handlers.values())
        self.delivered += states.count("done")
        self.failed += len(published.failed)
        self.open += states.count("pending") - sum(
            published.handlers[handler] == "pending" for handler in published.failed
        )


@dataclass(frozen=True, slots=True)
class UnfitPayload:
    """An event whose payload does not fit the class of its type: handlers get a plain event."""

    event_type: str
    class_name: str


PublishNotice: TypeAlias = PublishedEvent | Refused | UnfitPayload
"""The notices to an observer: an event is in the log, and its handlers have run if it was dispatched; a line was not
published; a payload is unfit."""
PublishObserver: TypeAlias = Callable[[PublishNotice], object]


async def publish_event(
    store: EventStore, event: DomainEvent, *, bus: EventBus | None = None, dispatch: bool = False
) -> PublishedEvent:
    """Store one event, and run its handlers with `dispatch`; publishing the same event again changes nothing.

    Args:
        store: the event log.
        event: the event.
        bus: the bus with its handlers; None leaves it untracked. To dispatch, the bus must have this store.
        dispatch: run the handlers now, as the application would.

    Raises:
        InvalidEvent: the log could not keep the event exactly.
        EventConflict: its id is stored with other content.
        StoreUnavailable: the event may not be stored.
    """
    (answer,) = await _Run(store, bus, is_dispatching=dispatch).publish([event])
    if isinstance(answer, EventsError):
        raise answer
    return answer


async def publish_lines(
    store: EventStore,
    source: str | Path | AsyncIterable[bytes],
    *,
    bus: EventBus | None = None,
    dispatch: bool = False,
    observer: PublishObserver = ignore,
) -> PublishSummary:
    """Publish lines of Event JSON in their order, as soon as they can be read.

    `event_id`, `timestamp`, `tenant_id`, `actor_id` and `payload` may be left out. A bad line is passed to the observer
    with its number, and the others are published.

    Args:
        store: the event log.
        source: a file, `-` for standard input, or an iterable of bytes.
        bus: the bus with the handlers of the events; None leaves them untracked.
        dispatch: run the handlers now, one event after another.
        observer: called with each event and each line that was refused.

    Raises:
        InvalidSetting: the file cannot be read.
        StoreUnavailable: an event may not be stored; the observer was called with those that are.
    """
    if isinstance(source, (str, Path)):
        intake.check(source)
    run = _Run(store, bus, is_dispatching=dispatch)
    summary = PublishSummary()
    async with aclosing(intake.lines(source)) as pages:
        async for page in pages:
            for start in range(0, len(page), MAX_AT_ONCE):
                await _publish(run, page[start : start + MAX_AT_ONCE], summary, observer)
    return summary


async def _publish(run: _Run, lines: Sequence[Line], summary: PublishSummary, observer: PublishObserver) -> None:
    events: list[tuple[Line, DomainEvent]] = []
    for line in lines:
        try:
            events.append((line, new_event(parse(line.text()), at=clock.now())))
        except ValueError as error:  # as InvalidEvent is, too
            summary.bad += 1
            observer(Refused.of(line, error))
    for batch in [[pair] for pair in events] if run.is_dispatching else [events]:
        for _, event in batch:
            if (name := unfit_class(event)) is not None:
                observer(UnfitPayload(event.event_type, name))
        for (line, event), answer in zip(batch, await run.publish([event for _, event in batch]), strict=True):
            if isinstance(answer, PublishedEvent):
                summary.add(answer)
                observer(answer)
                continue
            is_conflict = isinstance(answer, EventConflict)
            summary.conflicts += is_conflict
            summary.bad += not is_conflict
            refused = Refused(line.number, str(answer), line.raw_text(), event.event_id if is_conflict else None)
            observer(refused)


def unfit_class(event: DomainEvent) -> str | None:
    """Return the name of the class that claims the type of an event that does not fit it; None where it fits."""
    claimed = event_class.class_of(event.event_type)
    return claimed.__name__ if claimed is not None and type(event) is DomainEvent else None


class _Run:
    """Publishes events to one log for one bus."""

    def __init__(self, store: EventStore, bus: EventBus | None, *, is_dispatching: bool) -> None:
        if is_dispatching and bus is None:
            raise ValueError("dispatch=True needs a bus with the handlers that are to run")
        self._store = store
        self._bus = bus
        self.is_dispatching = is_dispatching

    async def publish(self, events: Sequence[DomainEvent]) -> list[PublishedEvent | EventsError]:
        """Return the result of each event, in the same order."""
        if not events:
            return []
        return await (self._dispatch(events) if self.is_dispatching else self._store_open(events))

    async def _store_open(self, events: Sequence[DomainEvent]) -> list[PublishedEvent | EventsError]:
        at = await self._store.now()
        deliveries = [self._delivery(event, at) for event in events]
        answers: list[PublishedEvent | EventsError | None] = []
        records: list[dict[str, Any]] = []
        for event, delivery in zip(events, deliveries, strict=True):
            try:
                records.append(new_record(event, None if delivery is None else to_document(delivery)))
                answers.append(None)
            except InvalidEvent as error:
                answers.append(error)
        results = iter(await insert_each(self._store, records))
        for index, event in enumerate(events):
            if answers[index] is None:
                answers[index] = await self._answer(event, deliveries[index], next(results))
        return [answer for answer in answers if answer is not None]

    def _delivery(self, event: DomainEvent, at: Any) -> Delivery | None:
        if self._bus is None:
            return None
        return Delivery.new((handler.id for handler in self._bus.registry.plan(event.event_type).handlers), at=at)

    async def _answer(self, event: DomainEvent, delivery: Delivery | None, result: Any) -> PublishedEvent | EventsError:
        try:
            result.check()
        except EventsError as error:
            return error
        if result.is_inserted:
            return _standing(event, delivery, is_new=True)
        stored = Tracked.of(result.stored)
        if delivery is not None and not stored.is_tracked:
            await self._store.append(event, handlers=[entry.id for entry in delivery.handlers])
            return _standing(event, delivery, is_new=False)
        return _standing(event, stored.delivery if stored.is_tracked else None, is_new=False)

    async def _dispatch(self, events: Sequence[DomainEvent]) -> list[PublishedEvent | EventsError]:
        assert self._bus is not None
        before = await stored_twins(self._store, [_key(event) for event in events])
        errors: list[EventsError | None] = []
        for event in events:
            try:
                await self._bus.publish(event)
                errors.append(None)
            except StoreUnavailable:
                raise
            except EventsError as error:
                errors.append(error)
        await self._bus.drain()
        after = await stored_twins(self._store, [_key(event) for event in events])
        return [
            error or _dispatched(event, former, Tracked.of(record or {}))
            for event, former, record, error in zip(events, before, after, errors, strict=True)
        ]


def _key(event: DomainEvent) -> dict[str, Any]:
    return {"_id": record_id(event.event_id), "event_id": event.event_id}


def _standing(event: DomainEvent, delivery: Delivery | None, *, is_new: bool) -> PublishedEvent:
    if delivery is None:
        return PublishedEvent(event, is_new, "untracked")
    return PublishedEvent(event, is_new, delivery.state, {entry.id: entry.state for entry in delivery.handlers})


def _dispatched(event: DomainEvent, former: Any, now: Tracked) -> PublishedEvent:
    standing = _standing(event, now.delivery if now.is_tracked else None, is_new=former is None)
    if not standing.is_new:
        return standing
    failed = {
        entry.id: _error(entry)
        for entry in now.delivery.handlers
        if entry.state in ("pending", "dead") and entry.attempts
    }
    return PublishedEvent(event, standing.is_new, standing.state, standing.handlers, failed)


def _error(entry: HandlerDelivery) -> str:
    last = entry.errors[-1] if entry.errors else None
    return (entry.reason or "retry requested") if last is None else f"{last.type}: {last.message}"
