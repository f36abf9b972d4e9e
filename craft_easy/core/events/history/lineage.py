"""Finding a chain of events: up to its first by what caused each, and down to all that they caused.

Three places are looked in, the cheap ones first:

1. by the ids that events name as their cause, each a look-up;
2. beside each event in order of ids, since what is published inside a delivery has an id derived from its parent's;
3. through a window of time, for events with ids of their own: from the first of the chain to the end of its last
   delivery, a minute around, slice by slice until the time is up. `Looked` says how far that came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.envelope import EARLIEST, LATEST
from craft_easy.core.events.store.queries import trace as trace_queries
from craft_easy.core.events.store.queries.trace import Link

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

MAX_EVENTS: Final = 100_000
"""So many events of a chain are gathered; a longer one is cut."""
MAX_RANGES: Final = 1_000
"""So many ranges of ids are looked through: events whose ids were given may each have one of their own."""
MAX_STRAYS: Final = 100
MARGIN: Final = timedelta(minutes=1)
"""So far the clocks of publishers may lie apart."""
_FIRST_SLICE: Final = timedelta(minutes=2)
_LONGEST_SLICE: Final = timedelta(days=30)
_QUICK_S, _SLOW_S = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Looked:
    """The window of time that was looked through for events with ids of their own.

    `reached` is how far that came; before `until` where the time was up first.
    """

    since: datetime
    until: datetime
    reached: datetime

    @property
    def is_whole(self) -> bool:
        """Whether all of the window was looked through."""
        return self.reached >= self.until


@dataclass(eq=False, slots=True)
class Lineage:
    """What was found of a chain.

    Args:
        asked: the event that was asked for.
        root: the id of the first event of the chain, or of the `missing` one.
        links: all that is known, by id; some of it may belong to other chains.
        children: the ids of what names an id as its cause.
        members: the ids of the chain: the root, and all that it caused.
        missing: an id that is named as a cause on the way up and is not in the log.
        strays: the same of events that name the chain as theirs, in the middle of which something is missing.
        is_cyclic: the way up came back to where it had been.
        is_cut: there is more than is gathered.
    """

    asked: Link
    root: str
    links: dict[str, Link] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, None] = field(default_factory=dict)
    missing: str | None = None
    strays: list[str] = field(default_factory=list)
    is_cyclic: bool = False
    is_cut: bool = False
    looked: Looked | None = None


class LineageSearch:
    """Looks for a chain of events.

    Args:
        store: where.
        since: the window of time begins here; None for a minute before the first of the chain.
        until: the window ends here; None for a minute after the chain's last delivery, or now where one is open.
        seconds: so long the window is looked through.
        on_progress: is told how far that has come.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        seconds: float = 10.0,
        on_progress: Callable[[Looked], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._given = since, until
        self._seconds = seconds
        self._on_progress = on_progress
        self._ranges: set[tuple[str, str]] = set()
        self._chains: set[str] = set()
        self._end = EARLIEST
        self._now = LATEST

    async def of(self, event_id: str) -> Lineage | None:
        """Return the chain that an event belongs to; None where there is no such event."""
        asked = await self._find(event_id)
        if asked is None:
            return None
        self._now = await self._store.now()
        found = Lineage(asked, asked.event_id)
        self._note(found, [asked])
        await self._look_beside(found, asked.event_id)
        await self._go_up(found)
        self._join(found, [found.root])
        await self._look_beside_members(found)
        await self._look_through_time(found)
        await self._take_in_strays(found)
        return found

    async def _find(self, event_id: str) -> Link | None:
        record = await self._store.find_record(event_id)
        return None if record is None else Link.of(record)

    async def _go_up(self, found: Lineage) -> None:
        link, seen = found.asked, {found.asked.event_id}
        while (cause := link.causation_id) is not None:
            if cause in seen:
                found.is_cyclic = True
                break
            parent = found.links.get(cause) or await self._find(cause)
            if parent is None:
                found.missing = found.root = cause
                return
            self._note(found, [parent])
            seen.add(cause)
            link = parent
        found.root = link.event_id

    def _note(self, found: Lineage, links: list[Link]) -> list[str]:
        """Add what was found and return the ids of what is new."""
        new = [link for link in links if link.event_id not in found.links]
        for link in new[: max(MAX_EVENTS - len(found.links), 0)]:
            found.links[link.event_id] = link
            if link.causation_id is not None:
                found.children.setdefault(link.causation_id, []).append(link.event_id)
        found.is_cut = found.is_cut or len(found.links) >= MAX_EVENTS
        return [link.event_id for link in new if link.event_id in found.links]

    def _join(self, found: Lineage, event_ids: list[str]) -> list[str]:
        """Make events members of the chain, with all that they are known to have caused; return who is new."""
        new: list[str] = []
        todo = event_ids
        while todo:
            event_id = todo.pop()
            if event_id not in found.members:
                found.members[event_id] = None
                new.append(event_id)
                self._chains.add(_chain_of(event_id, found.links.get(event_id)))
                self._end = max(self._end, self._end_of(found.links.get(event_id)))
                todo.extend(found.children.get(event_id, ()))
        return new

    def _end_of(self, link: Link | None) -> datetime:
        if link is None:
            return EARLIEST
        return self._now if link.state == "open" else max(link.finished_at or link.timestamp, link.timestamp)

    async def _look_beside(self, found: Lineage, event_id: str) -> list[str]:
        """Look where the derived ids of an event's descendants lie; return the ids of what is new."""
        bounds = trace_queries.id_range(event_id)
        if bounds is None or bounds in self._ranges or found.is_cut:
            return []
        if len(self._ranges) >= MAX_RANGES:
            return []
        self._ranges.add(bounds)
        new: list[str] = []
        async with aclosing(trace_queries.by_id_range(self._store, bounds)) as pages:
            async for links in pages:
                new += self._note(found, links)
                if found.is_cut:
                    break
        return new

    async def _look_beside_members(self, found: Lineage, members: list[str] | None = None) -> None:
        todo = list(found.members) if members is None else members
        while todo:
            new = await self._look_beside(found, todo.pop())
            todo += self._join(found, self._children_of_members(found, new))

    def _children_of_members(self, found: Lineage, event_ids: list[str]) -> list[str]:
        return [one for one in event_ids if found.links[one].causation_id in found.members]

    async def _take_in_strays(self, found: Lineage) -> None:
        """Look for the causes of what names this chain as its own, and has a cause that is not known here."""
        looked_for = 0
        while looked_for < MAX_STRAYS and (cause := self._unknown_cause(found)) is not None:
            looked_for += 1
            parent = await self._find(cause)
            if parent is None:
                found.strays.append(cause)
                self._join(found, [cause])
            elif self._note(found, [parent]):
                self._join(found, self._children_of_members(found, [parent.event_id]))

    def _unknown_cause(self, found: Lineage) -> str | None:
        for link in found.links.values():
            cause = link.causation_id
            is_of_this = link.correlation_id in self._chains and cause not in found.members
            if cause is not None and is_of_this and cause not in found.links:
                return cause
        return None

    # ------------------------------------------------------------------ the window of time

    async def _look_through_time(self, found: Lineage) -> None:
        began, width = steady(), _FIRST_SLICE
        since = at = self._since(found)
        while at < (until := self._until()):
            left = self._seconds - (steady() - began)
            if left <= 0 or found.is_cut:
                break
            end, started = min(_later(at, width), until), steady()
            try:
                await self._look_through(found, at, end, max(left, 1.0))
            except StoreUnavailable:
                if steady() - began < self._seconds:
                    raise
                break
            at, took = end, steady() - started
            width = min(width * 4, _LONGEST_SLICE) if took < _QUICK_S else width / 4 if took > _SLOW_S else width
            self._on_progress(Looked(since, until, at))
        found.looked = Looked(since, max(since, self._until()), at)

    async def _look_through(self, found: Lineage, since: datetime, until: datetime, seconds: float) -> None:
        """Look through a slice, and again for what belongs to what was found there."""
        chains, parents = set(self._chains), list(found.members)
        while chains or parents:
            links = await trace_queries.in_window(
                self._store, since, until, chains=chains, parents=parents, seconds=seconds
            )
            links = self._related(found, links)
            known, before = set(found.members), set(self._chains)
            joined = self._join(found, self._children_of_members(found, self._note(found, links)))
            await self._look_beside_members(found, joined)
            chains = self._chains - before
            parents = [one for one in found.members if one not in known]

    def _related(self, found: Lineage, links: list[Link]) -> list[Link]:
        """Return those that belong to the chain, by what they name or by what those name that are among them."""
        caused: dict[str | None, list[Link]] = {}
        for link in links:
            caused.setdefault(link.causation_id, []).append(link)
        todo = [link for link in links if link.correlation_id in self._chains or link.causation_id in found.members]
        related: dict[str, Link] = {}
        while todo:
            link = todo.pop()
            if link.event_id not in related:
                related[link.event_id] = link
                todo += caused.get(link.event_id, ())
        return list(related.values())

    def _since(self, found: Lineage) -> datetime:
        if self._given[0] is not None:
            return self._given[0]
        times = [found.links[one].timestamp for one in found.members if one in found.links]
        if (made_at := _time_of_id(found.root)) is not None and found.missing is not None:
            times.append(made_at)
        return _later(min(times, default=found.asked.timestamp), -MARGIN)

    def _until(self) -> datetime:
        if self._given[1] is not None:
            return self._given[1]
        return _later(min(self._end, self._now), MARGIN)


def _chain_of(event_id: str, link: Link | None) -> str:
    """Return the id of the chain that an event's children name."""
    return event_id if link is None or link.correlation_id is None else link.correlation_id


def _time_of_id(event_id: str) -> datetime | None:
    """Return the time that a UUID of version 7 tells."""
    if trace_queries.id_range(event_id) is None:
        return None
    try:
        return datetime.fromtimestamp(int(event_id[:8] + event_id[9:13], 16) / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # past the year 9999
        return None


def _later(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment + span
    except OverflowError:
        return LATEST if span > timedelta() else EARLIEST
