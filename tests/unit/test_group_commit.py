"""Group commit, over a write with a scripted answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pymongo
import pytest
from pymongo import _csot

from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.store.group_commit import GroupCommit
from tests.support.conditions import becomes


class Server:
    """Records each write, and answers once its gate is open."""

    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.deadlines: list[float | None] = []
        self.gate = asyncio.Event()
        self.failures: list[BaseException] = []
        self.group: GroupCommit[int, str] = GroupCommit(self.write, name="test", max_items=1_000, max_bytes=8_000)

    async def write(self, items: Sequence[int]) -> list[str]:
        self.writes.append(list(items))
        self.deadlines.append(_csot.get_timeout())
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return [f"stored {item}" for item in items]

    def submit(self, item: int, size: int = 0) -> asyncio.Task[str]:
        async def caller() -> str:
            return await self.group.submit(item, size=size)

        return asyncio.create_task(caller())

    async def submitted(self, *items: int) -> list[asyncio.Task[str]]:
        tasks = [self.submit(item) for item in items]
        await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def server() -> Server:
    return Server()


async def test_a_lone_item_goes_at_once(server: Server) -> None:
    server.gate.set()
    assert await server.submit(1) == "stored 1"
    assert await server.submit(2) == "stored 2"
    assert server.writes == [[1], [2]]


async def test_items_that_come_during_a_write_make_the_next_one_in_order(server: Server) -> None:
    first = server.submit(0)
    await becomes(lambda: server.writes)
    rest = await server.submitted(*range(1, 50))
    server.gate.set()
    assert await asyncio.gather(first, *rest) == [f"stored {item}" for item in range(50)]
    assert server.writes == [[0], list(range(1, 50))]


async def test_a_write_is_bounded_by_count(server: Server) -> None:
    server.gate.set()
    await asyncio.gather(*await server.submitted(*range(2_100)))
    assert [len(write) for write in server.writes] == [1_000, 1_000, 100]


async def test_a_write_is_limited_in_size_and_a_larger_item_is_written_alone(server: Server) -> None:
    server.gate.set()
    await asyncio.gather(*[server.submit(item, size) for item, size in enumerate((3_000, 3_000, 3_000, 9_000, 1))])
    assert server.writes == [[0, 1], [2], [3], [4]]


async def test_no_caller_waits_for_a_second_deadline_after_a_failed_write(server: Server) -> None:
    server.failures = [StoreUnavailable("gone")]
    tasks = await server.submitted(0)
    await becomes(lambda: server.writes)
    tasks += await server.submitted(*range(1, 5_000))
    server.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert {str(error) for error in errors} == {"gone"}
    assert server.writes == [[0]]
    assert await server.submit(5_000) == "stored 5000"


async def test_any_other_error_fails_only_its_own_write(server: Server) -> None:
    server.failures = [StoreError("not this one")]
    first = server.submit(1)
    await becomes(lambda: server.writes)
    (second,) = await server.submitted(2)
    server.gate.set()
    with pytest.raises(StoreError, match="not this one"):
        await first
    assert await second == "stored 2"


async def test_a_cancelled_caller_takes_back_an_item_that_was_not_sent_yet(server: Server) -> None:
    first = server.submit(1)
    await becomes(lambda: server.writes)
    cancelled, third = await server.submitted(2, 3)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    server.gate.set()
    await asyncio.gather(first, third)
    assert server.writes == [[1], [3]]


async def test_a_cancelled_caller_whose_item_was_sent_stops_no_other_caller(server: Server) -> None:
    cancelled, other = await server.submitted(1, 2)
    await becomes(lambda: server.writes)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    server.gate.set()
    assert await other == "stored 2"
    assert server.writes == [[1, 2]]


async def test_the_deadline_of_the_first_caller_is_not_that_of_the_others(server: Server) -> None:
    server.gate.set()
    with pymongo.timeout(0.001):
        await server.group.submit(1)
    assert server.deadlines == [None]


def test_callers_of_an_ended_loop_are_released() -> None:
    async def main() -> list[asyncio.Task[Any]]:
        server = Server()
        tasks: list[asyncio.Task[Any]] = [server.submit(1)]
        await becomes(lambda: server.writes)
        return tasks + await server.submitted(2)

    assert all(task.cancelled() for task in asyncio.run(main()))
