"""Trace: the chain that an event belongs to, what caused it and what it caused.

    from craft_easy.core.events.history.trace import trace

    chain = await trace(store, "019abf3e-…")
    for step in chain.steps:
        print("  " * step.depth, step.event_type, step.handler, step.delivery)

It changes nothing. The events are found by one indexed query; `steps` are in the order of a tree that is drawn from top
to bottom. A chain of any depth is walked without recursion.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events.engine.children import derived_id
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.queries import trace as trace_queries
from craft_easy.core.events.store.queries.trace import Link

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Kind = Literal["event", "missing", "again"]

LIMIT: Final = 1_000
MAX_LOOKED_UP: Final = 1_000
"""Causes that are looked up by their ids, one query each, where the query for the chain did not return them."""
MAX_GUESSES: Final = 200_000
"""Ids that are derived at most to find which handler published which event; one takes a microsecond or two."""
_SPARE_NUMBERS: Final = 16
"""Numbers among equal events that may belong to events that are not shown."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One event of a chain.

    Args:
        kind: "event"; "missing", named as a cause and not in the log; "again", where a chain comes back to itself.
        depth: 0 for the first of the chain.
        link: what it is, and what caused it; None where it is missing.
        handler: the handler of its cause that published it; None where its id was not derived from one.
        delivery: its delivery; None where it is untracked.
        is_asked: it is the event that was asked for.
        children: the number of events that it caused.
        left_out: of them, by type, those below the depth that was asked for.
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
        events: the number of events in the chain, shown or not.
        missing: ids that are named as causes and are not in the log.
        left_out: events of the chain beyond the limit, which were not read.
    """

    event_id: str
    root_id: str
    steps: tuple[TraceStep, ...]
    events: int
    missing: tuple[str, ...]
    left_out: int = 0

    @property
    def shown(self) -> int:
        """The number of events among the steps."""
        return sum(step.kind == "event" for step in self.steps)

    @property
    def is_cyclic(self) -> bool:
        """Whether the chain comes back to itself, which only other programs can write."""
        return any(step.kind == "again" for step in self.steps)

    @property
    def is_whole(self) -> bool:
        """Whether every event of the chain was read, and none is known to be missing."""
        return not (self.left_out or self.missing)


async def trace(store: EventStore, event_id: str, *, depth: int | None = None, limit: int = LIMIT) -> Trace | None:
    """Return the chain that an event belongs to, or None if the log does not have the event.

    The chain is every event whose `event_id` or `correlation_id` is that of the chain's first.

    Args:
        store: where the log is.
        event_id: any event of the chain.
        depth: levels below the first; None for all. The way to the event itself is always among the steps.
        limit: events of the chain that are read at most; the way to the event itself comes on top.

    Raises:
        StoreError: the log has no index on `correlation_id`.
        StoreUnavailable: the log was not reached.
    """
    chain = await _chain_of(store, event_id, limit)
    if chain is None:
        return None
    chosen = _within(chain, depth)
    records = await _read(store, chain, chosen)
    return Trace(
        event_id=chain.asked.event_id,
        root_id=chain.way[0],
        steps=tuple(_steps(chain, chosen, records)),
        events=len(chain.links) + chain.left_out,
        missing=tuple(chain.missing),
        left_out=chain.left_out,
    )


# ---------------------------------------------------------------- the chain


@dataclass(eq=False, slots=True)
class _Chain:
    """The events of a chain.

    Args:
        asked: the event that was asked for.
        links: the events, by id.
        missing: ids that are named as causes and are not in the log; the keys alone count.
        left_out: the number of events that were not read.
        children: the ids of the events that name an id as their cause, in order of time.
        way: the ids from the first of the chain to the event that was asked for.
    """

    asked: Link
    links: dict[str, Link]
    missing: dict[str, None] = field(default_factory=dict)
    left_out: int = 0
    children: dict[str, list[str]] = field(default_factory=dict)
    way: list[str] = field(default_factory=list)


async def _chain_of(store: EventStore, event_id: str, limit: int) -> _Chain | None:
    record = await store.find_record(event_id)
    if record is None:
        return None
    asked = Link.of(record)
    chain = _Chain(asked, {asked.event_id: asked})
    root_id = asked.correlation_id or asked.event_id
    members = await trace_queries.members(store, root_id, limit=limit - 1)
    chain.links |= {link.event_id: link for link in members.links}
    if root_id not in chain.links and (first := await store.find_record(root_id)) is not None:
        chain.links[root_id] = Link.of(first)
    await _look_up_causes(store, chain)
    chain.left_out = members.total - sum(link.correlation_id == root_id for link in chain.links.values())
    for link in sorted(chain.links.values(), key=lambda link: (link.timestamp, link.event_id)):
        if link.causation_id is not None:
            chain.children.setdefault(link.causation_id, []).append(link.event_id)
    chain.way = _way_to_asked(chain)
    return chain


async def _look_up_causes(store: EventStore, chain: _Chain) -> None:
    """Add the causes that are not among the events, those of the event that was asked for first."""
    todo, looked_up = deque(chain.links.values()), 0
    while todo and looked_up < MAX_LOOKED_UP:
        cause = todo.popleft().causation_id
        if cause is None or cause in chain.links or cause in chain.missing:
            continue
        looked_up += 1
        record = await store.find_record(cause)
        if record is None:
            chain.missing[cause] = None
        else:
            chain.links[cause] = Link.of(record)
            todo.appendleft(chain.links[cause])


def _way_to_asked(chain: _Chain) -> list[str]:
    way = {chain.asked.event_id: None}
    cause = chain.asked.causation_id
    while cause is not None and cause not in way and (cause in chain.links or cause in chain.missing):
        way[cause] = None
        cause = chain.links[cause].causation_id if cause in chain.links else None
    return list(way)[::-1]


def _tops(chain: _Chain) -> Iterator[str]:
    """Yield where a tree may begin: the first of the chain, then the events without a known cause, then the others.

    The others are reached from these, but for a circle that nothing outside it caused.
    """
    yield chain.way[0]
    yield from chain.missing
    for link in chain.links.values():
        if link.causation_id not in chain.links and link.causation_id not in chain.missing:
            yield link.event_id
    yield from chain.links


def _within(chain: _Chain, depth: int | None) -> set[str]:
    """Return the ids that are shown: the way to the event that was asked for, and all down to the depth."""
    if depth is None:
        return {*chain.links, *chain.missing}
    chosen, level_of = set(chain.way), dict[str, int]()
    for top in _tops(chain):
        todo = [] if top in level_of else [(top, 0)]
        while todo:
            event_id, level = todo.pop()
            if event_id not in level_of:
                level_of[event_id] = level
                todo += [(child, level + 1) for child in chain.children.get(event_id, ())]
    return chosen | {event_id for event_id, level in level_of.items() if level <= depth}


# ---------------------------------------------------------------- the records


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of a record that is shown: its delivery, and what its id may have been derived from."""

    delivery: Delivery | None
    content: bytes | None


async def _read(store: EventStore, chain: _Chain, chosen: Iterable[str]) -> dict[str, _Record]:
    by_id = {_key(chain.links[event_id].record_id): event_id for event_id in chosen if event_id in chain.links}
    ids = [chain.links[event_id].record_id for event_id in by_id.values()]
    known: dict[str, _Record] = {}
    async for records in trace_queries.whole_records(store, ids):
        for record in records:
            delivery = Tracked.of(record).delivery if isinstance(record.get("delivery"), Mapping) else None
            known[by_id[_key(record["_id"])]] = _Record(delivery, trace_queries.derivation_content(record))
    return known


def _key(record_id: Any) -> str:
    """Return a text that differs for each `_id`: those of other programs may be documents."""
    return f"{type(record_id).__name__} {record_id!r}"


def publishers(parent_id: str, handlers: Sequence[str], children: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return which handler published which child, as far as the derived ids show.

    Args:
        parent_id: the event that caused them.
        handlers: the ids that its record names.
        children: the content of each child, by its id.
    """
    published: dict[str, str] = {}
    same: dict[bytes, set[str]] = {}
    for event_id, content in children.items():
        if content is not None:
            same.setdefault(content, set()).add(event_id.lower())
    guesses = 0
    for content, left in same.items():
        for number in range(len(left) + _SPARE_NUMBERS):
            for handler in handlers:
                guesses += 1
                event_id = derived_id(parent_id, handler, content, number)
                if event_id in left:
                    published[event_id] = handler
                    left.discard(event_id)
            if not left or guesses > MAX_GUESSES:
                break
    return published


# ---------------------------------------------------------------- the tree


def _steps(chain: _Chain, chosen: set[str], records: Mapping[str, _Record]) -> Iterator[TraceStep]:
    """Yield the chosen events, each before those that it caused."""
    met: set[str] = set()
    for top in _tops(chain):
        todo = [TraceStep("event", top, 0)] if top in chosen and top not in met else []
        while todo:
            step = todo.pop()
            if step.event_id in met:
                yield replace(step, kind="again", link=chain.links.get(step.event_id))
                continue
            met.add(step.event_id)
            yield (step := _filled(step, chain, chosen, records))
            shown = [child for child in chain.children.get(step.event_id, ()) if child in chosen]
            todo.extend(reversed(_children_of(step, shown, records)))


def _filled(step: TraceStep, chain: _Chain, chosen: set[str], records: Mapping[str, _Record]) -> TraceStep:
    link, record = chain.links.get(step.event_id), records.get(step.event_id)
    children = chain.children.get(step.event_id, ())
    return replace(
        step,
        kind="missing" if link is None else "event",
        link=link,
        delivery=None if record is None else record.delivery,
        is_asked=step.event_id == chain.asked.event_id,
        children=len(children),
        left_out=Counter(chain.links[child].event_type for child in children if child not in chosen),
    )


def _children_of(step: TraceStep, shown: Sequence[str], records: Mapping[str, _Record]) -> list[TraceStep]:
    handlers = [] if step.delivery is None else [entry.id for entry in step.delivery.handlers]
    content = {child: records[child].content for child in shown if child in records}
    published = publishers(step.event_id, handlers, content)
    order = {handler: number for number, handler in enumerate(handlers)}
    steps = [TraceStep("event", child, step.depth + 1, handler=published.get(child.lower())) for child in shown]
    return sorted(steps, key=lambda step: order.get(step.handler or "", len(order)))
