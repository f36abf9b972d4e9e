"""The trace of an event: the chain of causes and effects that it belongs to.

    from craft_easy.core.events.history.trace import trace

    chain = await trace(store, "019abf3e-…")
    for step in chain.steps:
        print("  " * step.depth, step.event_type, step.handler, step.delivery)

One indexed query finds the events, and nothing is changed. `steps` are in the order of a tree that is drawn from top to
bottom. A chain of any depth is walked without recursion.
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
"""The maximum number of causes that are looked up by their ids, one query each, as they are not among the chain's."""
MAX_GUESSES: Final = 200_000
"""The maximum number of ids that are derived to find the publisher of each event; one takes a microsecond or two."""
_SPARE_NUMBERS: Final = 16
"""Additional numbers of equal events that are tried, for those that are not shown."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One event of a chain.

    Args:
        kind: "event"; "missing", a cause that is not in the log; "again", where a chain comes back to itself.
        depth: 0 for the first event of the chain.
        link: the event and its cause; None where it is missing.
        handler: the handler that published it; None where its id was not derived from one.
        delivery: its delivery; None where it is untracked.
        is_asked: it is the event whose trace was requested.
        children: the number of events that it caused.
        left_out: the numbers of these, by type, that are below the requested depth.
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
        steps: its events, each before those that it caused; siblings are in order of handlers and time.
        events: the number of events in the chain, shown or not.
        missing: ids of causes that are not in the log.
        left_out: the number of events beyond the limit, which were not read.
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
        """True if the chain is circular, which only other programs can write."""
        return any(step.kind == "again" for step in self.steps)

    @property
    def is_whole(self) -> bool:
        """True if every event of the chain was read, and none is known to be missing."""
        return not (self.left_out or self.missing)


async def trace(store: EventStore, event_id: str, *, depth: int | None = None, limit: int = LIMIT) -> Trace | None:
    """Return the chain that an event belongs to, or None if the log does not have the event.

    The chain is every event whose `event_id` or `correlation_id` is the id of the chain's first event.

    Args:
        store: the event log.
        event_id: any event of the chain.
        depth: levels below the first; None for all. The path to the event itself is always among the steps.
        limit: the maximum number of events that are read, besides those on the path to the event itself.

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
        root_id=chain.path[0],
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
        asked: the event whose trace was requested.
        links: the events, by id.
        missing: ids of causes that are not in the log, as keys.
        left_out: the number of events that were not read.
        children: the ids of the events that each event caused, in order of time.
        path: the ids from the first event of the chain to the requested one.
    """

    asked: Link
    links: dict[str, Link]
    missing: dict[str, None] = field(default_factory=dict)
    left_out: int = 0
    children: dict[str, list[str]] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)


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
    chain.path = _path_to_asked(chain)
    return chain


async def _look_up_causes(store: EventStore, chain: _Chain) -> None:
    """Add the causes that are not among the events, first those of the requested event."""
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


def _path_to_asked(chain: _Chain) -> list[str]:
    path = {chain.asked.event_id: None}
    cause = chain.asked.causation_id
    while cause is not None and cause not in path and (cause in chain.links or cause in chain.missing):
        path[cause] = None
        cause = chain.links[cause].causation_id if cause in chain.links else None
    return list(path)[::-1]


def _tops(chain: _Chain) -> Iterator[str]:
    """Yield the ids at which a tree may begin: the first event, the events without a known cause, then all others.

    Only the events of a circle without an outside cause are not reached from the former.
    """
    yield chain.path[0]
    yield from chain.missing
    for link in chain.links.values():
        if link.causation_id not in chain.links and link.causation_id not in chain.missing:
            yield link.event_id
    yield from chain.links


def _within(chain: _Chain, depth: int | None) -> set[str]:
    """Return the ids that are shown: the path to the requested event, and every event down to the depth."""
    if depth is None:
        return {*chain.links, *chain.missing}
    chosen, level_of = set(chain.path), dict[str, int]()
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
    """The delivery of a record that is shown, and the content from which its id may have been derived."""

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
    """Return a text that identifies an `_id`, which may be a document in records of other programs."""
    return f"{type(record_id).__name__} {record_id!r}"


def publishers(parent_id: str, handlers: Sequence[str], children: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return the handler that published each child, as far as the derived ids show it.

    Args:
        parent_id: the event that caused the children.
        handlers: the ids of the handlers in its record.
        children: the content of each child, by its id.
    """
    published: dict[str, str] = {}
    same: dict[bytes, set[str]] = {}
    for event_id, content in children.items():
        if content is not None:
            same.setdefault(content, set()).add(event_id.lower())
    guesses = 0
    for content, unmatched in same.items():
        for number in range(len(unmatched) + _SPARE_NUMBERS):
            for handler in handlers:
                guesses += 1
                event_id = derived_id(parent_id, handler, content, number)
                if event_id in unmatched:
                    published[event_id] = handler
                    unmatched.discard(event_id)
            if not unmatched or guesses > MAX_GUESSES:
                break
    return published


# ---------------------------------------------------------------- the tree


def _steps(chain: _Chain, chosen: set[str], records: Mapping[str, _Record]) -> Iterator[TraceStep]:
    """Yield the chosen events, each before those that it caused."""
    visited: set[str] = set()
    for top in _tops(chain):
        todo = [TraceStep("event", top, 0)] if top in chosen and top not in visited else []
        while todo:
            step = todo.pop()
            if step.event_id in visited:
                yield replace(step, kind="again", link=chain.links.get(step.event_id))
                continue
            visited.add(step.event_id)
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
