"""Early ends of a replay: limits, failures, a stop; and the next run with its checkpoint."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.engine.report import DeliveryReport, EventEnded, Notice
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history import progress
from craft_easy.core.events.history.replay import Replay, ReplayOptions, replay
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from tests.store.replays import EVERYTHING, events, in_order
from tests.support.conditions import becomes
from tests.support.runs import Ran, Recorder

DRIVERS = ("a URI",)


async def test_fail_fast_begins_nothing_more_and_the_next_run_begins_with_what_failed(
    bus: EventBus, store: EventStore, tmp_path: Path
) -> None:
    stored = events(10, tenants=["a"])
    await store.append_many(stored)
    ids = in_order(stored)
    ran = Ran()
    is_broken = True

    async def fail(event: DomainEvent) -> None:
        await ran.handler("t:note")(event)
        if is_broken and event.event_id == ids[3]:
            raise ValueError("no")

    bus.subscribe("*", fail, id="t:fail")
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    summary = await replay(bus, EVERYTHING, ReplayOptions(fail_fast=True), checkpoint=point)
    assert (ran.order, summary.failed, summary.is_complete) == (ids[:4], 1, False)
    is_broken = False
    summary = await replay(bus, EVERYTHING, ReplayOptions(fail_fast=True), checkpoint=point)
    assert (ran.order[4:], summary.is_complete) == (ids[3:], True)


async def test_a_limit_counts_events_over_all_runs_of_a_checkpoint(
    bus: EventBus, store: EventStore, noted: Ran, tmp_path: Path
) -> None:
    stored = events(30, tenants=["a"])
    await store.append_many(stored)
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    stop = asyncio.Event()

    ends: list[Notice] = []

    def stop_after_five(notice: Notice) -> None:
        if isinstance(notice, EventEnded):
            ends.append(notice)
        if len(ends) == 5:
            stop.set()

    limited = Selection(limit=20)
    await replay(bus, limited, observer=stop_after_five, stop=stop, checkpoint=point)
    assert 5 <= len(noted.order) < 20
    one = Replay(bus, limited, ReplayOptions(), checkpoint=point)
    await one.begin()
    assert (await one.plan()).counts.events == 20 - len(noted.order)
    await one.run(asyncio.Event())
    assert noted.order == in_order(stored)[:20]


async def test_a_finished_checkpoint_runs_nothing_again(
    bus: EventBus, store: EventStore, noted: Ran, tmp_path: Path
) -> None:
    await store.append_many(events(3))
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    first = await replay(bus, EVERYTHING, checkpoint=point)
    await store.append(DomainEvent(event_type="later"))
    again = await replay(bus, EVERYTHING, checkpoint=point)
    assert (first.events, again.events, again.is_complete, again.replay_id) == (3, 0, True, first.replay_id)
    with pytest.raises(CheckpointError, match="other filters"):
        await replay(
            bus, EVERYTHING, checkpoint=Checkpoint(tmp_path / "point", kind="replay", log="l", filters={"x": 1})
        )


async def test_a_checkpoint_with_another_position_is_refused(bus: EventBus, noted: Ran, tmp_path: Path) -> None:
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    for position in (
        {},
        {"replay_id": "x", "began_at": None, "since": "2026", "until": None, "end": 3, "mark": None, "passed": 0},
    ):
        point.write(position)
        with pytest.raises(CheckpointError, match="no position of a replay"):
            await replay(bus, EVERYTHING, checkpoint=point)


async def test_a_handler_past_its_limit_has_failed_and_is_abandoned_if_it_keeps_running(
    bus: EventBus, store: EventStore
) -> None:
    await store.append_many(events(2, tenants=["a"]))
    may_end = asyncio.Event()

    async def hang(event: DomainEvent) -> None:
        try:
            await may_end.wait()
        except asyncio.CancelledError:
            await may_end.wait()

    async def slow(event: DomainEvent) -> None:
        await may_end.wait()

    bus.subscribe("*", hang, id="t:hang", background=True)
    bus.subscribe("*", slow, id="t:slow")
    recorder = Recorder()
    summary = await replay(bus, EVERYTHING, ReplayOptions(timeout=0.02), observer=recorder)
    may_end.set()
    assert (summary.failed, summary.abandoned, summary.events) == (4, 2, 2)
    assert {one.error for one in recorder.reports if one.handler == "t:slow"} == {
        "TimeoutError: ran past its limit of 0.02 s"
    }


async def test_a_handler_that_blocks_the_loop_past_its_limit_is_named(bus: EventBus, store: EventStore) -> None:
    await store.append_many(events(1))
    released, said = threading.Event(), []

    def block(event: DomainEvent) -> None:
        released.wait(60)

    def hang(text: str) -> None:
        said.append(text)
        released.set()

    bus.subscribe("*", block, id="t:block")
    one = Replay(bus, EVERYTHING, ReplayOptions(timeout=0.01))
    one.on_hang = hang
    await one.begin()
    await one.run(asyncio.Event())
    assert said[0].startswith("'t:block' blocks the event loop for more than 1.01 s, at ")
    assert "threading.py" in said[0]


async def test_a_stop_waits_the_grace_for_running_handlers_and_cancels_the_rest(
    bus: EventBus, store: EventStore, tmp_path: Path
) -> None:
    stored = events(4, tenants=["a", "b"])
    await store.append_many(stored)
    started: list[str] = []
    stop, may_end = asyncio.Event(), asyncio.Event()

    async def wait(event: DomainEvent) -> None:
        started.append(event.event_id)
        if event.tenant_id == "b":
            await asyncio.Event().wait()
        await may_end.wait()

    bus.subscribe("*", wait, id="t:wait")
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    running = asyncio.create_task(replay(bus, EVERYTHING, ReplayOptions(grace=0.1), stop=stop, checkpoint=point))
    await becomes(lambda: len(started) == 2)
    stop.set()
    may_end.set()
    summary = await running
    assert len(started) == 2
    assert (summary.events, summary.done, summary.failed, summary.is_complete) == (1, 1, 0, False)


async def test_an_observer_that_fails_ends_the_run_with_its_error(bus: EventBus, store: EventStore, noted: Ran) -> None:
    await store.append_many(events(100, tenants=["a"]))

    def fail_on_a_report(notice: Notice) -> None:
        if isinstance(notice, DeliveryReport):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await asyncio.wait_for(replay(bus, EVERYTHING, observer=fail_on_a_report), 60)


async def test_no_more_than_the_window_begin_beyond_the_mark_that_is_kept(
    bus: EventBus, store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WINDOW", 100)
    stored = events(160, tenants=["slow", "fast"])
    await store.append_many(stored)
    started = 0
    may_end = asyncio.Event()

    async def wait(event: DomainEvent) -> None:
        nonlocal started
        started += 1
        if event.tenant_id == "slow":
            await may_end.wait()

    bus.subscribe("*", wait, id="t:wait")
    point = Checkpoint(tmp_path / "point", kind="replay", log="l", filters={})
    running = asyncio.create_task(replay(bus, EVERYTHING, checkpoint=point))
    await becomes(lambda: started == 51)
    for _ in range(200):
        await asyncio.sleep(0)
    assert started == 51
    may_end.set()
    assert (await running).events == 160
