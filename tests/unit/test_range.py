"""The range of a replay: its start and end, and waiting out an outage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from mongomock.filtering import filter_applies

from craft_easy.core.events.engine import outage
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed, ignore
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history import range as module
from craft_easy.core.events.history.progress import Position
from craft_easy.core.events.history.range import ReplayRange
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store import read as read_module
from craft_easy.core.events.store.position import RecordPosition, in_batches

BEGAN = datetime(2026, 1, 31, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Read = Callable[..., Awaitable[list[int]]]


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": number, "event_id": f"e{number}", "event_type": "t", "timestamp": BEGAN + number * SECOND} | fields


class Log:
    """A log in pages, whose server is unreachable before some of them."""

    def __init__(self, pages: Sequence[Sequence[dict[str, Any]]], *, lost_before: Sequence[int] = ()) -> None:
        self.pages = pages
        self.lost_before = list(lost_before)

    async def matching(
        self, _store: object, condition: dict[str, Any]
    ) -> AsyncGenerator[Sequence[dict[str, Any]], None]:
        for number, page in enumerate(self.pages):
            if number in self.lost_before:
                self.lost_before.remove(number)
                raise StoreUnavailable("gone")
            found = [one for one in page if filter_applies(condition, one)]  # type: ignore[no-untyped-call]  # mongomock
            if found:
                yield found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return the numbers of the records that a range yields, of a log in pages."""

    async def run(log: Log, position: Position, notices: list[object] | None = None, **selection: Any) -> list[int]:
        monkeypatch.setattr(read_module, "scan", log.matching)
        span = ReplayRange(cast("EventStore", None), Selection(**selection), position, None)
        notices = [] if notices is None else notices
        return [one["_id"] async for page in span.pages(notices.append) for one in page]

    return run


def at(number: int) -> RecordPosition:
    position = RecordPosition.of(record(number))
    assert position is not None
    return position


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "RETRY_S", 0)


async def test_it_begins_behind_the_mark_and_ends_with_the_end(read: Read) -> None:
    pages = [[record(number) for number in range(first, first + 3)] for first in (0, 3, 6)]
    position = Position("r", end=at(6), mark=at(1), passed=2)
    assert await read(Log(pages), position) == [2, 3, 4, 5, 6]
    assert await read(Log(pages), position, limit=4) == [2, 3]


async def test_events_of_one_millisecond_are_ordered_by_their_ids(read: Read) -> None:
    same = [record(number, timestamp=BEGAN) for number in range(5)]
    position = Position("r", mark=RecordPosition(BEGAN, "e2"), end=RecordPosition(BEGAN, "e3"))
    assert await read(Log([same]), position) == [3]


async def test_an_outage_neither_loses_nor_repeats_an_event(read: Read, no_wait: None) -> None:
    pages = [[record(number) for number in range(first, first + 3)] for first in (0, 3, 6)]
    notices: list[object] = []
    assert await read(Log(pages, lost_before=[0, 0, 2, 1]), Position("r"), notices) == list(range(9))
    assert [type(one) for one in notices] == [ConnectionLost, ConnectionResumed] * 3


async def test_an_outage_that_lasts_is_raised(read: Read, no_wait: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTAGE_LIMIT_S", 0)
    with pytest.raises(StoreUnavailable):
        await read(Log([[record(1)]], lost_before=[0] * 1_000), Position("r"))


async def test_events_published_during_the_run_before_a_future_event_are_left_out(read: Read) -> None:
    def tracked(number: int, claimed_at: datetime | None) -> dict[str, Any]:
        return record(number, delivery={"claimed_at": claimed_at})

    later = BEGAN + 100 * SECOND
    page = [
        tracked(1, later),  # older, and claimed again
        record(101),
        tracked(102, None),
        tracked(103, BEGAN),
        tracked(104, later + SECOND),
        record(105, delivery="x"),
    ]
    position = Position("r", began_at=later, end=at(10**6))
    assert await read(Log([page]), position) == [1, 101, 102, 103, 105]


async def test_malformed_records_are_counted_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    page = [record(1), record(2, event_type=7), record(3, timestamp="then"), record(4, event_id=4), record(5)]
    monkeypatch.setattr(read_module, "scan", Log([page]).matching)
    span = ReplayRange(cast("EventStore", None), Selection(limit=2), Position("r"), None)
    assert [one["_id"] async for records in span.pages(ignore) for one in records] == [1, 5]
    assert span.malformed == 3


def test_ids_are_cut_into_what_one_query_takes() -> None:
    assert [len(some) for some in in_batches([str(number) for number in range(250)])] == [100, 100, 50]
    assert in_batches([]) == []
