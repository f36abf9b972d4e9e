"""The server answers with transient errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from craft_easy.core.events import EventBus
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from tests.faults.application import LEASE, Ran, application, deliver, delivery, events, fails, passes, states
from tests.support.server import Server

WATCHFUL: Final = "heartbeatFrequencyMS=500"
"""The interval in which a driver looks for its primary; one that has stepped down says so at once."""
NOT_PRIMARY: Final[dict[str, Any]] = {"errorCode": 10107}
CURSOR_LOST: Final[dict[str, Any]] = {"errorCode": 43}
TIME_IS_UP: Final[dict[str, Any]] = {"errorCode": 50}
"""What MongoDB answers where the pages of one cursor have taken longer than `maxTimeMS` together."""
NOT_REPLICATED: Final[dict[str, Any]] = {
    "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}
}


@pytest.fixture
async def bus(server: Server, database_name: str, ran: Ran) -> AsyncIterator[EventBus]:
    """An application with a handler that succeeds and one that fails."""
    async with application(f"{server.uri}&{WATCHFUL}", database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        bus.subscribe("*", ran.handler("b", fails), id="b")
        yield bus


@pytest.fixture
async def store(bus: EventBus) -> EventStore:
    """Its log, with its collection and its worker."""
    store = bus.publisher.store
    await store.append(events(1)[0])
    await bus.publisher.record_owner().worker.ready()
    return store


@pytest.mark.parametrize("times", [1, 3])
async def test_an_insert_without_a_primary_is_sent_again(
    times: int, bus: EventBus, store: EventStore, server: Server, ran: Ran
) -> None:
    server.fail("insert", times=times, **NOT_PRIMARY)
    await bus.publish(event := events(1)[0])
    await bus.drain()
    assert ran.runs == {("a", event.event_id): 1, ("b", event.event_id): 1}
    assert [one.attempts for one in (await delivery(store, event)).handlers] == [1, 1]


async def test_an_insert_that_the_majority_did_not_acknowledge_is_refused_and_delivered_later(
    bus: EventBus, store: EventStore, server: Server, ran: Ran
) -> None:
    server.fail("insert", **NOT_REPLICATED)
    with pytest.raises(StoreUnavailable):
        await bus.publish(event := events(1)[0])
    assert ran.total == 0
    await bus.publish(event)
    await bus.drain()
    assert ran.total == 0, "it is stored, and a redispatch finishes it"
    await deliver(bus)
    assert ran.total == 2
    assert await (await store.collection()).count_documents({"event_id": event.event_id}) == 1


@pytest.mark.parametrize(("answer", "times"), [(NOT_PRIMARY, 1), (NOT_PRIMARY, 3), (NOT_REPLICATED, 2)])
async def test_claims_and_outcomes_with_a_transient_error_count_once(
    answer: dict[str, Any], times: int, bus: EventBus, store: EventStore, server: Server, ran: Ran
) -> None:
    await store.append_many(published := events(30), handlers=["a", "b"])
    server.fail("update", times=times, **answer)
    summary = await deliver(bus)
    assert (summary.done, summary.failed) == (30, 30)
    assert set(ran.runs.values()) == {1}
    for event in published:
        left = await delivery(store, event)
        assert [(one.state, one.attempts, len(one.errors)) for one in left.handlers] == [
            ("done", 1, 0),
            ("pending", 1, 1),
        ]
    assert await states(store, published) == {("open", None): 30}


async def test_heartbeats_without_a_primary_do_not_lose_the_lease(
    bus: EventBus, store: EventStore, server: Server, ran: Ran
) -> None:
    worker = bus.publisher.record_owner().worker
    owner = worker.owner
    server.fail("findAndModify", times=3, **NOT_PRIMARY)
    await passes(2 * LEASE)
    async with asyncio.timeout(60):
        assert await worker.ready() == owner
    await bus.publish(event := events(1)[0])
    assert ("a", event.event_id) in ran.runs


@pytest.mark.parametrize("answer", [CURSOR_LOST, TIME_IS_UP])
async def test_a_redispatch_whose_cursor_is_lost_lists_again(
    answer: dict[str, Any], bus: EventBus, store: EventStore, server: Server, ran: Ran
) -> None:
    await store.append_many(published := events(250), handlers=["a"])
    server.fail("getMore", **answer)
    summary = await deliver(bus)
    assert (summary.claimed, summary.done) == (250, 250)
    assert set(ran.runs.values()) == {1}
    assert await states(store, published) == {("done", None): 250}


@pytest.mark.parametrize("answer", [CURSOR_LOST, TIME_IS_UP])
async def test_a_replay_whose_cursor_is_lost_reads_on_where_it_ended(
    answer: dict[str, Any], store: EventStore, server: Server
) -> None:
    await store.append_many(events(300))
    server.fail("getMore", **answer)
    found = [record["event_id"] async for page in store.batches(Selection(), size=100) for record in page]
    assert found == [event.event_id for event in await store.replay()]
    assert len(found) == 301
