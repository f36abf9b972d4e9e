"""The span of a rerun: where it begins and ends, and what an outage does to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed, Notice, Observer, ignore
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history import range as module
from craft_easy.core.events.history.progress import Position
from craft_easy.core.events.history.range import ReplayRange
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.read import RecordPosition, in_batches

BEGAN = datetime(2026, 1, 31, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": number, "event_id": f"e{number}", "event_type": "t", "timestamp": BEGAN + number * SECOND} | fields


class Store:
    """A log in pages, whose server goes away before some of them."""

    def __init__(self, pages: Sequence[Sequence[dict[str, Any]]], *, lost_before: Sequence[int] = ()) -> None:
        self.pages = pages
        self.lost_before = list(lost_before)
        self.asked: list[Selection] = []

    async def batches(self, selection: Selection) -> AsyncGenerator[Sequence[dict[str, Any]], None]:
        self.asked.append(selection)
        for number, page in enumerate(self.pages):
            if number in self.lost_before:
                self.lost_before.remove(number)
                raise StoreUnavailable("gone")
            found = [one for one in page if selection.since is None or one["timestamp"] >= selection.since]
            if found:
                yield found


class Told:
    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, notice: Notice) -> None:
        match notice:
            case ConnectionLost(reason=reason):
                self.said.append(f"lost: {reason}")
            case ConnectionResumed():
                self.said.append("resumed")


async def read(store: Store, position: Position, observer: Observer | None = None, **selection: Any) -> list[int]:
    span = ReplayRange(cast("EventStore", store), Selection(**selection), position, None)
    return [one["_id"] async for page in span.pages(observer or ignore) for one in page]


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRY_EVERY", 0)


async def test_it_begins_behind_the_mark_and_ends_with_the_end() -> None:
    pages = [[record(number) for number in range(first, first + 3)] for first in (0, 3, 6)]
    position = Position("r", end=RecordPosition.of(record(6)), mark=RecordPosition.of(record(1)), passed=2)
    store = Store(pages)
    assert await read(store, position) == [2, 3, 4, 5, 6]
    assert store.asked[0].since == BEGAN + SECOND
    assert await read(Store(pages), position, limit=4) == [2, 3]


async def test_events_of_the_time_of_the_mark_are_told_apart_by_their_ids() -> None:
    same = [record(number, timestamp=BEGAN) for number in range(5)]
    assert await read(Store([same]), Position("r", mark=RecordPosition.of(same[2]))) == [3, 4]


async def test_an_outage_neither_loses_nor_repeats_an_event(no_wait: None) -> None:
    pages = [[record(number) for number in range(first, first + 3)] for first in (0, 3, 6)]
    told = Told()
    assert await read(Store(pages, lost_before=[0, 0, 2, 1]), Position("r"), told) == list(range(9))
    assert told.said == ["lost: gone", "resumed"] * 3


async def test_an_outage_that_lasts_is_raised(no_wait: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTAGE_S", 0)
    with pytest.raises(StoreUnavailable):
        await read(Store([[record(1)]], lost_before=[0] * 1_000), Position("r"))


async def test_what_is_published_meanwhile_before_an_event_of_the_future_is_left_out() -> None:
    def tracked(number: int, claimed_at: datetime | None) -> dict[str, Any]:
        return record(number, delivery={"claimed_at": claimed_at})

    later = BEGAN + 100 * SECOND
    page = [
        tracked(1, later),  # it happened before, and was claimed again
        record(101),
        tracked(102, None),
        tracked(103, BEGAN),
        tracked(104, later + SECOND),
        record(105, delivery="x"),
    ]
    position = Position("r", began_at=later, end=RecordPosition.of(record(10**6)))
    assert await read(Store([page]), position) == [1, 101, 102, 103, 105]


def test_ids_are_cut_into_what_one_query_takes() -> None:
    assert [len(some) for some in in_batches([str(number) for number in range(250)])] == [100, 100, 50]
    assert in_batches([]) == []
