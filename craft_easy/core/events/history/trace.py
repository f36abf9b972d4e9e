"""Trace: the chain of events that one belongs to, what caused it and what came of it.

    from craft_easy.core.events.history.trace import trace

    found = await trace(store, "019abf3e-…")
    for step in found.steps:
        print("  " * step.depth, step.event_type, step.handler, step.delivery)

It changes nothing. `steps` are in the order of a tree that is drawn from top to bottom; a chain of any length is walked
without recursion.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events.engine.children import derived_id
from craft_easy.core.events.history.lineage import Lineage, LineageSearch, Looked
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.queries import trace as trace_queries
from craft_easy.core.events.store.queries.trace import Link

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Kind = Literal["event", "missing", "again"]

LIMIT: Final = 1_000
MAX_GUESSES: Final = 200_000
"""So many ids are derived to learn which handler published what; a millionth of a second or two each."""
_SPARE_NUMBERS: Final = 16
"""A number among equal events may be of one that was given back, or is not shown."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One event of a chain.

    Args:
        kind: "event"; "missing", named as a cause and not in the log; "again", where a chain comes back to itself.
        depth: 0 for the first of the chain.
        link: what it is, and what caused it; None where it is missing.
        handler: the handler of its cause that published it; None where its id does not tell.
        delivery: what became of it; None where it is untracked.
        is_asked: it is the one that was asked for.
        children: how many events it caused.
        left_out: of them, by type, those that are not among the steps.
    """

    kind: Kind
    event_id: str
    depth: int
    link: Link | None = None
    handler: str | None = None
    delivery: Delivery | None = None
    is_asked: bool = False
    children: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """A chain of events.

    Args:
        steps: its events, each before those that it caused, and those of one in order of handlers and time.
        events: how many were found, whether they are shown or not.
        missing: ids that are named as causes and are not in the log.
        looked: the window of time that was looked through for events with ids of their own.
        is_cyclic: it comes back to itself, as only other writers make it.
        is_cut: there are more events than were gathered.
    """

    event_id: str
    root_id: str
    steps: tuple[TraceStep, ...]
    events: int
    missing: tuple[str, ...]
    looked: Looked
    is_cyclic: bool = False
    is_cut: bool = False

    @property
    def shown(self) -> int:
        """How many events are among the steps."""
        return sum(step.kind == "event" for step in self.steps)

    @property
    def is_whole(self) -> bool:
        """Whether all was looked through that was meant to be, and nothing is known to be missing."""
        return self.looked.is_whole and not self.is_cut and not self.missing


async def trace(
    store: EventStore,
    event_id: str,
    *,
    depth: int | None = None,
    limit: int | None = LIMIT,
    since: datetime | None = None,
    until: datetime | None = None,
    seconds: float = 10.0,
    on_progress: Callable[[Looked], None] = lambda _: None,
) -> Trace | None:
    """Return the chain that an event belongs to, or None where there is no such event.

    Args:
        store: where the log is.
        event_id: any event of the chain.
        depth: levels below the first; the way to the event itself is always among the steps.
        limit: at most so many steps, those near the first before those below; None for all.
        since: events with ids of their own are looked for from this time on; None for a minute before the first.
        until: and before this time; None for a minute after the end of the last delivery, or now where one is open.
        seconds: so long they are looked for.
        on_progress: is told how far that has come.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    search = LineageSearch(store, since=since, until=until, seconds=seconds, on_progress=on_progress)
    lineage = await search.of(event_id)
    if lineage is None:
        return None
    assert lineage.looked is not None
    chosen = _chosen(lineage, depth, limit)
    records = await _read(store, lineage, chosen)
    absent = [one for one in (lineage.missing, *lineage.strays) if one is not None]
    return Trace(
        event_id=lineage.asked.event_id,
        root_id=lineage.root,
        steps=tuple(_steps(lineage, chosen, records)),
        events=sum(one in lineage.links for one in lineage.members),
        missing=tuple(absent),
        looked=lineage.looked,
        is_cyclic=lineage.is_cyclic,
        is_cut=lineage.is_cut,
    )


def _way_to(lineage: Lineage, event_id: str) -> list[str]:
    """Return the ids from the first of the chain to an event."""
    way, seen = [event_id], {event_id}
    while way[-1] != lineage.root and (link := lineage.links.get(way[-1])) is not None:
        if link.causation_id is None or link.causation_id in seen:
            break
        way.append(link.causation_id)
        seen.add(link.causation_id)
    return way[::-1]


def _chosen(lineage: Lineage, depth: int | None, limit: int | None) -> set[str]:
    """Return the ids that are shown: the way to the event that was asked for, and then level by level."""
    chosen = set(_way_to(lineage, lineage.asked.event_id)) | {lineage.root}
    todo = deque((one, 0) for one in (lineage.root, *lineage.strays))
    met: set[str] = set()
    while todo and (limit is None or len(chosen) < limit):
        event_id, level = todo.popleft()
        if event_id in met or (depth is not None and level > depth):
            continue
        met.add(event_id)
        chosen.add(event_id)
        todo.extend((child, level + 1) for child in _in_order(lineage, event_id))
    return chosen


def _in_order(lineage: Lineage, event_id: str) -> list[str]:
    links = [lineage.links[one] for one in lineage.children.get(event_id, ())]
    return [link.event_id for link in sorted(links, key=lambda link: (link.timestamp, link.event_id))]


# ---------------------------------------------------------------- what stands in the records


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of a record that is shown: its delivery, and what its id may have been derived from."""

    delivery: Delivery | None
    said: bytes | None


async def _read(store: EventStore, lineage: Lineage, chosen: Iterable[str]) -> dict[str, _Record]:
    by_id = {_key(lineage.links[one].record_id): one for one in chosen if one in lineage.links}
    ids = [lineage.links[one].record_id for one in by_id.values()]
    found: dict[str, _Record] = {}
    async for records in trace_queries.whole_records(store, ids):
        for record in records:
            tracked = Tracked.of(record)
            delivery = tracked.delivery if isinstance(record.get("delivery"), Mapping) else None
            found[by_id[_key(record["_id"])]] = _Record(delivery, trace_queries.said(record))
    return found


def _key(record_id: Any) -> str:
    """Return what tells `_id`s apart: those of other writers may be documents."""
    return f"{type(record_id).__name__} {record_id!r}"


def publishers(parent_id: str, handlers: Sequence[str], children: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return which handler published which child, as far as the derived ids tell.

    Args:
        parent_id: the event that caused them.
        handlers: the ids that its record names.
        children: what each child says, by its id.
    """
    found: dict[str, str] = {}
    same: dict[bytes, set[str]] = {}
    for event_id, said in children.items():
        if said is not None:
            same.setdefault(said, set()).add(event_id.lower())
    guesses = 0
    for said, left in same.items():
        for number in range(len(left) + _SPARE_NUMBERS):
            for handler in handlers:
                guesses += 1
                event_id = derived_id(parent_id, handler, said, number)
                if event_id in left:
                    found[event_id] = handler
                    left.discard(event_id)
            if not left or guesses > MAX_GUESSES:
                break
    return found


# ---------------------------------------------------------------- the tree


def _steps(lineage: Lineage, chosen: set[str], records: Mapping[str, _Record]) -> Iterable[TraceStep]:
    """Yield the chosen events, each before those that it caused."""
    todo = [TraceStep("event", one, 0) for one in (*reversed(lineage.strays), lineage.root)]
    met: set[str] = set()
    while todo:
        step = todo.pop()
        link = lineage.links.get(step.event_id)
        if step.event_id in met:
            yield replace(step, kind="again", link=link)
            continue
        met.add(step.event_id)
        children = _in_order(lineage, step.event_id)
        shown = [one for one in children if one in chosen]
        known = records.get(step.event_id)
        delivery = None if known is None else known.delivery
        step = replace(
            step,
            kind="event" if link is not None else "missing",
            link=link,
            delivery=delivery,
            is_asked=step.event_id == lineage.asked.event_id,
            children=len(children),
            left_out=Counter(lineage.links[one].event_type for one in children if one not in chosen),
        )
        yield step
        todo.extend(reversed(_children_of(step, shown, records)))


def _children_of(step: TraceStep, shown: Sequence[str], records: Mapping[str, _Record]) -> list[TraceStep]:
    handlers = [] if step.delivery is None else [entry.id for entry in step.delivery.handlers]
    said = {one: records[one].said for one in shown if one in records}
    published = publishers(step.event_id, handlers, said)
    place = {handler: number for number, handler in enumerate(handlers)}
    steps = [TraceStep("event", one, step.depth + 1, handler=published.get(one.lower())) for one in shown]
    return sorted(steps, key=lambda one: place.get(one.handler or "", len(place)))
