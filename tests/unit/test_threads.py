import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from craft_easy.core.events.handlers import background as module
from craft_easy.core.events.handlers.background import Threads, in_thread
from tests.support.conditions import becomes, until


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    own = Threads(limit=2, idle_s=0.01)
    monkeypatch.setattr(module, "_threads", own)
    yield own
    until(lambda: len(own) == 0)


async def test_a_call_runs_in_a_daemon_thread_and_gives_its_result() -> None:
    thread, doubled = await in_thread(lambda number: (threading.current_thread(), number * 2), 21)

    assert thread is not threading.current_thread()
    assert thread.daemon
    assert doubled == 42


async def test_what_a_call_raises_is_raised_where_it_is_awaited() -> None:
    def fails(argument: object) -> None:
        raise SystemExit(argument)

    with pytest.raises(SystemExit, match="7"):
        await in_thread(fails, 7)


async def test_no_more_threads_run_than_the_limit_and_all_calls_do(own_threads: Threads) -> None:
    go, most = threading.Event(), []

    def call(_: object) -> None:
        most.append(len(own_threads))
        go.wait(20)

    calls = [asyncio.create_task(in_thread(call, None)) for _ in range(6)]
    await becomes(lambda: len(most) == 2)
    go.set()
    await asyncio.gather(*calls)
    assert (len(most), max(most)) == (6, 2)


async def test_an_idle_thread_is_used_again(own_threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_threads, "_idle_s", 1.0)
    first = await in_thread(lambda _: threading.get_ident(), None)
    await becomes(lambda: own_threads._idle == 1)
    monkeypatch.setattr(own_threads, "_idle_s", 0.01)
    assert await in_thread(lambda _: threading.get_ident(), None) == first


async def test_a_call_that_nobody_waits_for_any_more_does_not_begin() -> None:
    go = threading.Event()
    begun: list[int] = []
    busy = [asyncio.create_task(in_thread(lambda _: go.wait(20), None)) for _ in range(2)]
    late = asyncio.create_task(in_thread(begun.append, 1))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.wait([late])
    go.set()
    await asyncio.gather(*busy)
    assert begun == []


async def test_what_an_abandoned_call_returns_is_let_go() -> None:
    go, begun, returned = threading.Event(), threading.Event(), []

    async def coroutine() -> None: ...

    def call(_: object) -> object:
        begun.set()
        go.wait(20)
        returned.append(1)
        return coroutine()  # a warning that it was never awaited would fail the test

    task = asyncio.create_task(in_thread(call, None))
    await becomes(begun.is_set)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await becomes(lambda: returned)


def test_a_call_that_outlives_its_loop_harms_nobody() -> None:
    go, begun, ended = threading.Event(), threading.Event(), []

    def call(_: object) -> None:
        begun.set()
        go.wait(20)
        ended.append(1)

    async def main() -> None:
        kept.append(asyncio.create_task(in_thread(call, None)))
        await becomes(begun.is_set)

    kept: list[object] = []
    asyncio.run(main())
    go.set()
    until(lambda: ended)


def test_after_a_fork_there_are_new_threads() -> None:
    before = module._threads
    module._begin_anew()

    assert module._threads is not before
    assert hasattr(os, "register_at_fork")
