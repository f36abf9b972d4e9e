"""History by pages, in both directions, for a reader that scrolls.

    from craft_easy.core.events.history import pages

    newest = await pages.page(store, Selection(reverse=True))
    older = await pages.page(store, Selection(reverse=True), after=newest.key)

A page is one indexed read that continues after the key of the last one, so that the thousandth costs what the first
did. With a further choice at most `SEARCHED` records are read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.selection import compile_pattern
from craft_easy.core.events.store import drivers, read

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]
Key = tuple[Any, Any]
"""The place of a record in the order of history."""

PAGE: Final = 500
SEARCHED: Final = 10_000
"""The number of records that are read for a page of a further choice."""
FIRST_PART: Final = timedelta(minutes=1)
LAST_PART: Final = timedelta(days=3_650)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of history.

    Args:
        records: the records, in the order of the selection.
        key: the place after which the next page begins; None where nothing was read.
        is_last: nothing follows.
        searched: the number of records that were read for it.
    """

    records: Sequence[Record]
    key: Key | None
    is_last: bool
    searched: int


def key_in_history(record: Record) -> Key | None:
    """Return the place of a record in the order of history; None for a malformed one."""
    return read.HISTORY.key(record)


async def page(
    store: EventStore,
    selection: Selection,
    *,
    after: Key | None = None,
    only: Callable[[Record], bool] | None = None,
    size: int = PAGE,
) -> HistoryPage:
    """Return the next page of the selected events; nothing is changed.

    Args:
        store: the event log.
        selection: the events and their order; a limit is ignored.
        after: the key of the page before; None for the first.
        only: a further choice.
        size: the number of records of a page; with a choice, and on the embedded log, it may have some more.

    Raises:
        StoreUnavailable: the log was not reached, or did not answer in time.
    """
    parts = _parts(selection, after, await store.now()) if await _is_cut(store, selection) else [selection]
    found: list[Record] = []
    searched = 0
    key = after
    for part in parts:
        scan = read.select(store, part.without_limit(), size=size, for_json=True, after=key)
        scan.indexed = _times(part, key) or None if part is not selection else None
        scan.limit = size if only is None and scan.indexed is None else None
        scan.reads_ahead = only is not None
        async with aclosing(scan):
            while len(found) < size and searched < SEARCHED:
                records = await scan.next()
                searched += len(records)
                found += records if only is None else filter(only, records)
                if len(records) < size:
                    break
        key = scan.after
        if len(found) >= size or searched >= SEARCHED:
            return HistoryPage(found, key, is_last=False, searched=searched)
    return HistoryPage(found, key, is_last=True, searched=searched)


async def _is_cut(store: EventStore, selection: Selection) -> bool:
    """Return whether the window is read in parts: the embedded server sorts all that a condition without names matches.

    It then has no order from an index, and no limit, before the first record is returned.
    """
    is_named = bool(selection.tenants or selection.event_ids or selection.states == ("dead",))
    has_types = bool(selection.types) and all(compile_pattern(one).is_exact for one in selection.types)
    return not (is_named or has_types) and drivers.is_embedded((await store.connection()).database)


def _parts(selection: Selection, after: Key | None, now: datetime) -> Iterator[Selection]:
    """Yield the window of a selection in parts, each longer than the one before, and last what is left."""
    if after is None and not selection.reverse:
        yield selection
        return
    edge, span = now if after is None else _aware(after[0]), FIRST_PART
    reached: datetime | None = None
    while span < LAST_PART:
        bound = edge - span if selection.reverse else edge + span
        since, until = (bound, reached) if selection.reverse else (reached, bound)
        if not (part := _cut(selection, since, until)).is_empty:
            yield part
        reached, span = bound, span * 8
    yield _cut(selection, None, reached) if selection.reverse else _cut(selection, reached, None)


def _times(part: Selection, key: Key | None) -> dict[str, Any]:
    """Return what a part implies about the time of its records."""
    moments: dict[str, Any] = {} if part.since is None else {"$gte": part.since}
    if key is not None:
        moments["$lte" if part.reverse else "$gte"] = key[0]
    if part.until is not None and "$lte" not in moments:
        moments["$lt"] = part.until
    return {"timestamp": moments} if moments else {}


def _cut(selection: Selection, since: datetime | None, until: datetime | None) -> Selection:
    """Return a selection within a part of its window."""
    begins = [moment for moment in (since, selection.since) if moment is not None]
    ends = [moment for moment in (until, selection.until) if moment is not None]
    return replace(selection, since=max(begins, default=None), until=min(ends, default=None))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
