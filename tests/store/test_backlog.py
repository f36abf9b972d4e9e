"""The backlog as gauges, on a real server."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events.operations import pauses
from craft_easy.core.events.operations.backlog import BacklogGauges, HandlerGauges, backlog
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.queries import backlog as queries
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.store.test_stats import LATER, MAIL, STOCK, handler, record


async def filled(store: EventStore, *records: dict[str, Any]) -> EventStore:
    await store.ensure_indexes()
    await (await store.collection()).insert_many(list(records))
    return store


async def test_every_unfinished_delivery_is_counted_once_with_what_it_waits_for(real_store: EventStore) -> None:
    now = await real_store.now()
    due_at = now - timedelta(seconds=90)
    owned = {"owner": "api-1:1:x", "due_at": now}
    await filled(
        real_store,
        record(1, 0, handler(STOCK), handler(MAIL)),
        record(2, 1, handler(STOCK, "pending", due_at=LATER), delivery={"due_at": LATER}),
        record(3, 2, handler(STOCK, "pending", due_at=due_at), handler(MAIL, "pending", due_at=LATER)),
        record(4, 3, handler(MAIL, "pending", due_at=LATER), handler(STOCK, "dead"), delivery=owned),
        record(5, 4, handler(MAIL, "dead"), handler(STOCK, "dead")),
    )
    found = await backlog(real_store)
    assert (found.open, found.owned, found.waiting, found.due, found.dead) == (3, 1, 1, 1, 3)
    assert found.handlers == {
        STOCK: HandlerGauges(open=2, owned=0, waiting=1, dead=2),
        MAIL: HandlerGauges(open=2, owned=1, waiting=1, dead=1),
    }
    assert (found.handlers[STOCK].due, found.handlers[MAIL].due) == (1, 0)
    assert 90 <= found.longest_due_s < 150
    assert found.oldest_s > 3600
    assert found.workers == {"alive": 0, "silent": 0, "fenced": 0, "gone": 1}
    assert not found.is_capped


async def test_a_log_without_a_backlog_has_zeros_and_its_workers(real_store: EventStore) -> None:
    await filled(real_store, record(1, 0, handler(STOCK)))
    await WorkerRegistry(real_store).register("api-1:1:x", lease=30)
    found = await backlog(real_store)
    assert found == BacklogGauges(at=found.at, workers={"alive": 1, "silent": 0, "fenced": 0, "gone": 0})


async def test_times_of_other_programs_that_are_no_times_are_left_out(real_store: EventStore) -> None:
    odd = record(1, 0, handler(STOCK, "pending", due_at="soon"), timestamp=1)
    future = record(2, 0, handler(STOCK, "pending", due_at=LATER), timestamp=datetime(2300, 1, 1, tzinfo=UTC))
    found = await backlog(await filled(real_store, odd, future))
    assert (found.open, found.oldest_s, found.longest_due_s) == (2, 0.0, 0.0)


async def test_records_of_other_programs_are_counted_as_far_as_they_go(real_store: EventStore) -> None:
    await filled(
        real_store,
        record(1, 0, delivery={"state": "open", "handlers": "shop"}),
        record(2, 0, delivery={"state": "open", "owner": 5, "handlers": [3, {"id": ["x"], "state": "pending"}]}),
        record(3, 0, handler(STOCK, "pending")),
    )
    found = await backlog(real_store)
    assert (found.open, found.owned, found.due, found.waiting) == (3, 0, 1, 2)
    assert found.handlers[STOCK] == HandlerGauges(open=1)
    assert len(found.handlers) == 2


async def test_the_deliveries_of_a_paused_handler_wait(real_store: EventStore) -> None:
    await filled(
        real_store,
        record(1, 0, handler(STOCK, "pending")),
        record(2, 1, handler(STOCK, "pending"), handler(MAIL, "pending", due_at=LATER)),
    )
    assert (await backlog(real_store)).due == 2
    await pauses.pause(real_store, STOCK, by="ann@db-1")
    await pauses.pause(real_store, "shop:other", by="ann@db-1")
    found = await backlog(real_store)
    assert (found.open, found.due, found.waiting, found.longest_due_s) == (2, 0, 2, 0)
    assert found.handlers[STOCK] == HandlerGauges(open=2, waiting=2, is_paused=True)
    assert found.handlers["shop:other"] == HandlerGauges(is_paused=True)
    assert not found.handlers[MAIL].is_paused
    await pauses.resume(real_store, STOCK)
    assert (await backlog(real_store)).due == 2


async def test_a_count_stops_at_a_bound_and_says_so(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_COUNTED", 2)
    monkeypatch.setattr("craft_easy.core.events.operations.backlog.MAX_COUNTED", 2)
    await filled(real_store, *(record(number, number, handler(STOCK, "pending")) for number in range(4)))
    found = await backlog(real_store)
    assert (found.open, found.is_capped) == (2, True)
