"""The low-water mark, and how far beyond it events may begin."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import DatetimeMS, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.progress import WINDOW, LowWater, Position, ProgressWriter
from craft_easy.core.events.store.read import RecordPosition
from tests.support.conditions import becomes


def place(number: int) -> RecordPosition:
    return RecordPosition(datetime(2026, 1, 31, tzinfo=UTC), f"e{number:05}", number)


@given(st.lists(st.booleans(), max_size=30), st.randoms())
def test_the_mark_is_the_last_event_up_to_which_all_have_ended(has_handlers: list[bool], random: Any) -> None:
    water, steps = LowWater(), {}
    for number, has in enumerate(has_handlers):
        if has:
            steps[number] = water.begin(place(number))
        else:
            water.pass_over(place(number))
    under_way = list(steps)
    random.shuffle(under_way)
    while True:
        first = min(under_way, default=len(has_handlers))
        assert water.passed == first
        assert water.mark == (place(first - 1) if first else None)
        if not under_way:
            return
        water.end(steps[under_way.pop()])


async def test_no_event_begins_more_than_the_window_beyond_what_is_kept(tmp_path: Path) -> None:
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    keeper = ProgressWriter(point, Position("r"))
    steps = []
    for number in range(WINDOW):
        await keeper.room()
        steps.append(keeper.water.begin(place(number)))
    waiting = asyncio.create_task(keeper.room())
    for step in steps[1:]:
        keeper.end(step)
    await asyncio.sleep(0)
    assert not waiting.done()
    keeper.end(steps[0])
    await asyncio.sleep(0)
    assert not waiting.done()  # it has ended, and that is not on disk yet
    keeping = asyncio.create_task(keeper.keep())
    await asyncio.wait_for(waiting, 5)
    kept = point.read()
    assert kept is not None
    assert Position.from_json(kept).passed == WINDOW
    keeper.stop()
    await asyncio.wait_for(keeping, 5)
    await keeper.close(is_complete=True)
    kept = point.read()
    assert kept is not None
    assert Position.from_json(kept).is_complete


async def test_without_a_checkpoint_memory_is_bounded_all_the_same() -> None:
    keeper = ProgressWriter(None, Position("r"))
    steps = [keeper.water.begin(place(number)) for number in range(WINDOW)]
    waiting = asyncio.create_task(keeper.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    keeper.end(steps[0])
    await becomes(waiting.done)


@pytest.mark.parametrize(
    "found",
    [
        place(1),
        RecordPosition(None, None, ObjectId()),
        RecordPosition(DatetimeMS(2**60), 7, "x"),
        RecordPosition("then", {"a": 1}, {"b": 2}),
        RecordPosition(1.5, bson.Decimal128("1.1").to_decimal(), b"x"),
    ],
)
def test_a_position_survives_its_file(found: RecordPosition) -> None:
    position = Position("r", since=datetime(2026, 1, 1, tzinfo=UTC), end=found, mark=found, passed=3)
    again = Position.from_json(position.to_json())
    assert (again.replay_id, again.since, again.until, again.passed) == ("r", position.since, None, 3)
    assert again.mark is not None
    assert again.mark.to_json() == found.to_json()
    assert again.mark.record_id == found.record_id


def test_what_is_no_position_is_refused() -> None:
    good = Position("r", end=place(1)).to_json()
    for name, value in (("since", "2026-01-01"), ("end", {}), ("mark", 3), ("passed", "x"), ("until", 7)):
        with pytest.raises(CheckpointError, match="no position"):
            Position.from_json({**good, name: value})
    with pytest.raises(CheckpointError):
        Position.from_json({})


ASCENDING = (
    RecordPosition(None, None, 1),
    RecordPosition(None, "a", 1),
    RecordPosition(-1, "a", 1),
    RecordPosition(1.5, "a", 1),
    RecordPosition("a", "a", 1),
    RecordPosition("é", "a", 1),
    RecordPosition("\U00010000", "a", 1),
    RecordPosition(ObjectId(b"\1" * 12), "a", 1),
    RecordPosition(DatetimeMS(-(2**60)), "a", 1),
    RecordPosition(datetime(2026, 1, 1, tzinfo=UTC), None, 1),
    RecordPosition(datetime(2026, 1, 1, tzinfo=UTC), 5, 1),
    RecordPosition(datetime(2026, 1, 1, tzinfo=UTC), "a", 1),
    RecordPosition(datetime(2026, 1, 1, tzinfo=UTC), "b", 1),
    RecordPosition(datetime(2026, 1, 2, tzinfo=UTC), "a", 1),
    RecordPosition(DatetimeMS(2**60), "a", 1),
)


def test_places_stand_in_the_order_of_the_log() -> None:
    for number, one in enumerate(ASCENDING):
        for other in ASCENDING[:number]:
            assert one.is_behind(other)
            assert not other.is_behind(one)
            assert other.is_surely_within(one)
            assert not one.is_surely_within(other)
        assert one.is_surely_within(one)
    assert sorted(ASCENDING, key=lambda one: one.sort_key) == list(ASCENDING)


def test_where_the_order_is_not_certain_an_event_is_repeated_rather_than_lost() -> None:
    nan, many = RecordPosition(float("nan"), "a", 1), RecordPosition({"a": 1}, "a", 1)
    same = RecordPosition(None, None, 2)
    for one, mark in ((nan, place(1)), (many, place(1)), (place(1), many), (same, RecordPosition(None, None, 1))):
        assert not one.is_surely_within(mark)
        assert not one.is_behind(mark)


def test_the_moment_behind_a_place_is_the_next_millisecond() -> None:
    assert place(1).next_moment == datetime(2026, 1, 31, 0, 0, 0, 1_000, tzinfo=UTC)
    assert RecordPosition("then", "a", 1).next_moment is None
    assert RecordPosition(datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC), "a", 1).next_moment is None
