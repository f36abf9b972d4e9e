"""Group commit of appends, over a server that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pymongo
import pytest
from pymongo import _csot

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.store import append as append_module
from craft_easy.core.events.store.append import Appender, InsertResult
from craft_easy.core.events.store.documents import new_record
from craft_easy.core.events.types import DomainEvent
from tests.conditions import becomes


class Server:
    """Notes each write, and answers once its gate is open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: list[list[str]] = []
        self.gate = asyncio.Event()
        self.failures: list[BaseException] = []
        monkeypatch.setattr(append_module, "insert", self.insert)

    async def insert(self, _: Any, chunk: Sequence[InsertResult]) -> None:
        self.writes.append([one.record["event_id"] for one in chunk])
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.fixture
async def appender(server: Any) -> Appender:
    return Appender(server)


def record(name: object) -> dict[str, Any]:
    return new_record(DomainEvent(event_type="x.y", event_id=str(name)))


def append(appender: Appender, *names: object) -> asyncio.Task[list[InsertResult]]:
    return asyncio.create_task(appender.append([record(name) for name in names]))


async def test_a_lone_append_goes_at_once(appender: Appender, server: Server) -> None:
    server.gate.set()
    assert [one.record["event_id"] for one in await append(appender, 1)] == ["1"]
    await append(appender, 2)
    assert server.writes == [["1"], ["2"]]


async def test_what_comes_while_a_write_is_under_way_makes_the_next_one_in_order(
    appender: Appender, server: Server
) -> None:
    first = append(appender, 0)
    await becomes(lambda: server.writes)
    rest = [append(appender, number) for number in range(1, 50)]
    await asyncio.sleep(0)
    server.gate.set()
    results = await asyncio.gather(first, *rest)
    assert server.writes == [["0"], [str(number) for number in range(1, 50)]]
    assert [[one.record["event_id"] for one in result] for result in results] == [[str(n)] for n in range(50)]


async def test_a_write_holds_a_thousand_records_and_a_caller_may_have_more(appender: Appender, server: Server) -> None:
    server.gate.set()
    small, large = append(appender, "a", "b"), append(appender, *range(2_000))
    assert len(await small) == 2
    assert [one.record["event_id"] for one in await large] == [str(number) for number in range(2_000)]
    assert [len(write) for write in server.writes] == [1_000, 1_000, 2]


async def test_a_lost_reply_reaches_exactly_the_callers_concerned(appender: Appender, server: Server) -> None:
    server.failures = [StoreUnavailable("gone")]
    first = append(appender, 1)
    await becomes(lambda: server.writes)
    second = append(appender, 2)
    await asyncio.sleep(0)
    server.gate.set()
    with pytest.raises(StoreUnavailable):
        await first
    assert (await second)[0].is_inserted


async def test_a_cancelled_caller_takes_back_what_was_not_sent_yet(appender: Appender, server: Server) -> None:
    first = append(appender, 1)
    await becomes(lambda: server.writes)
    cancelled, third = append(appender, 2), append(appender, 3)
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    server.gate.set()
    await asyncio.gather(first, third)
    assert server.writes == [["1"], ["3"]]


async def test_a_cancelled_caller_whose_record_is_on_its_way_stops_nobody_else(
    appender: Appender, server: Server
) -> None:
    both = append(appender, 1), append(appender, 2)
    await becomes(lambda: server.writes)
    both[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await both[0]
    server.gate.set()
    assert (await both[1])[0].is_inserted
    assert server.writes == [["1", "2"]]


async def test_the_deadline_of_the_first_caller_is_not_that_of_the_others(
    appender: Appender, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    insert = server.insert

    async def looks(store: Any, chunk: Sequence[InsertResult]) -> None:
        seen.append(_csot.get_timeout())
        await insert(store, chunk)

    monkeypatch.setattr(append_module, "insert", looks)
    server.gate.set()
    with pymongo.timeout(0.001):
        await append(appender, 1)
    assert seen == [None]


def test_a_loop_that_ends_lets_its_callers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[asyncio.Task[list[InsertResult]]]:
        server: Any = Server(monkeypatch)
        appender = Appender(server)
        tasks = [append(appender, 1)]
        await becomes(lambda: server.writes)
        tasks.append(append(appender, 2))
        await asyncio.sleep(0)
        return tasks

    assert all(task.cancelled() for task in asyncio.run(main()))
