"""Reading history, and counting it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, cast

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.reading import Total, history
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from tests.support.conditions import becomes


@dataclass
class Store:
    """The part of a log that a reader uses."""

    error: Exception | None = None
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    is_cancelled: bool = False

    async def batches(self, selection: Selection, *, for_json: bool) -> AsyncGenerator[list[Any], None]:
        assert for_json
        yield [{"_id": 1}, {"_id": 2}]
        yield [{"_id": 3}]

    async def count(self, selection: Selection) -> int:
        self.asked += 1
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return 5


def as_store(store: Store) -> EventStore:
    return cast("EventStore", store)


async def test_history_is_read_page_by_page_in_stored_order() -> None:
    pages = [page async for page in history(as_store(Store()), Selection())]
    assert pages == [[{"_id": 1}, {"_id": 2}], [{"_id": 3}]]


async def test_a_total_is_known_once_the_server_has_counted() -> None:
    store = Store()
    async with Total(as_store(store), Selection()) as total:
        await becomes(lambda: store.asked)
        assert total.number is None
        store.may_answer.set()
        assert await becomes(lambda: total.number) == 5


async def test_a_server_that_cannot_count_leaves_the_total_unknown() -> None:
    store = Store(error=StoreUnavailable("too slow"))
    store.may_answer.set()
    async with Total(as_store(store), Selection()) as total:
        await becomes(lambda: store.asked)
    assert total.number is None


async def test_counting_ends_with_the_reading() -> None:
    store = Store()
    async with Total(as_store(store), Selection()):
        await becomes(lambda: store.asked)
    assert store.is_cancelled


async def test_the_count_starts_after_its_delay_and_only_if_enabled() -> None:
    store = Store()
    for after in (None, 60.0):
        async with Total(as_store(store), Selection(), after=after):
            await asyncio.sleep(0)
    assert store.asked == 0
