"""The low watermark, and the limit for events beyond it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.progress import WINDOW, LowWater, Position, ProgressWriter
from craft_easy.core.events.store.position import RecordPosition
from tests.support.conditions import becomes


def place(number: int) -> RecordPosition:
    return RecordPosition(datetime(2026, 1, 31, tzinfo=UTC), f"e{number:05}")


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
    assert not waiting.done()  # it has ended, but that is not on disk yet
    keeping = asyncio.create_task(keeper.keep())
    await asyncio.wait_for(waiting, 60)
    kept = point.read()
    assert kept is not None
    assert Position.from_json(kept).passed == WINDOW
    keeper.stop()
    await asyncio.wait_for(keeping, 60)
    await keeper.close(is_complete=True)
    kept = point.read()
    assert kept is not None
    assert Position.from_json(kept).is_complete


async def test_without_a_checkpoint_memory_is_limited_too() -> None:
    keeper = ProgressWriter(None, Position("r"))
    steps = [keeper.water.begin(place(number)) for number in range(WINDOW)]
    waiting = asyncio.create_task(keeper.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    keeper.end(steps[0])
    await becomes(waiting.done)


def test_a_position_survives_its_file() -> None:
    position = Position("r", since=datetime(2026, 1, 1, tzinfo=UTC), end=place(9), mark=place(3), passed=3)
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position


def test_a_position_that_version_1_wrote_is_read() -> None:
    written = {
        "timestamp": {"$date": {"$numberLong": "1769817600000"}},
        "event_id": "e00001",
        "_id": {"$oid": "0" * 24},
    }
    assert RecordPosition.from_json(written) == place(1)


def test_an_invalid_position_is_refused() -> None:
    good = Position("r", end=place(1)).to_json()
    for name, value in (("since", "2026-01-01"), ("end", {}), ("mark", 3), ("passed", "x"), ("until", 7)):
        with pytest.raises(CheckpointError, match="no position"):
            Position.from_json({**good, name: value})
    with pytest.raises(CheckpointError):
        Position.from_json({})


def test_positions_are_ordered_as_the_log_orders_texts() -> None:
    ids = ["", "A", "a", "é", "\uffff", "\U00010000"]
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    ascending = [RecordPosition(moment, event_id) for moment in moments for event_id in ids]
    assert sorted(ascending) == ascending
    assert sorted(ids, key=str.encode) == ids


@pytest.mark.parametrize("name", ["event_id", "event_type", "timestamp"])
@pytest.mark.parametrize("value", [None, 7, {"a": 1}, DatetimeMS(2**60)])
def test_a_malformed_record_has_no_position(name: str, value: Any) -> None:
    good = {"event_id": "e", "event_type": "t", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
    assert RecordPosition.of(good) is not None
    assert RecordPosition.of({**good, name: value}) is None
