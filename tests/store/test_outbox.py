"""Events in a transaction of the caller's own: data and event are both stored, or neither, on either driver."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, PyMongoError

from craft_easy.core.events import (
    CommitUnknown,
    DeliveryOver,
    DomainEvent,
    EventBus,
    EventConflict,
    WrongDeployment,
    current_delivery,
)
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore, drivers, sessions
from craft_easy.core.events.store.deliveries import Deliveries, Tracked
from craft_easy.core.events.store.documents import record_id
from tests.support.deliveries import delivery_of


@pytest.fixture
async def bus(real_store: EventStore) -> AsyncIterator[EventBus]:
    async with EventBus() as bus:
        bus.configure_store(real_store, lease=3)
        yield bus


@pytest.fixture
def client(real_database: Any) -> Any:
    return real_database.client


@pytest.fixture
def payments(real_database: Any) -> Any:
    return real_database["payments"]


def payment(number: int = 1) -> DomainEvent:
    return DomainEvent(event_type="payment.completed", payload={"number": number})


async def stored(bus: EventBus, event: DomainEvent) -> Tracked | None:
    found = await Deliveries(bus.publisher.store).read([record_id(event.event_id)])
    return next(iter(found.values()), None)


async def test_a_commit_stores_both_and_then_runs_the_handlers(bus: EventBus, client: Any, payments: Any) -> None:
    ran: list[tuple[int, int]] = []

    async def receipt(event: DomainEvent) -> None:
        ran.append((event.payload["number"], await payments.count_documents({})))

    bus.subscribe("payment.*", receipt, id="receipt")
    async with bus.transaction(client) as tx:
        await payments.insert_one({"_id": 1}, session=tx.session)
        await tx.publish(event := payment())
        assert await stored(bus, event) is None, "it is not visible before the commit"
        assert ran == []
    assert ran == [(1, 1)]
    await bus.drain()
    assert (await delivery_of(bus.publisher.store, event)).state == "done"


async def test_a_rollback_leaves_no_event_and_runs_no_handler(bus: EventBus, client: Any, payments: Any) -> None:
    ran: list[DomainEvent] = []
    bus.subscribe("payment.*", ran.append, id="receipt")
    event = payment()

    async def pay() -> None:
        async with bus.transaction(client) as tx:
            await payments.insert_one({"_id": 1}, session=tx.session)
            await tx.publish(event)
            raise ValueError("no money")

    with pytest.raises(ValueError, match="no money"):
        await pay()
    assert ran == []
    assert await stored(bus, event) is None
    assert await payments.count_documents({}) == 0


async def test_before_it_is_claimed_it_is_unowned_and_due_in_a_minute(
    bus: EventBus, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any, **__: Any) -> Any:
        raise drivers_gone

    drivers_gone = CommitUnknown("the process dies here")
    bus.subscribe("payment.*", lambda event: None, id="receipt")
    monkeypatch.setattr(bus.publisher.record_owner(), "claim", dies)
    async with bus.transaction(client) as tx:
        await tx.publish(event := payment())
    left = await delivery_of(bus.publisher.store, event)
    now = await bus.publisher.store.now()
    assert (left.state, left.owner, left.claimed_at, left.takeovers) == ("open", None, None, 0)
    assert left.due_at is not None
    assert now < left.due_at <= now + timedelta(seconds=61)
    monkeypatch.undo()
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1


async def test_a_commit_whose_reply_is_lost_is_repeated(
    bus: EventBus, client: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [AutoReconnect("gone"), AutoReconnect("gone")]
    for error in lost:
        error._add_error_label("UnknownTransactionCommitResult")
    start = drivers.start_session

    async def forgetful(client: Any) -> Any:
        session = await start(client)
        commit = session.commit_transaction

        async def commits_and_loses_the_reply() -> None:
            await commit()
            if lost:
                raise lost.pop()

        class Session:
            def __getattr__(self, name: str) -> Any:
                return commits_and_loses_the_reply if name == "commit_transaction" else getattr(session, name)

        sessions_made.append(session)
        return Session()

    sessions_made: list[Any] = []
    ran: list[DomainEvent] = []
    bus.subscribe("payment.*", ran.append, id="receipt")
    monkeypatch.setattr(drivers, "start_session", forgetful)
    monkeypatch.setattr(sessions, "PAUSE_S", 0)
    async with bus.transaction(client) as tx:
        await payments.insert_one({"_id": 1}, session=sessions_made[0])
        tx.session = sessions_made[0]
        await tx.publish(payment())
    assert (len(ran), lost) == (1, [])


async def test_a_commit_that_stays_unknown_runs_no_handler_and_is_left_to_a_redispatch(
    bus: EventBus, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = drivers.start_session

    async def forgetful(client: Any) -> Any:
        session = await start(client)
        commit = session.commit_transaction

        class Session:
            def __getattr__(self, name: str) -> Any:
                return getattr(session, name)

            async def commit_transaction(self) -> None:
                await commit()
                error = AutoReconnect("gone")
                error._add_error_label("UnknownTransactionCommitResult")
                raise error

        made.append(session)
        return Session()

    made: list[Any] = []
    ran: list[DomainEvent] = []
    bus.subscribe("payment.*", ran.append, id="receipt")
    monkeypatch.setattr(drivers, "start_session", forgetful)
    monkeypatch.setattr(sessions, "COMMIT_S", 0)
    event = payment()

    async def pay() -> None:
        async with bus.transaction(client) as tx:
            tx.session = made[0]
            await tx.publish(event)

    with pytest.raises(CommitUnknown):
        await pay()
    assert ran == []
    assert await stored(bus, event) is not None
    monkeypatch.undo()
    assert (await redispatch(bus, Selection(), RedispatchOptions(now=True, wait=False))).done == 1
    assert len(ran) == 1


async def test_an_event_that_is_there_already_is_a_no_op_and_another_a_conflict(bus: EventBus, client: Any) -> None:
    ran: list[DomainEvent] = []
    bus.subscribe("payment.*", ran.append, id="receipt")
    await bus.publish(event := payment())
    async with bus.transaction(client) as tx:
        await tx.publish(event)
        await tx.publish(other := payment(2))
    assert [one.event_id for one in ran] == [event.event_id, other.event_id]
    with pytest.raises(EventConflict):
        async with bus.transaction(client) as tx:
            await tx.publish(DomainEvent(event_type="payment.completed", event_id=event.event_id))


async def test_a_client_that_does_not_reach_the_log_is_refused_before_anything_is_written(
    bus: EventBus, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.subscribe("payment.*", lambda event: None, id="receipt")
    await bus.publish(payment())
    monkeypatch.setattr(bus.publisher.record_owner().worker, "owner", "elsewhere:1:never-registered")
    with pytest.raises(WrongDeployment, match="does not hold this log"):
        async with bus.transaction(client):
            pytest.fail("the block was entered")


async def test_a_client_of_a_synchronous_driver_is_refused(bus: EventBus) -> None:
    with pytest.raises(TypeError, match="AsyncMongoClient"):
        async with bus.transaction(object()):
            pytest.fail("the block was entered")


async def test_a_bus_without_a_store_has_no_transactions(client: Any) -> None:
    with pytest.raises(RuntimeError, match="no store"):
        EventBus().transaction(client)


# current_delivery().transaction


async def test_a_handlers_writes_and_its_done_are_committed_together(bus: EventBus, client: Any, payments: Any) -> None:
    seen: list[Any] = []

    async def book(event: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        async with current.transaction(client) as session:
            await payments.insert_one({"booked": event.event_id}, session=session)
        seen.append(await delivery_of(bus.publisher.store, event))

    bus.subscribe("payment.*", book, id="book")
    await bus.publish(event := payment())
    await bus.drain()
    assert seen[0].handlers[0].state == "done", "stored by the commit, before the handler returned"
    after = await delivery_of(bus.publisher.store, event)
    assert (after.state, after.handlers[0].attempts, after.owner) == ("done", 1, None)
    assert await payments.count_documents({}) == 1


async def test_a_handler_that_raises_in_its_transaction_keeps_nothing(
    bus: EventBus, client: Any, payments: Any
) -> None:
    async def book(event: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        async with current.transaction(client) as session:
            await payments.insert_one({"booked": event.event_id}, session=session)
            raise ValueError("no")

    bus.subscribe("payment.*", book, id="book")
    await bus.publish(event := payment())
    await bus.drain()
    after = await delivery_of(bus.publisher.store, event)
    assert (after.state, after.handlers[0].attempts) == ("open", 1)
    assert await payments.count_documents({}) == 0


async def test_two_workers_inside_the_same_delivery_commit_once(bus: EventBus, client: Any, payments: Any) -> None:
    errors: list[BaseException] = []
    is_first = True

    async def book(event: DomainEvent) -> None:
        nonlocal is_first
        current = current_delivery()
        assert current is not None
        if is_first:
            is_first = False
            await asyncio.create_task(taken_over_and_run_again(event), context=Context())
        try:
            async with current.transaction(client) as session:
                await payments.insert_one({"booked": event.event_id}, session=session)
        except (DeliveryOver, PyMongoError) as error:
            errors.append(error)
            raise

    async def taken_over_and_run_again(event: DomainEvent) -> None:
        free = {"$set": {"delivery.owner": None, "delivery.claimed_at": None}, "$inc": {"delivery.rev": 1}}
        await (await bus.publisher.store.collection()).update_one({"_id": record_id(event.event_id)}, free)
        async with EventBus() as other:
            other.subscribe("payment.*", book, id="book")
            other.configure_store(bus.publisher.store, lease=3)
            assert (await redispatch(other, Selection(), RedispatchOptions(now=True, wait=False))).done == 1

    bus.subscribe("payment.*", book, id="book")
    await bus.publish(event := payment())
    await bus.drain()
    assert await payments.count_documents({}) == 1
    assert [type(error) for error in errors] == [DeliveryOver]
    after = await delivery_of(bus.publisher.store, event)
    assert (after.state, after.handlers[0].attempts) == ("done", 1)


async def test_nothing_else_is_written_to_the_record_while_the_transaction_is_open(
    bus: EventBus, client: Any, payments: Any
) -> None:
    async def quick(_: DomainEvent) -> None:
        return

    async def book(event: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        async with current.transaction(client) as session:
            await payments.insert_one({"booked": event.event_id}, session=session)
            await bus.publish(DomainEvent(event_type="receipt.sent"))
            for _ in range(3):
                await (
                    bus.publisher.record_owner().worker.confirm()
                )  # the outcome of `quick` would have been written by now

    bus.subscribe("payment.*", quick, id="quick")
    bus.subscribe("payment.*", book, id="book")
    await bus.publish(event := payment())
    await bus.drain()
    after = await delivery_of(bus.publisher.store, event)
    assert (after.state, [one.attempts for one in after.handlers]) == ("done", [1, 1])


async def test_without_a_store_it_is_a_plain_transaction(client: Any, payments: Any) -> None:
    async def book(event: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        async with current.transaction(client) as session:
            await payments.insert_one({"booked": event.event_id}, session=session)

    bus = EventBus()
    bus.subscribe("payment.*", book, id="book")
    await bus.publish(payment())
    assert await payments.count_documents({}) == 1


async def test_a_commit_is_unknown_if_the_server_restarted_before_it_was_on_disk(
    bus: EventBus, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[DomainEvent] = []
    bus.subscribe("payment.*", ran.append, id="receipt")
    before = await client.admin.command("hello")
    if before.get("setName") != drivers.EMBEDDED_SET:
        return  # MongoDB acknowledges it after it is on disk
    await bus.publish(payment())
    flush = sessions.Flush(client, {**before, "topologyVersion": {"processId": "another", "counter": 0}}, "me")

    async def check(*_: Any) -> sessions.Flush:
        return flush

    async def pay() -> None:
        async with bus.transaction(client) as tx:
            await tx.publish(payment(2))

    monkeypatch.setattr("craft_easy.core.events.engine.outbox.check", check)
    with pytest.raises(CommitUnknown, match="restarted"):
        await pay()
    assert len(ran) == 1
