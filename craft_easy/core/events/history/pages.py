"""History by pages, in both directions, for a reader that scrolls.

    from craft_easy.core.events.history import pages

    newest = await pages.page(store, Selection(reverse=True))
    older = await pages.page(store, Selection(reverse=True), after=newest.key)

A page is one indexed read that continues after the key of the last one, so that the thousandth costs what the first
did. With a further choice at most `SEARCHED` records are read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.store import read

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]
Key = tuple[Any, Any]
"""The place of a record in the order of history."""

PAGE: Final = 500
SEARCHED: Final = 10_000
"""The number of records that are read for a page of a further choice."""


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
        size: the number of records of a page; with a choice it may have some more.

    Raises:
        StoreUnavailable: the log was not reached, or did not answer in time.
    """
    found: list[Record] = []
    searched = 0
    wanted = replace(selection, limit=size if only is None else None)
    scan = read.select(store, wanted, size=size, for_json=True, after=after)
    scan.reads_ahead = only is not None
    async with aclosing(scan):
        while len(found) < size and searched < SEARCHED:
            records = await scan.next()
            searched += len(records)
            found += records if only is None else filter(only, records)
            if len(records) < size:
                return HistoryPage(found, scan.after, is_last=True, searched=searched)
    return HistoryPage(found, scan.after, is_last=False, searched=searched)
