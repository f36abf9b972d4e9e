import asyncio
import gc
from collections.abc import AsyncIterator
from contextvars import copy_context

import pytest

from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.context import Scope, enter
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.types import DomainEvent
from tests.support.conditions import becomes


def open_a_delivery() -> Scope:
    scope = Scope()
    scope.event, scope.view, scope.handler = DomainEvent(event_type="a"), None, Handler("h", print, is_async=False)
    enter(scope)
    return scope


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


async def test_drain_awaits_what_starts_meanwhile() -> None:
    tasks, ended = Tasks(), []

    async def work(left: int) -> None:
        await asyncio.sleep(0)
        if left:
            tasks.start(work(left - 1))
        ended.append(left)

    tasks.start(work(5))
    await tasks.drain()
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]


async def test_drain_gives_up_after_its_timeout_and_leaves_the_tasks_alone() -> None:
    tasks, go = Tasks(), asyncio.Event()
    task = tasks.start(go.wait())
    with pytest.raises(TimeoutError, match=r"1 background tasks still run after 0.01 s"):
        await tasks.drain(timeout=0.01)
    go.set()
    await tasks.drain(timeout=5)
    assert task is not None
    assert task.result()


async def test_drain_inside_a_task_leaves_that_one_out() -> None:
    tasks, ended = Tasks(), []

    async def other() -> None:
        await asyncio.sleep(0)
        ended.append("other")

    async def drains() -> None:
        tasks.start(other())
        await asyncio.create_task(tasks.drain())  # from a task of the task, too
        ended.append("drained")

    tasks.start(drains())
    await tasks.drain(timeout=5)
    assert ended == ["other", "drained"]


async def test_two_tasks_that_drain_do_not_wait_for_each_other() -> None:
    tasks, ended = Tasks(), []

    async def drains(name: str) -> None:
        await tasks.drain()
        ended.append(name)

    tasks.start(drains("a"))
    tasks.start(drains("b"))
    await tasks.drain(timeout=5)
    assert sorted(ended) == ["a", "b"]


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

    await asyncio.wait_for(asyncio.create_task(publish()), 5)
    go.set()
    await tasks.drain()


async def test_once_its_delivery_has_ended_a_task_left_behind_waits_for_admission() -> None:
    tasks, go, left = Tasks(limit=1), asyncio.Event(), asyncio.Event()
    tasks.start(go.wait())
    context = copy_context()
    scope = context.run(open_a_delivery)
    scope.end()
    waiting = asyncio.create_task(tasks.admit(), context=context)
    await becomes(lambda: len(tasks._admissions) == 1)
    go.set()
    await waiting
    left.set()


async def test_a_cancelled_wait_for_admission_passes_its_turn_on() -> None:
    tasks, go = Tasks(limit=1), asyncio.Event()
    tasks.start(go.wait())
    first, second = (asyncio.create_task(tasks.admit()) for _ in range(2))
    await becomes(lambda: len(tasks._admissions) == 2)
    go.set()
    await becomes(lambda: len(tasks._admissions) == 1)  # the first has its turn and has not run yet
    first.cancel()
    await asyncio.wait_for(second, 5)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_wait_for_admission_that_is_cancelled_in_the_queue_leaves_it() -> None:
    tasks, go = Tasks(limit=1), asyncio.Event()
    tasks.start(go.wait())
    waiting = asyncio.create_task(tasks.admit())
    await becomes(lambda: len(tasks._admissions) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not tasks._admissions
    go.set()
    await tasks.drain()


async def test_whoever_is_overtaken_from_inside_a_delivery_keeps_its_place() -> None:
    tasks, go, again, order = Tasks(limit=1), asyncio.Event(), asyncio.Event(), []

    async def asks(name: str) -> None:
        await tasks.admit()
        order.append(name)

    def overtake(_: object) -> None:
        tasks.start(again.wait())

    tasks.start(go.wait())
    first, second = asyncio.create_task(asks("first")), asyncio.create_task(asks("second"))
    await becomes(lambda: len(tasks._admissions) == 2)
    next(iter(tasks._running)).add_done_callback(overtake)
    go.set()
    await becomes(lambda: len(tasks) == 1 and not go._waiters and len(tasks._admissions) == 2)
    again.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]
    await tasks.drain()


async def test_a_task_that_breaks_off_is_logged_and_its_exception_is_retrieved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks()

    async def fails() -> None:
        raise OSError("no more space")

    tasks.start(fails())
    await tasks.drain()
    gc.collect()
    assert [record.message for record in caplog.records] == ["a background task broke off"]


def test_a_loop_that_is_closing_starts_nothing() -> None:
    tasks, started = Tasks(), []

    async def work() -> None:
        started.append(1)

    async def on_cancel() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert tasks.start(work()) is None

    async def main() -> None:
        task = asyncio.create_task(on_cancel())
        await asyncio.sleep(0)
        kept.append(task)

    kept: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert started == []
    assert kept[0].cancelled()


def test_a_loop_whose_generators_are_shut_down_starts_nothing() -> None:
    tasks, answers = Tasks(), []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            answers.append(tasks.start(asyncio.sleep(0)))

    async def main() -> None:
        kept.append(generator := numbers())
        await anext(generator)

    kept: list[object] = []
    asyncio.run(main())
    assert answers == [None]


async def test_one_cancelled_task_is_no_closing_loop() -> None:
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


def test_what_a_closed_loop_left_is_closed_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    tasks, closed = Tasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(1)

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("not even now")

    async def main() -> None:
        tasks.start(work())
        tasks.start(stubborn())
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    tasks.forget()
    gc.collect()
    assert (closed, len(tasks)) == ([1], 0)
    assert [record.message for record in caplog.records] == ["a background task of a closed loop could not be closed"]
