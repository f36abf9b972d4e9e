import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar, copy_context

import pytest

from craft_easy.core.events.handlers import background
from craft_easy.core.events.handlers.background import Tasks, in_thread, thread_for
from craft_easy.core.events.handlers.context import CurrentDelivery, enter
from craft_easy.core.events.handlers.loops import PerLoop
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.types import DomainEvent
from tests.support.conditions import becomes, until


def open_a_delivery() -> CurrentDelivery:
    current = CurrentDelivery(DomainEvent(event_type="a"), "h")
    enter(current)
    return current


# Tasks


async def test_a_task_is_held_until_it_ends() -> None:
    tasks, go, ended = Tasks(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        ended.append(1)

    tasks.start(work())
    await asyncio.sleep(0)
    gc.collect()
    assert len(tasks) == 1
    go.set()
    await tasks.drain()
    assert (ended, len(tasks)) == ([1], 0)


async def test_drain_awaits_tasks_that_start_during_it() -> None:
    tasks, ended = Tasks(), []

    async def work(left: int) -> None:
        await asyncio.sleep(0)
        if left:
            tasks.start(work(left - 1))
        ended.append(left)

    tasks.start(work(5))
    await tasks.drain()
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]


async def test_a_cancelled_drain_does_not_touch_the_tasks() -> None:
    tasks, go = Tasks(), asyncio.Event()
    task = tasks.start(go.wait())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tasks.drain(), 0.01)
    go.set()
    await tasks.drain()
    assert task is not None
    assert task.result()


async def test_drain_inside_a_delivery_is_an_error_since_it_would_wait_for_itself() -> None:
    tasks = Tasks()

    async def drains() -> None:
        open_a_delivery()
        await tasks.drain()

    task = tasks.start(drains())
    await tasks.drain()
    assert task is not None
    assert isinstance(task.exception(), RuntimeError)


async def test_a_task_runs_in_a_context_of_its_own() -> None:
    variable, seen, tasks = ContextVar("variable", default="unset"), [], Tasks()

    async def work(name: str) -> None:
        seen.append(variable.get())
        variable.set(name)

    for name in ("a", "b"):
        tasks.start(work(name))
    await tasks.drain()
    assert (seen, variable.get()) == (["unset", "unset"], "unset")


async def test_past_the_limit_admission_is_in_the_order_of_asking() -> None:
    tasks, gates, admitted = Tasks(limit=2), [asyncio.Event() for _ in range(5)], []

    async def publish(number: int) -> None:
        await tasks.admit()
        admitted.append(number)
        tasks.start(gates[number].wait())

    publishers = [asyncio.create_task(publish(number)) for number in range(5)]
    await becomes(lambda: admitted == [0, 1])
    for number in range(3):
        gates[number].set()
        expected = list(range(number + 3))
        await becomes(lambda expected=expected: admitted == expected)  # type: ignore[misc]
        assert len(tasks) == 2
    for gate in gates:
        gate.set()
    await asyncio.gather(*publishers)
    await tasks.drain()


async def test_inside_a_delivery_admission_never_waits() -> None:
    tasks, go = Tasks(limit=1), asyncio.Event()
    tasks.start(go.wait())

    async def publish() -> None:
        open_a_delivery()
        await tasks.admit()

    await asyncio.wait_for(asyncio.create_task(publish()), 60)
    go.set()
    await tasks.drain()


async def test_once_its_delivery_has_ended_a_task_left_behind_waits_for_admission() -> None:
    tasks, go = Tasks(limit=1), asyncio.Event()
    tasks.start(go.wait())
    context = copy_context()
    context.run(open_a_delivery).is_open = False
    waiting = asyncio.create_task(tasks.admit(), context=context)
    assert (await asyncio.wait([waiting], timeout=0.01))[1] == {waiting}
    go.set()
    await waiting


async def test_a_cancelled_wait_for_admission_passes_its_turn_on() -> None:
    tasks, go = Tasks(limit=1), asyncio.Event()
    tasks.start(go.wait())
    first, second = (asyncio.create_task(tasks.admit()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    await asyncio.wait_for(second, 60)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_task_that_breaks_off_is_logged_and_its_exception_is_retrieved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks()

    async def fails() -> None:
        raise OSError("no more space")

    tasks.start(fails())
    await tasks.drain()
    gc.collect()
    assert [record.message for record in caplog.records] == ["a background task failed"]


# The end of the loop


def test_a_task_that_starts_while_the_loop_closes_is_cancelled_and_not_destroyed() -> None:
    tasks, ended = Tasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    async def on_cancel() -> None:
        await tasks.admit()
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start(work())
            await asyncio.sleep(0)

    async def main() -> None:
        kept.append(asyncio.create_task(on_cancel()))
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert (ended, len(tasks)) == ([1], 0)


def test_a_loop_whose_generators_are_shut_down_starts_nothing() -> None:
    tasks, answers = Tasks(), []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)
            answers.append(tasks.start(asyncio.sleep(0)))

    async def main() -> None:
        await tasks.admit()
        kept.append(generator := numbers())
        await anext(generator)

    kept: list[object] = []
    asyncio.run(main())
    assert answers == [None]


async def test_one_cancelled_task_is_not_a_closing_loop() -> None:
    tasks, ended = Tasks(), []

    async def work() -> None:
        ended.append(1)

    async def publishes_at_last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start(work())

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(publishes_at_last(), 0.01)
    await tasks.drain()
    assert ended == [1]


@pytest.mark.parametrize("body", ["await bus.publish(event)", "await cancelled(bus.publish(event))"])
def test_asyncio_run_of_a_publish_with_background_handlers_is_quiet(body: str) -> None:
    code = f"""
import asyncio
from craft_easy.core.events import DomainEvent, EventBus

bus, event = EventBus(), DomainEvent(event_type="a")

async def waits(event):
    await asyncio.sleep(60)

async def cancelled(publishing):
    task = asyncio.create_task(publishing)
    await asyncio.sleep(0)  # asyncio.run cancels it, and the later background handler starts in a closing loop

async def main():
    {body}

if {body.startswith("await cancelled")}:
    bus.subscribe("*", waits, id="foreground")
for number in range(3):
    bus.subscribe("*", waits, id=str(number), background=True)
bus.subscribe("*", lambda event: None, id="plain", background=True)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


# Threads

PLAIN = Handler("plain", print, is_async=False, background=True)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_thread_slots", PerLoop(lambda: asyncio.Semaphore(2)))


async def test_a_call_runs_in_a_daemon_thread_and_gives_its_result() -> None:
    thread, doubled = await in_thread(lambda number: (threading.current_thread(), number * 2), 21)

    assert thread is not threading.current_thread()
    assert thread.daemon
    assert doubled == 42


async def test_an_exception_of_a_call_is_raised_where_it_is_awaited() -> None:
    def fails(argument: object) -> None:
        raise SystemExit(argument)

    with pytest.raises(SystemExit, match="7"):
        await in_thread(fails, 7)


async def test_no_more_threads_are_at_work_than_the_limit_and_all_calls_are_made(two_threads: None) -> None:
    go, at_work, most = threading.Event(), threading.Semaphore(2), []

    def work(_: object) -> None:
        most.append(at_work.acquire(blocking=False))
        go.wait(60)
        at_work.release()

    async def one() -> None:
        async with thread_for(PLAIN):
            await in_thread(work, None)

    calls = [asyncio.create_task(one()) for _ in range(6)]
    await becomes(lambda: len(most) == 2)
    go.set()
    await asyncio.gather(*calls)
    assert most == [True] * 6


async def test_after_a_burst_of_more_calls_than_threads_another_one_is_made(two_threads: None) -> None:
    async def one() -> None:
        async with thread_for(PLAIN):
            await in_thread(seen.append, 1)

    seen: list[int] = []
    await asyncio.gather(*(one() for _ in range(200)))
    await becomes(lambda: all(thread.name != "craft-events-handler" for thread in threading.enumerate()))
    await asyncio.wait_for(one(), 60)
    assert len(seen) == 201


async def test_an_abandoned_thread_is_replaced(two_threads: None) -> None:
    go = threading.Event()

    async def one() -> None:
        async with thread_for(PLAIN):
            async with asyncio.timeout(0.01):
                await in_thread(lambda _: go.wait(60), None)

    await asyncio.gather(*(one() for _ in range(4)), return_exceptions=True)
    async with asyncio.timeout(60), thread_for(PLAIN):
        assert await in_thread(lambda number: number, 1) == 1
    go.set()


async def test_the_result_of_an_abandoned_call_is_dropped() -> None:
    go, begun, returned = threading.Event(), threading.Event(), []

    async def coroutine() -> None: ...

    def call(_: object) -> object:
        begun.set()
        go.wait(60)
        returned.append(1)
        return coroutine()  # a warning that it was never awaited would fail the test

    task = asyncio.create_task(in_thread(call, None))
    await becomes(begun.is_set)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await becomes(lambda: returned)


def test_a_call_that_outlives_its_loop_is_ignored() -> None:
    go, begun, ended = threading.Event(), threading.Event(), []

    def call(_: object) -> None:
        begun.set()
        go.wait(60)
        ended.append(1)

    async def main() -> None:
        kept.append(asyncio.create_task(in_thread(call, None)))
        await becomes(begun.is_set)

    kept: list[object] = []
    asyncio.run(main())
    go.set()
    until(lambda: ended)


# Objects of a loop


def test_each_loop_has_an_object_of_its_own_and_closed_loops_are_forgotten() -> None:
    per_loop = PerLoop(list[str])

    async def main(name: str) -> int:
        per_loop.here().append(name)
        assert per_loop.here() == [name]
        return len(per_loop._objects)

    assert [asyncio.run(main(name)) for name in ("a", "b", "c")] == [1, 1, 1]


async def test_after_a_fork_a_loop_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    per_loop = PerLoop(object)
    before = per_loop.here()
    assert per_loop.here() is before
    monkeypatch.setattr("craft_easy.core.events.handlers.loops.os.getpid", lambda: 0)
    assert per_loop.here() is not before
