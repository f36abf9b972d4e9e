"""The slots of a pool: one after another within a key, side by side beyond it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from craft_easy.core.events.engine.pool import Slots
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
