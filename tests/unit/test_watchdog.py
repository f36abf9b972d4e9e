"""The watchdog of an event loop."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from craft_easy.core.events.engine import watchdog as module
from craft_easy.core.events.engine.lease import Worker
from craft_easy.core.events.engine.watchdog import RunningHandler, RunningHandlers, Watchdog
from tests.unit.fake_registry import LEASE, FakeClock, FakeRegistry


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(module, "steady", clock)
    return clock


def running(handler_id: str, limit: float, code: object = None) -> RunningHandler:
    return RunningHandler(handler_id, getattr(code, "__code__", None), limit)


async def test_the_lease_is_renewed_while_the_loop_is_silent_for_no_longer_than_the_longest_limit_or_a_lease(
    clock: FakeClock,
) -> None:
    worker = Worker(FakeRegistry(clock), lease=LEASE)
    watchdog = worker.watchdog
    clock.time += 1000
    assert watchdog.check(), "the first check passes"
    assert watchdog.ask()
    clock.time += LEASE + 1
    assert not watchdog.check()
    with worker.running_handlers.including(2, running("short", 1)):
        with worker.running_handlers.including(1, running("long", 120)):
            assert watchdog.check(), "a handler may be running"
        assert not watchdog.check(), "that handler has ended"
    await asyncio.sleep(0)
    assert watchdog.check(), "the loop has answered"


async def test_a_handler_that_blocks_the_loop_is_named_once(clock: FakeClock) -> None:
    handlers, messages = RunningHandlers(), list[str]()
    watchdog = Watchdog(handlers, limit=lambda: 45, consequence="nothing else can run", on_hang=messages.append)

    def blocks() -> None:
        in_a_thread(watchdog.ask)
        clock.time += 46
        in_a_thread(watchdog.check)
        in_a_thread(watchdog.check)

    with (
        handlers.including(1, running("shop:innocent", 1)),
        handlers.including(2, running("shop:blocks", 45, blocks)),
    ):
        blocks()
    [text] = messages
    assert "'shop:blocks' blocks the event loop for more than 45 s, at " in text
    assert text.endswith(": nothing else can run")
    assert "innocent" not in text


def in_a_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
