"""The slots of a pool, and what becomes of records that do not run to their end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

from craft_easy.core.events.engine import pool
from craft_easy.core.events.engine.pool import RunnerPool, Slots
from craft_easy.core.events.model.envelope import EPOCH
from tests.support.conditions import becomes


async def test_items_of_a_key_keep_their_order_and_so_many_run_at_once() -> None:
    seen: defaultdict[int, list[int]] = defaultdict(list)
    running: set[int] = set()
    most = 0

    async def work(item: tuple[int, int]) -> None:
        nonlocal most
        key, number = item
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        seen[key].append(number)
        running.discard(key)

    slots = Slots(3, work)
    for number in range(200):
        slots.add(number % 7, (number % 7, number))
        if number % 50 == 0:
            await slots.idle()
    await slots.idle()
    assert {key: sorted(numbers) for key, numbers in seen.items()} == seen
    assert (sum(map(len, seen.values())), most) == (200, 3)


async def test_one_slow_key_holds_nobody_else_up() -> None:
    may_end, seen = asyncio.Event(), []

    async def work(item: str) -> None:
        if item == "slow":
            await may_end.wait()
        seen.append(item)

    slots = Slots(2, work)
    for item in ("slow", "slow", "a", "b", "c"):
        slots.add(item, item)
    await becomes(lambda: seen == ["a", "b", "c"])
    may_end.set()
    await slots.idle()
    assert seen[3:] == ["slow", "slow"]


async def test_slots_that_are_stopped_begin_nothing_more() -> None:
    may_end, seen = asyncio.Event(), []

    async def work(item: int) -> None:
        seen.append(item)
        await may_end.wait()

    slots = Slots(2, work)
    for item in range(4):
        slots.add("a", item)
    await becomes(lambda: seen == [0])
    stopping = asyncio.create_task(slots.stop(5))
    await asyncio.sleep(0)
    assert not await slots.free()
    may_end.set()
    assert await stopping == [1, 2, 3]
    assert seen == [0]


async def test_what_work_raises_comes_out() -> None:
    async def work(item: int) -> None:
        raise ValueError(item)

    slots = Slots(2, work)
    slots.add("a", 1)
    with pytest.raises(ValueError, match="1"):
        await slots.idle()


class FakeRun:
    """Stands for the run of a record: it ends when it is let go."""

    def __init__(self, *_: object) -> None:
        self.abandoned = 0
        self.is_given_back = False
        runs.append(self)

    async def run(self, *, is_alone: bool) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.abandoned = 1
            raise

    def give_back(self) -> None:
        self.is_given_back = True


runs: list[FakeRun] = []


def claimed(number: int) -> Any:
    document = {"event_id": f"e{number}", "event_type": "x", "timestamp": EPOCH, "payload": {}}
    return SimpleNamespace(record=SimpleNamespace(document=document), key=f"e{number}", ownership=(number, "me"))


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the records that the pool of `pool_of` has given back; records are run by `FakeRun`."""
    monkeypatch.setattr(pool, "RecordRun", FakeRun)
    monkeypatch.setattr(pool, "RecordSink", lambda *_: None)
    runs.clear()
    return []


def pool_of(size: int, given_back: list[str], due: Any) -> RunnerPool:
    writer = SimpleNamespace(add=lambda owned, *, is_finished: given_back.append(owned.key))
    return RunnerPool(cast("Any", SimpleNamespace(writer=writer)), size, due, lambda: None)


async def test_a_record_whose_run_cannot_begin_is_given_back_and_the_others_go_on(
    given_back: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def due(record: Any) -> list[Any]:
        if record.document["event_id"] == "e1":
            raise ValueError("no")
        return []

    records = pool_of(2, given_back, due)
    await records.start([claimed(1), claimed(2)])
    await records.idle()
    assert sorted(given_back) == ["e1", "e2"]
    assert "the deliveries of event e1 broke off" in caplog.text


async def test_a_stop_gives_back_the_records_that_did_not_begin_and_those_that_run_too_long(
    given_back: list[str],
) -> None:
    records = pool_of(1, given_back, lambda _: ["a delivery"])
    starting = asyncio.create_task(records.start([claimed(1), claimed(2)]))
    await becomes(lambda: len(runs) == 1)
    await records.stop(grace=0)
    await starting
    assert given_back == ["e2"]
    assert records.abandoned == 1


async def test_a_suspect_that_waits_for_its_turn_is_given_back_where_the_run_ends(given_back: list[str]) -> None:
    records = pool_of(1, given_back, lambda _: ["a delivery"])
    await records.start([claimed(1)])
    suspect = asyncio.create_task(records.alone(claimed(2)))
    await becomes(lambda: len(runs) == 1)
    suspect.cancel()
    with pytest.raises(asyncio.CancelledError):
        await suspect
    assert given_back == ["e2"]
    await records.stop(grace=0)
