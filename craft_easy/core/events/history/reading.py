"""Replay: read a range of history again, page by page. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import read

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

Record = Mapping[str, Any]


async def history(store: EventStore, selection: Selection) -> AsyncGenerator[Sequence[Record], None]:
    """Yield the selected records page by page, with flat memory, decoded for `formats.event_json`."""
    async with aclosing(store.batches(selection, for_json=True)) as pages:
        async for page in pages:
            yield page


async def record_of(store: EventStore, event_id: str) -> Record | None:
    """Return the record of one event, decoded for `formats.event_json`; None if the log has no such event."""
    stored = await store.find_record(event_id)
    if stored is None:
        return None
    # read once more, because `event_json` needs it decoded in its own way
    async with aclosing(read.scan(store, {"_id": {"$eq": stored["_id"]}}, for_json=True)) as pages:
        return next(iter(await anext(pages, ())), None)


class Total:
    """Counts a selection while it is read, to show how much is left.

        async with Total(store, selection) as total:
            ...
            total.number    # None until it is known

    A server that cannot count in time leaves the number unknown.

    Args:
        after: seconds before the server is asked to count, because most reads end earlier; None never counts.
    """

    def __init__(self, store: EventStore, selection: Selection, *, after: float | None = 0.0) -> None:
        self.number: int | None = None
        self._store = store
        self._selection = selection
        self._after = after
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._after is not None:
            self._task = asyncio.create_task(self._count(self._after))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _count(self, after: float) -> None:
        await asyncio.sleep(after)
        with suppress(StoreError):
            self.number = await self._store.count(self._selection)
