"""The start times of events: with their original gaps, and limited in rate."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from craft_easy.core.events.engine.pool import RateLimit
from craft_easy.core.events.history.pace import Pace

BEGAN = datetime(2026, 1, 31, tzinfo=UTC)


class Clock:
    """A clock that every wait advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(Pace, "_until", self.until)

    def __call__(self) -> float:
        return self.now

    async def until(self, at: float) -> None:
        self.now = max(self.now, at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def at_gaps(pace: Pace, clock: Clock, *seconds: float) -> list[float]:
    started = []
    for second in seconds:
        await pace.gap(BEGAN + timedelta(seconds=second))
        started.append(clock.now - 100)
    return started


async def test_gaps_are_kept_from_the_first_event_on(clock: Clock) -> None:
    assert await at_gaps(Pace(asyncio.Event(), speed=1, clock=clock), clock, 5, 6, 6, 66) == [0, 1, 1, 61]


async def test_gaps_pass_faster(clock: Clock) -> None:
    assert await at_gaps(Pace(asyncio.Event(), speed=10, clock=clock), clock, 0, 10, 20) == [0, 1, 2]


async def test_a_late_replay_catches_up(clock: Clock) -> None:
    pace = Pace(asyncio.Event(), speed=1, clock=clock)
    await pace.gap(BEGAN)
    clock.now += 15
    assert await at_gaps(pace, clock, 10, 20) == [15, 20]


async def test_a_clock_that_goes_back_is_not_a_gap(clock: Clock) -> None:
    assert await at_gaps(Pace(asyncio.Event(), speed=1, clock=clock), clock, 50, 0, 5) == [0, 0, 5]


async def test_without_a_pace_there_is_no_wait(clock: Clock) -> None:
    assert await at_gaps(Pace(asyncio.Event(), clock=clock), clock, 0, 1_000) == [0, 0]


async def test_a_rate_holds_even_after_a_pause(clock: Clock) -> None:
    pace, started = Pace(asyncio.Event(), rate=4, clock=clock), []
    for pause in (0, 0, 0, 10, 0, 0):
        clock.now += pause
        await pace.turn()
        started.append(clock.now - 100)
    assert started == [0, 0.25, 0.5, 10.5, 10.75, 11]


async def test_a_halt_ends_every_wait() -> None:
    halt = asyncio.Event()
    pace = Pace(halt, rate=0.001)
    await pace.turn()
    waiting = asyncio.create_task(pace.turn())
    await asyncio.sleep(0)
    assert not waiting.done()
    halt.set()
    await asyncio.wait_for(waiting, 60)


async def test_a_wait_ends_by_itself() -> None:
    pace = Pace(asyncio.Event(), rate=1_000)
    await pace.turn()
    await asyncio.wait_for(pace.turn(), 60)


def test_a_limited_rate_is_spaced_evenly_and_makes_up_for_a_late_start(clock: Clock) -> None:
    limit, started = RateLimit(10, catch_up=0.25, clock=clock), []
    for _ in range(4):
        started.append(round(clock.now - 100, 2))
        limit.take()
        clock.now += limit.wait_s + 0.05  # each start comes late
    assert started == [0, 0.15, 0.25, 0.35]
    clock.now += 60
    at_once = 0
    while not limit.wait_s:
        limit.take()
        at_once += 1
    assert at_once == 3, "a pause is not made up for"
