"""Handlers that fail repeatedly: deliveries that they delay, the times of their retries, and the cost of an outage."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from datetime import timedelta
from typing import Any, Final

import pytest

from craft_easy.core.events import DomainEvent, RetryPolicy
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.outcomes import OwnedRecord
from craft_easy.core.events.engine.runner import RecordRun
from craft_easy.core.events.model.retry import DEFAULT_RETRY, spread
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.deliveries import Deliveries
from tests.faults.engine import Engine

GOOD: Final = 500
STORM: Final = 500
OUTAGE: Final = timedelta(hours=5)


class Handler:
    """Counts its runs, and fails on poisoned events."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self._ran = asyncio.Condition()

    async def __call__(self, event: DomainEvent) -> None:
        async with self._ran:
            self.runs[event.event_id] += 1
            self._ran.notify_all()
        if event.payload["is_poison"]:
            raise ValueError("poison")

    async def has_run(self, events: int) -> None:
        """Return when it has run on this number of events."""
        async with self._ran, asyncio.timeout(120):
            await self._ran.wait_for(lambda: len(self.runs) >= events)


def events(count: int, *, is_poison: bool = False) -> list[DomainEvent]:
    return [DomainEvent(event_type="order.placed", payload={"is_poison": is_poison}) for _ in range(count)]


async def states(shop: Engine) -> Counter[str]:
    return Counter(record["delivery"]["state"] for record in await shop.records())


async def test_a_poison_event_at_the_head_of_many_good_ones_holds_up_none_of_them(shop: Engine) -> None:
    handler = Handler()
    shop.bus.subscribe("*", handler, id="handler")
    poison, good = events(1, is_poison=True), events(GOOD)
    await shop.append_alike(poison + good)
    summary = await shop.redispatch()

    assert (summary.claimed, summary.done, summary.failed) == (GOOD + 1, GOOD, 1)
    assert set(handler.runs.values()) == {1}
    assert await states(shop) == {"done": GOOD, "open": 1}
    entry = await shop.entry(poison[0], "handler")
    assert (entry.state, entry.attempts) == ("pending", 1)


@pytest.mark.parametrize("attempts", [20, 1])
async def test_events_that_wait_or_are_dead_take_no_place_at_the_head_of_a_limited_run(
    shop: Engine, attempts: int
) -> None:
    handler = Handler()
    shop.bus.subscribe("*", handler, id="handler", retry=RetryPolicy(max_attempts=attempts))
    await shop.append_alike(events(10, is_poison=True) + events(20))
    first = await shop.redispatch(Selection(limit=10), now=False)
    second = await shop.redispatch(Selection(limit=10), now=False)
    third = await shop.redispatch(Selection(limit=10), now=False)

    runs = (first, second, third)
    assert [run.claimed for run in runs] == [10, 10, 10]
    assert (sum(run.failed + run.dead for run in runs), sum(run.done for run in runs)) == (10, 20)
    assert set(handler.runs.values()) == {1}
    assert await states(shop) == {"done": 20, "open" if attempts > 1 else "dead": 10}


async def test_a_storm_of_retries_that_fall_due_together_runs_each_once_and_turns_no_tight_loop(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept()  # by another test in this process
    handler, rounds, stop = Handler(), Rounds(monkeypatch), asyncio.Event()
    monkeypatch.setattr(
        logging.getLogger("craft_easy.core.events"), "disabled", True
    )  # otherwise pytest keeps the exceptions
    policy = RetryPolicy(delay=3600)
    shop.bus.subscribe("*", handler, id="handler", retry=policy)
    due = await shop.store.now() + timedelta(seconds=2)
    await shop.append_due(events(STORM, is_poison=True), due)
    began = steady()
    watching = asyncio.create_task(shop.redispatch(watch=True, stop=stop, concurrency=100))
    await handler.has_run(STORM)
    await rounds.begin()
    await rounds.begin()
    stop.set()
    summary = await watching

    assert set(handler.runs.values()) == {1}
    assert (summary.failed, summary.dead, summary.lost) == (STORM, 0, 0)
    assert rounds.count <= 2 * (steady() - began) + 2, "it polls more often than twice a second"
    for record in await shop.records():
        delivery = record["delivery"]
        [entry] = delivery["handlers"]
        [error] = entry["errors"]
        wait = policy.wait(1, spread(f"{record['event_id']}:handler", 1))
        assert (entry["attempts"], delivery["owner"], delivery["rev"]) == (1, None, 2)
        assert error["at"] >= due
        assert entry["due_at"] == delivery["due_at"] == error["at"] + wait
    assert len({record["delivery"]["due_at"] for record in await shop.records()}) > STORM / 2, (
        "the next attempts are spread"
    )
    assert kept() <= before, "nothing is kept of deliveries that have run"


def kept() -> int:
    """Return how many records and runs are in memory."""
    gc.collect()
    return sum(type(one) in (OwnedRecord, RecordRun) for one in gc.get_objects())  # isinstance follows dead proxies


class Rounds:
    """Counts the claim queries of a redispatch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._begun = asyncio.Event()
        unowned = Deliveries.unowned

        def counted(*args: Any, **options: Any) -> Any:
            self.count += 1
            self._begun.set()
            return unowned(*args, **options)

        monkeypatch.setattr(Deliveries, "unowned", counted)

    async def begin(self) -> None:
        """Return when the next attempt is due."""
        self._begun.clear()
        await asyncio.wait_for(self._begun.wait(), 60)


@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999_999])
def test_after_an_outage_of_five_hours_the_policy_has_attempts_left(luck: float) -> None:
    now, attempt = timedelta(0), 1
    while now < OUTAGE:
        now += DEFAULT_RETRY.wait(attempt, luck)
        attempt += 1
    assert attempt <= 11
    assert now < OUTAGE * 2, "it is delivered within a time of the order of the outage"
    while attempt < DEFAULT_RETRY.max_attempts:
        now += DEFAULT_RETRY.wait(attempt, luck)
        attempt += 1
    assert timedelta(days=2) < now < timedelta(days=3), "an outage may last over a weekend"


async def test_an_outage_of_five_hours_of_a_called_service_makes_no_delivery_dead(shop: Engine) -> None:
    passed = [timedelta(0)]

    async def call(_: DomainEvent) -> None:
        if passed[0] < OUTAGE:
            raise ConnectionError("no answer")

    shop.bus.subscribe("*", call, id="call")
    [event] = events(1)
    await shop.append(event)
    runs = 0
    while (await shop.redispatch(now=False)).done == 0:
        runs += 1
        left = await shop.entry(event, "call")
        assert (left.state, left.attempts) == ("pending", runs)
        assert left.due_at is not None
        assert (await shop.redispatch(now=False)).claimed == 0, "its back-off is honoured"
        passed[0] += left.due_at - left.errors[-1].at
        await shop.make_due()

    after = await shop.delivery(event)
    assert OUTAGE <= passed[0] < OUTAGE * 2
    assert (after.state, after.handlers[0].attempts) == ("done", runs + 1)
    assert runs + 1 < DEFAULT_RETRY.max_attempts
    assert [error.type for error in after.handlers[0].errors] == ["ConnectionError"] * 5
    assert [error.attempt for error in after.handlers[0].errors] == list(range(runs - 4, runs + 1))


async def test_an_outage_of_days_is_dead_after_the_last_attempt_and_not_before(shop: Engine) -> None:
    handler = Handler()
    shop.bus.subscribe("*", handler, id="handler")
    [event] = events(1, is_poison=True)
    await shop.append(event)
    passed = timedelta(0)
    while (summary := await shop.redispatch(now=False)).failed:
        left = await shop.entry(event, "handler")
        assert left.due_at is not None
        passed += left.due_at - left.errors[-1].at
        await shop.make_due()

    entry = await shop.entry(event, "handler")
    assert (summary.dead, entry.state, entry.attempts) == (1, "dead", 20)
    assert timedelta(days=2, hours=5) < passed < timedelta(days=2, hours=17)
    assert (await shop.redispatch(now=False)).claimed == (await shop.redispatch()).claimed == 0
    assert handler.runs[event.event_id] == 20
