"""A watch over handlers that hang, fail or are slow, beside one that is quick."""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.clock import steady
from craft_easy.core.events.store.deliveries import LISTING_PAGE, Deliveries, PendingChange
from tests.faults.engine import Engine, engine
from tests.support.conditions import becomes

FEW = 300
MANY = 600
QUICK_S = 30.0
"""Seconds from an event's insert to its handler that the quick handler may take, at the median.

A busy machine and the embedded server, which sorts a backlog for each listing, take all of it. Before slots were
shared, the first quick event waited for the 15 minutes of a handler that hangs.
"""


@pytest.fixture
async def shop(embedded_uri: str, database_name: str) -> AsyncIterator[Engine]:
    """A bus and its log."""
    async with engine(embedded_uri, database_name) as opened:
        yield opened


class Quick:
    """A handler that returns at once, and the seconds from the insert of each event to its run."""

    def __init__(self) -> None:
        self.inserted: dict[str, float] = {}
        self.waited: list[float] = []

    async def __call__(self, event: DomainEvent) -> None:
        self.waited.append(steady() - self.inserted[event.event_id])

    async def insert(self, shop: Engine, number: int, *, pause: float) -> None:
        """Insert events one by one, and return when all have been handled."""
        for _ in range(number):
            event = DomainEvent(event_type="quick.made", tenant_id="other")
            self.inserted[event.event_id] = steady()
            await shop.append(event)
            await asyncio.sleep(pause)
        await becomes(lambda: len(self.waited) == number, seconds=180)


@asynccontextmanager
async def watching(shop: Engine) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(shop.redispatch(watch=True, now=False, stop=stop, grace=0))
    try:
        yield
    finally:
        stop.set()
        await running


async def hang(_: DomainEvent) -> None:
    await asyncio.Event().wait()


async def fail(_: DomainEvent) -> None:
    raise ConnectionError("mail.example is down")


async def fail_slowly(_: DomainEvent) -> None:
    await asyncio.sleep(2)
    raise ConnectionError("mail.example is down")


async def backlog(shop: Engine, event_type: str, number: int) -> None:
    at = await shop.store.now() - timedelta(hours=1)
    for first in range(0, number, LISTING_PAGE):
        events = [DomainEvent(event_type=event_type) for _ in range(first, min(number, first + LISTING_PAGE))]
        await shop.append_due(events, at)


async def given_back(shop: Engine, event_type: str) -> Sequence[Any]:
    """Return the records once nobody owns them: what a slow server did not free in time, the next heartbeat does."""
    deadline = steady() + 60
    while True:
        records = await shop.records({"event_type": event_type})
        if {record["delivery"]["owner"] for record in records} == {None}:
            return records
        assert steady() < deadline, "a record is still owned"
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
async def test_a_quick_handler_does_not_wait_for_one_that_hangs_and_one_that_always_fails(
    shop: Engine, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)
    quick = Quick()
    shop.bus.subscribe("hanging.*", hang, id="hanging")
    shop.bus.subscribe("failing.*", fail, id="failing")
    shop.bus.subscribe("quick.*", quick, id="quick")
    await backlog(shop, "hanging.made", number)
    await backlog(shop, "failing.made", number)
    async with watching(shop):
        await quick.insert(shop, 100, pause=0.02)
    assert statistics.median(quick.waited) < QUICK_S
    hanging = await given_back(shop, "hanging.made")
    assert {record["delivery"]["handlers"][0]["attempts"] for record in hanging} == {0}


async def test_the_outcomes_of_a_handler_that_fails_do_not_fill_the_writer(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)
    change, written = Deliveries.change, list[int]()

    async def change_slowly(self: Deliveries, changes: Sequence[PendingChange], **values: Any) -> None:
        written.append(len(changes))
        await asyncio.sleep(0.02 * len(changes))
        await change(self, changes, **values)

    monkeypatch.setattr(Deliveries, "change", change_slowly)
    shop.bus.subscribe("failing.*", fail, id="failing")
    shop.bus.subscribe("quick.*", lambda _: None, id="quick")
    await backlog(shop, "failing.made", 400)
    async with watching(shop):
        await becomes(lambda: sum(written) >= 400, seconds=60)
    assert statistics.median(written[len(written) // 2 :]) <= 50


async def test_due_deliveries_of_a_slow_handler_that_fails_do_not_keep_an_event_of_another_tenant_waiting(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("craft_easy.core.events"), "disabled", True)
    quick = Quick()
    shop.bus.subscribe("mail.*", fail_slowly, id="mail")
    shop.bus.subscribe("quick.*", quick, id="quick")
    await backlog(shop, "mail.due", 1_000)
    async with watching(shop):
        await becomes(lambda: shop.bus.publisher.record_owner().worker.running_handlers.longest)
        await quick.insert(shop, 10, pause=0.3)
    assert statistics.median(quick.waited) < QUICK_S


async def test_a_record_of_a_slow_and_a_quick_handler_is_finished_by_both(shop: Engine) -> None:
    quick, end, ran = Quick(), asyncio.Event(), []

    async def slow(event: DomainEvent) -> None:
        await end.wait()
        ran.append(event.event_id)

    shop.bus.subscribe("quick.*", slow, id="slow", background=True)
    shop.bus.subscribe("quick.*", quick, id="quick", background=True)
    async with watching(shop):
        await quick.insert(shop, 40, pause=0)
        assert not ran
        end.set()
        await becomes(lambda: len(ran) == 40, seconds=180)
    assert {record["delivery"]["state"] for record in await shop.records()} == {"done"}
    assert sorted(ran) == sorted(quick.inserted)


async def test_a_suspect_that_waits_for_a_slow_delivery_keeps_no_quick_event_waiting(shop: Engine) -> None:
    quick, end, ran = Quick(), asyncio.Event(), []

    async def slow(_: DomainEvent) -> None:
        await end.wait()

    async def alone(_: DomainEvent) -> None:
        ran.append(end.is_set())

    shop.bus.subscribe("slow.*", slow, id="slow")
    shop.bus.subscribe("suspect.*", alone, id="suspect")
    shop.bus.subscribe("quick.*", quick, id="quick")
    await shop.append(DomainEvent(event_type="slow.made"))
    async with watching(shop):
        await becomes(lambda: bool(shop.bus.publisher.record_owner().worker.running_handlers.longest_running(1)))
        await shop.append(DomainEvent(event_type="suspect.made"))
        collection = await shop.store.collection()
        await collection.update_one({"event_type": "suspect.made"}, {"$set": {"delivery.takeovers": 2}})
        await quick.insert(shop, 20, pause=0.2)
        assert ran == [], "a suspect runs alone"
        end.set()
        await becomes(lambda: ran == [True], seconds=30)
    assert statistics.median(quick.waited) < QUICK_S
