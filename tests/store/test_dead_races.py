"""An operator's retry or discard at the same time as a worker, a redispatch or another operator."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.model.delivery import Ended, finish
from craft_easy.core.events.model.retry import Outcome, OutcomeKind
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.dead import Choice
from craft_easy.core.events.redispatch import redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.documents import record_id
from tests.store.graveyard import DIED, event, failed, numbers, states, store_with
from tests.support.deliveries import delivery_of
from tests.support.events import START

# ------------------------------------------------------------------ with a busy worker


def success(handler: str, owner: str = "busy:1:x") -> Any:
    outcome = Ended(Outcome(handler, OutcomeKind.SUCCEEDED, attempt=21), DIED, handler)
    return partial(finish, ended=[outcome], owner=owner, key="e", at=DIED, release=True)


def failure(handler: str, attempt: int, owner: str = "busy:1:x") -> Any:
    outcome = Ended(Outcome(handler, OutcomeKind.FAILED, attempt=attempt), DIED, handler)
    return partial(finish, ended=[outcome], owner=owner, key="e", at=DIED, release=True)


async def between_read_and_write(
    store: EventStore, event_id: str, transition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a worker write to the record between the operator's read and write."""
    real, has_come = EventStore.now, False

    async def now(self: EventStore) -> datetime:
        nonlocal has_come
        if not has_come:
            has_come = True
            log = Deliveries(store)
            [record] = (await log.read([record_id(event_id)])).values()
            await log.change([PendingChange(record, transition)])
        return await real(self)

    monkeypatch.setattr(EventStore, "now", now)


@pytest.mark.parametrize("command", ["retry", "discard"])
async def test_the_success_that_is_stored_first_is_kept(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    await store_with(real_store, event(1), failed("charge"))
    await store_with(real_store, event(2), failed("charge"))
    await between_read_and_write(real_store, "e1", success("charge"), monkeypatch)
    touched = await (dead.retry(real_store) if command == "retry" else dead.discard(real_store, reason="r"))
    assert (numbers(touched), touched.moved_by_others) == ((1, 1), 1)
    assert touched.counts.by_handler == {"charge": 1}
    assert await states(real_store, "e1") == ["done"]
    assert await states(real_store, "e2") == ["pending" if command == "retry" else "skipped"]


async def test_a_success_after_a_discard_does_not_undo_it(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("mail", "pending"), failed("charge"), owner="busy:1:x")
    log = Deliveries(real_store)
    [busy] = (await log.read([record_id("e1")])).values()
    await dead.discard(real_store, Choice(handlers=("mail", "charge")), reason="gone", pending=True)
    await log.change([PendingChange(busy, success("mail"))])
    assert await states(real_store, "e1") == ["skipped", "skipped"]
    assert busy.delivery == await delivery_of(real_store, "e1")


async def test_a_success_after_a_retry_counts(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("charge"))
    log = Deliveries(real_store)
    [late] = (await log.read([record_id("e1")])).values()
    await dead.retry(real_store)
    await log.change([PendingChange(late, success("charge"))])
    assert await states(real_store, "e1") == ["done"]


async def test_a_failure_of_the_old_life_does_not_touch_a_retry(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("charge"), failed("mail", "pending"), owner="busy:1:x")
    log = Deliveries(real_store)
    [busy] = (await log.read([record_id("e1")])).values()
    await dead.retry(real_store, Choice(handlers=("charge",)))
    await log.change([PendingChange(busy, failure("charge", 20))])
    found = await delivery_of(real_store, "e1")
    charge = found.handlers[0]
    assert (charge.state, charge.attempts, charge.budget_from) == ("pending", 20, 20)


async def test_a_retry_that_was_claimed_before_the_reply_still_counts(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch in which one write lost the race is read again; the other records may have changed by then."""
    await store_with(real_store, event(1), failed("charge"))
    await store_with(real_store, event(2), failed("charge"))
    await between_read_and_write(real_store, "e1", success("charge"), monkeypatch)
    real, has_come = Deliveries.read, False

    async def read(self: Deliveries, ids: Sequence[Any], **options: Any) -> dict[Any, Tracked]:
        nonlocal has_come
        if len(ids) == 2 and not has_come:
            has_come = True
            collection = await real_store.collection()
            await collection.update_one(
                {"_id": record_id("e2")}, {"$set": {"delivery.owner": "fast:1:x"}, "$inc": {"delivery.rev": 1}}
            )
        return await real(self, ids, **options)

    monkeypatch.setattr(Deliveries, "read", read)
    touched = await dead.retry(real_store)
    assert has_come
    assert (numbers(touched), touched.moved_by_others) == ((1, 1), 1)
    assert (await delivery_of(real_store, "e2")).owner == "fast:1:x"


async def test_two_operators_at_once_move_each_delivery_once(real_store: EventStore) -> None:
    await real_store.append_many([event(number) for number in range(30)], handlers=["a"])
    log = await real_store.collection()
    await log.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers": [failed("a")]}})
    retried, skipped = await asyncio.gather(
        dead.retry(real_store, Choice(Selection(reverse=True))), dead.discard(real_store, reason="r", by="b")
    )
    found = [(await delivery_of(real_store, f"e{number}")).handlers[0].state for number in range(30)]
    assert found.count("skipped") == skipped.counts.deliveries
    assert found.count("pending") == retried.counts.deliveries
    assert len(found) == 30
    assert set(found) <= {"pending", "skipped"}


async def test_of_two_discards_at_once_each_counts_its_own(real_store: EventStore) -> None:
    await real_store.append_many([event(number) for number in range(30)], handlers=["a"])
    log = await real_store.collection()
    await log.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers": [failed("a")]}})
    mine, yours = await asyncio.gather(
        dead.discard(real_store, Choice(Selection(reverse=True)), reason="r", by="me"),
        dead.discard(real_store, reason="r", by="you"),
    )
    by = [(await delivery_of(real_store, f"e{number}")).handlers[0].by for number in range(30)]
    assert (by.count("me"), by.count("you")) == (mine.counts.deliveries, yours.counts.deliveries)
    assert len(by) == by.count("me") + by.count("you")


async def test_a_retry_that_has_already_run_to_its_end_still_counts(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_with(real_store, event(1), failed("charge"))
    real = Deliveries.change

    async def change(self: Deliveries, changes: Sequence[PendingChange]) -> None:
        await real(self, changes)
        if len(changes) == 1 and changes[0].record.delivery.is_open:
            await real(self, [PendingChange(changes[0].record, success("charge"))])

    monkeypatch.setattr(Deliveries, "change", change)
    assert numbers(await dead.retry(real_store)) == (1, 1)
    assert await states(real_store, "e1") == ["done"]


@pytest.mark.parametrize("command", ["discard", "retry"])
async def test_an_operator_and_a_redispatch_at_once_undo_nothing_of_each_other(
    real_store: EventStore, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "DEAD_PAGE", 7)
    await real_store.append_many([event(number) for number in range(60)], handlers=["a"])
    if command == "retry":
        changed = {"delivery.state": "open", "delivery.handlers": [failed("a"), failed("b", "pending")]}
        await (await real_store.collection()).update_many({}, {"$set": changed})
    ran: list[tuple[str, str]] = []

    def handles(name: str) -> Any:
        async def handle(one: DomainEvent) -> None:
            ran.append((name, one.event_id))

        return handle

    async with EventBus() as bus:
        bus.configure_store(real_store)
        for name in ("a", "b"):
            bus.subscribe("order.*", handles(name), id=name)
        act = (
            dead.retry(real_store)
            if command == "retry"
            else dead.discard(real_store, Choice(handlers=("a",)), reason="gone", by="ada", pending=True)
        )
        _, touched = await asyncio.gather(redispatch(bus, Selection()), act)
        await redispatch(bus, Selection())
    found = {f"e{number}": await delivery_of(real_store, f"e{number}") for number in range(60)}
    first = {event_id: one.handlers[0] for event_id, one in found.items()}
    assert not any(one.is_open or one.owner for one in found.values())
    if command == "retry":
        assert numbers(touched) == (60, 60)
        assert {one.state for each in found.values() for one in each.handlers} == {"done"}
        assert sorted(ran) == sorted((name, event_id) for name in ("a", "b") for event_id in found)
        assert all((one.attempts, one.budget_from) == (21, 20) for one in first.values())
    else:
        skipped = {event_id for event_id, one in first.items() if one.state == "skipped"}
        assert touched.counts.deliveries == len(skipped)
        assert all(one.state == "done" for event_id, one in first.items() if event_id not in skipped)
        assert {("a", event_id) for event_id in found if event_id not in skipped} <= set(ran)


async def test_a_retried_delivery_is_delivered_by_the_next_redispatch(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("charge"), claimed_at=START)
    await dead.retry(real_store)
    ran: list[str] = []

    async def charge(one: DomainEvent) -> None:
        ran.append(one.event_id)

    async with EventBus() as bus:
        bus.configure_store(real_store)
        bus.subscribe("order.*", charge, id="charge")
        await redispatch(bus, Selection())
    found = (await delivery_of(real_store, "e1")).handlers[0]
    assert (ran, found.state, found.attempts) == (["e1"], "done", 21)
