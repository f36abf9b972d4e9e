"""Connections are cut at the worst moment: the server has executed the request, and its reply never arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from craft_easy.core.events import DomainEvent, EventBus, current_delivery
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import LEAVING_S
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.errors import CommitUnknown, StoreUnavailable, TransactionsMissing, WrongDeployment
from craft_easy.core.events.model.retry import RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.redispatch.loop import ENDING_S
from craft_easy.core.events.store import EventStore, sessions
from tests.faults.application import (
    DEADLINE,
    SHORT_DEADLINE,
    SLACK_S,
    Gate,
    Ran,
    Recorder,
    application,
    assert_one_owner_at_a_time,
    deliver,
    delivery,
    events,
    fails,
    freed,
    history,
    states,
)
from tests.support import proxy as commands
from tests.support.proxy import FOR_EVER, Proxy
from tests.support.server import STANDALONE, Server


@pytest.fixture
async def bus(proxy: Proxy, database_name: str, ran: Ran) -> AsyncIterator[EventBus]:
    """An application behind the proxy, with one handler."""
    async with application(proxy.uri, database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        yield bus
        await proxy.heal()


@pytest.fixture
async def store(embedded_uri: str, database_name: str) -> AsyncIterator[EventStore]:
    """The same log, without the proxy."""
    async with EventStore(database_name, uri=embedded_uri) as store:
        yield store


# an insert


async def test_an_insert_whose_reply_is_lost_once_is_stored_once_and_its_handlers_run(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    cut = proxy.lose_replies(commands.insert)
    await bus.publish(event := events(1)[0])
    await bus.drain()
    assert (cut.met, ran.total) == (1, 1)
    assert (await delivery(store, event)).state == "done"
    assert await (await store.collection()).count_documents({}) == 1


async def test_an_insert_whose_reply_is_lost_for_good_is_refused_given_back_and_delivered_later(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    cut = proxy.lose_replies(commands.insert, FOR_EVER)
    bus.publisher.store.timeout = SHORT_DEADLINE
    with pytest.raises(StoreUnavailable):
        await bus.publish(event := events(1)[0])
    assert (cut.met > 1, ran.total) == (True, 0)
    bus.publisher.store.timeout = DEADLINE
    cut.lift()
    await becomes_free(store, event)
    assert (await delivery(store, event)).rev == 1, "it was stored with its owner, and given back"
    await deliver(bus)
    assert ran.total == 1
    assert (await delivery(store, event)).state == "done"


async def test_an_event_is_published_again_after_a_lost_reply_and_that_is_a_no_op(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    cut = proxy.lose_replies(commands.insert, FOR_EVER)
    bus.publisher.store.timeout = SHORT_DEADLINE
    with pytest.raises(StoreUnavailable):
        await bus.publish(event := events(1)[0])
    bus.publisher.store.timeout = DEADLINE
    cut.lift()
    await bus.publish(event)
    await bus.drain()
    assert ran.total == 0, "a redispatch finishes stored events"
    await becomes_free(store, event)
    await deliver(bus)
    assert ran.total == 1
    assert await (await store.collection()).count_documents({}) == 1


async def test_an_insert_that_never_arrived_is_sent_again(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    cut = proxy.lose_requests(commands.insert)
    await bus.publish(event := events(1)[0])
    await bus.drain()
    assert (cut.met, ran.total) == (1, 1)
    assert (await delivery(store, event)).state == "done"


async def becomes_free(store: EventStore, event: DomainEvent) -> None:
    """Wait until the record of an event is unowned."""
    async with asyncio.timeout(60):
        while (await delivery(store, event)).owner is not None:  # noqa: ASYNC110 - each poll is a round trip
            await asyncio.sleep(0)


# a claim, outcomes


async def test_a_claim_whose_reply_is_lost_is_given_back_and_run_by_the_same_worker(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    await store.append_many(published := events(20), handlers=["a"])
    cut = proxy.lose_replies(commands.claim)
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert cut.met == 1
    assert len(recorder.lost_at) == 1
    assert (summary.claimed, summary.done, summary.owned) == (20, 20, 0)
    assert set(ran.runs.values()) == {1}
    assert await states(store, published) == {("done", None): 20}
    assert {(await delivery(store, event)).takeovers for event in published[:3]} == {0}


async def test_outcomes_whose_reply_is_lost_are_counted_once(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    await store.append_many(published := events(20), handlers=["a", "b"])
    bus.subscribe("*", ran.handler("b", fails), id="b")
    cut = proxy.lose_replies(commands.outcome, times=3)
    recorder = Recorder()
    summary = await deliver(bus, observer=recorder)
    assert cut.met == 3
    assert (summary.done, summary.failed, len(recorder.reports)) == (20, 20, 40)
    for event in published:
        left = await delivery(store, event)
        assert [(one.state, one.attempts, len(one.errors)) for one in left.handlers] == [
            ("done", 1, 0),
            ("pending", 1, 1),
        ]
    assert set(ran.runs.values()) == {1}


# a worker cut off


async def test_the_late_success_of_a_worker_that_was_cut_off_counts(
    bus: EventBus, store: EventStore, proxy: Proxy, embedded_uri: str, database_name: str
) -> None:
    gate = Gate()
    bus.subscribe("late", gate, id="late")
    async with history(store) as changes, application(embedded_uri, database_name) as successor:
        successor.subscribe("late", fails, id="late", retry=RetryPolicy(max_attempts=1))
        event, publishing = await cut_off_in_a_handler(bus, gate, proxy)
        summary = await deliver(successor)
        assert (summary.taken_over, summary.dead) == (1, 1)
        await proxy.accept()
        gate.opened.set()
        await publishing
        await bus.drain()
        left = await delivery(store, event)
        assert [(one.state, one.attempts) for one in left.handlers if one.id == "late"] == [("done", 2)]
        assert left.takeovers == 1
        assert_one_owner_at_a_time(await changes.steps())


async def test_the_first_success_is_kept_if_two_workers_ran_one_delivery(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran, embedded_uri: str, database_name: str
) -> None:
    gate = Gate()
    bus.subscribe("late", gate, id="late")
    async with history(store) as changes, application(embedded_uri, database_name) as successor:
        successor.subscribe("late", ran.handler("late"), id="late")
        successor.subscribe("late", ran.handler("a"), id="a")
        event, publishing = await cut_off_in_a_handler(bus, gate, proxy)
        assert (await deliver(successor)).done == 2
        first = await delivery(store, event)
        await proxy.accept()
        gate.opened.set()
        await publishing
        await bus.drain()
        assert await delivery(store, event) == first
        assert_one_owner_at_a_time(await changes.steps())


async def test_the_late_failure_of_a_worker_that_was_cut_off_does_not_count(
    bus: EventBus, store: EventStore, proxy: Proxy, embedded_uri: str, database_name: str
) -> None:
    gate = Gate(ValueError("too late"))
    bus.subscribe("late", gate, id="late")
    async with application(embedded_uri, database_name) as successor:
        event, publishing = await cut_off_in_a_handler(bus, gate, proxy)
        record_owner = successor.publisher.record_owner()
        await record_owner.worker.ready()
        assert await freed(TakeOver(record_owner)) == 1
        await proxy.accept()
        gate.opened.set()
        await publishing
        await bus.drain()
        left = await delivery(store, event)
        assert [(one.state, one.attempts, one.errors) for one in left.handlers] == [("done", 1, ()), ("pending", 0, ())]


async def cut_off_in_a_handler(bus: EventBus, gate: Gate, proxy: Proxy) -> tuple[DomainEvent, asyncio.Task[None]]:
    """Publish, and cut the publisher off from the server while its handler runs."""
    event = DomainEvent(event_type="late")
    publishing = asyncio.create_task(bus.publish(event))
    await gate.entered.wait()
    await proxy.refuse()
    return event, publishing


async def test_workers_that_are_cut_off_from_each_other_share_the_log_and_nothing_twice(
    proxy: Proxy, store: EventStore, embedded_uri: str, database_name: str, ran: Ran
) -> None:
    """Workers meet only in the log: one whose connection is cut repeatedly does not disturb the others."""
    await store.append_many(published := events(200), handlers=["a"])
    async with application(proxy.uri, database_name) as one, application(embedded_uri, database_name) as other:
        one.subscribe("*", ran.handler("a"), id="a")
        other.subscribe("*", ran.handler("a"), id="a")
        proxy.lose_replies(commands.claim, times=2)
        proxy.lose_replies(commands.outcome, times=2)
        summaries = await asyncio.gather(deliver(one, concurrency=3), deliver(other, concurrency=3))
    assert await states(store, published) == {("done", None): 200}
    assert set(ran.runs.values()) == {1}
    assert sum(summary.done for summary in summaries) == 200


# a transaction


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """The application's own client, behind the proxy."""
    async with AsyncMongoClient[dict[str, Any]](proxy.uri) as client:
        yield client


async def test_a_commit_whose_replies_are_lost_is_repeated_until_one_arrives(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran, client: AsyncMongoClient[dict[str, Any]]
) -> None:
    cut = proxy.lose_replies(commands.commit, times=4)
    orders = client[store.database_name]["orders"]
    async with bus.transaction(client) as tx:
        await orders.insert_one({"_id": 1}, session=tx.session)
        await tx.publish(event := events(1)[0])
    await bus.drain()
    assert cut.met == 4
    assert (ran.total, await orders.count_documents({})) == (1, 1)
    assert (await delivery(store, event)).state == "done"
    assert await (await store.collection()).count_documents({}) == 1


@pytest.mark.parametrize("has_landed", [True, False])
async def test_a_redispatch_decides_after_an_unknown_commit(
    has_landed: bool,
    bus: EventBus,
    store: EventStore,
    proxy: Proxy,
    ran: Ran,
    client: AsyncMongoClient[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "COMMIT_S", 0.5)
    monkeypatch.setattr(sessions, "TRY_S", 0.5)
    # the embedded server blocks other writes to a log while a transaction that stores its first array is open
    await store.append(events(1)[0], handlers=["of another service"])
    lose = proxy.lose_replies if has_landed else proxy.lose_requests
    cut = lose(commands.commit, FOR_EVER)
    with pytest.raises(CommitUnknown):
        async with bus.transaction(client) as tx:
            await tx.publish(events(1)[0])
    assert ran.total == 0
    cut.lift()
    summary = await deliver(bus)
    assert (summary.claimed, ran.total) == (has_landed, has_landed)
    assert await (await store.collection()).count_documents({}) == 1 + has_landed


async def test_a_handler_whose_commit_lost_its_reply_has_written_once(
    bus: EventBus, store: EventStore, proxy: Proxy, client: AsyncMongoClient[dict[str, Any]]
) -> None:
    stock = client[store.database_name]["stock"]

    async def book(_: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        async with current.transaction(client) as session:
            await stock.update_one({"_id": 1}, {"$inc": {"booked": 1}}, session=session)

    await stock.insert_one({"_id": 1, "booked": 0})
    bus.subscribe("*", book, id="book")
    cut = proxy.lose_replies(commands.commit, times=3)
    await bus.publish(event := events(1)[0])
    await bus.drain()
    await deliver(bus)
    assert cut.met == 3
    assert await stock.find_one({}) == {"_id": 1, "booked": 1}
    assert [(one.state, one.attempts) for one in (await delivery(store, event)).handlers] == [("done", 1)] * 2


async def order(bus: EventBus, client: AsyncMongoClient[dict[str, Any]], orders: Any) -> None:
    """Write to a collection and publish, in one transaction."""
    async with bus.transaction(client) as tx:
        await orders.insert_one({"_id": 1}, session=tx.session)
        await tx.publish(events(1)[0])


async def test_a_standalone_server_that_takes_transactions_and_rolls_nothing_back_is_refused(
    tmp_path: Path, database_name: str
) -> None:
    with Server(tmp_path / "standalone", STANDALONE) as server:
        async with application(server.uri, database_name) as bus, AsyncMongoClient[Any](server.uri) as client:
            orders = client[database_name]["orders"]
            with pytest.raises(TransactionsMissing):
                await order(bus, client, orders)

            async def book(_: DomainEvent) -> None:
                current = current_delivery()
                assert current is not None
                async with current.transaction(client) as session:
                    await orders.insert_one({"_id": 2}, session=session)

            bus.subscribe("*", book, id="book")
            await bus.publish(event := events(1)[0])
            await bus.drain()
            [left] = (await delivery(bus.publisher.store, event)).handlers
            assert (left.state, left.attempts, left.errors[0].type) == ("pending", 1, "TransactionsMissing")
            assert await orders.count_documents({}) == 0
            assert await (await bus.publisher.store.collection()).count_documents({}) == 1


async def test_the_client_of_another_deployment_is_refused_before_anything_is_written(
    server: Server, bus: EventBus, store: EventStore
) -> None:
    async with AsyncMongoClient[Any](server.uri) as client:
        orders = client[store.database_name]["orders"]
        with pytest.raises(WrongDeployment):
            await order(bus, client, orders)

        async def book(_: DomainEvent) -> None:
            current = current_delivery()
            assert current is not None
            async with current.transaction(client) as session:
                await orders.insert_one({"_id": 2}, session=session)

        bus.subscribe("*", book, id="book")
        await bus.publish(event := events(1)[0])
        await bus.drain()
        book_left = (await delivery(store, event)).handlers[1]
        assert (book_left.state, book_left.errors[0].type) == ("pending", "WrongDeployment")
        assert await orders.count_documents({}) == 0


# a dead connection


async def test_every_call_ends_in_time_on_a_silent_connection(
    bus: EventBus, store: EventStore, proxy: Proxy, ran: Ran
) -> None:
    await bus.publish(events(1)[0])
    proxy.freeze()
    bus.publisher.store.timeout = SHORT_DEADLINE
    began = steady()
    with pytest.raises(StoreUnavailable):
        await bus.publish(events(1)[0])
    assert steady() - began < SHORT_DEADLINE + SLACK_S
    assert ran.total == 1


async def test_a_watch_at_rest_that_is_stopped_while_the_log_is_away_ends_within_seconds(
    bus: EventBus, proxy: Proxy
) -> None:
    stop = asyncio.Event()
    watching = asyncio.create_task(redispatch(bus, Selection(), RedispatchOptions(watch=True), stop=stop))
    await asyncio.sleep(1)  # a round or two
    proxy.freeze()
    began = steady()
    stop.set()
    summary = await watching
    await bus.aclose()
    assert steady() - began < ENDING_S + LEAVING_S + 3
    assert summary.uncounted == "the log cannot be reached"
