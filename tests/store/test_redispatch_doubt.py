"""A redispatch whose worker may own more than it holds: lost replies, abandoned handlers, conflicts."""

import asyncio
import gc
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus, StoreUnavailable, current_delivery
from craft_easy.core.events.engine import runner
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, claiming
from craft_easy.core.events.redispatch import loop as module
from craft_easy.core.events.redispatch.options import claim_filter
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.documents import record_id
from tests.support.conditions import becomes
from tests.support.deliveries import delivery_of, set_fields
from tests.support.redispatches import deliver, events

DRIVERS = ("a URI",)
LEASE = 1.0


async def test_a_worker_that_conflicts_with_another_skips_pages_and_returns_to_them(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SIZE", 10)
    monkeypatch.setattr(random, "randint", lambda least, most: most)
    published = events(60)
    await store.append_many(published, handlers=["a"])
    ran: list[int] = []
    claim, met = Deliveries.claim, [True]

    async def robbed(self: Deliveries, ids: Sequence[Any], *args: Any, **values: Any) -> Any:
        if met:
            met.clear()
            return []
        return await claim(self, ids, *args, **values)

    monkeypatch.setattr(Deliveries, "claim", robbed)
    bus.subscribe("*", lambda event: ran.append(event.payload["n"]), id="a")
    assert (await deliver(bus)).done == 60
    in_order = sorted(range(60), key=lambda number: record_id(published[number].event_id))  # all are due at once
    assert ran[0] == in_order[30], "two pages are skipped, and the one of the other worker"
    assert sorted(ran) == list(range(60))


async def test_a_record_that_is_left_for_a_handler_of_other_types_is_given_back(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing and the claim, another worker ends the delivery that the record was listed for."""
    ran: list[str] = []
    bus.subscribe("billing.*", lambda _: ran.append("charge"), id="charge")
    bus.subscribe("order.*", lambda _: ran.append("send"), id="send")
    [event] = published = events(1)
    await store.append_many(published, handlers=["charge", "send"])
    claim = Deliveries.claim

    async def late(self: Deliveries, *args: Any, **values: Any) -> Any:
        await set_fields(store, event, delivery__handlers__1__state="done")
        return await claim(self, *args, **values)

    monkeypatch.setattr(Deliveries, "claim", late)
    assert (await deliver(bus)).done == 0
    left = await delivery_of(store, event)
    assert ran == []
    assert (left.state, left.owner, left.handlers[0].attempts) == ("open", None, 0)


async def test_a_worker_gives_back_records_that_it_owns_and_does_not_hold(bus: EventBus, store: EventStore) -> None:
    bus.subscribe("*", lambda event: None, id="a")
    record_owner = bus.publisher.record_owner()
    owner = await record_owner.worker.ready()
    [event] = published = events(1)
    await store.append_many(published, handlers=["a"])
    await set_fields(store, event, delivery__owner=owner)
    record_owner.mark_uncertain()
    while (await delivery_of(store, event)).owner == owner:  # noqa: ASYNC110 - the log has to be polled
        await asyncio.sleep(0.01)  # the next answered heartbeat triggers it
    assert (await deliver(bus)).done == 1


async def test_held_records_are_not_given_back(bus: EventBus, store: EventStore) -> None:
    go, given_back = asyncio.Event(), []

    async def slow(_: DomainEvent) -> None:
        given_back.append(await bus.publisher.record_owner().reconcile())
        await go.wait()

    bus.subscribe("*", slow, id="a", background=True)
    await bus.publish(event := DomainEvent(event_type="order.placed"))
    await becomes(lambda: given_back)
    assert given_back == [0]
    assert (await delivery_of(store, event)).owner == bus.publisher.record_owner().worker.owner
    go.set()


async def test_a_record_that_is_still_owned_is_not_claimed_again(bus: EventBus, store: EventStore) -> None:
    record_owner = bus.publisher.record_owner()
    await record_owner.worker.ready()
    await store.append_many(events(2), handlers=["a"])
    bus.subscribe("*", lambda event: None, id="a")
    selected = claim_filter(bus.registry, Selection(), RedispatchOptions())
    ids = [one.id async for page in record_owner.deliveries.unowned(selected) for one in page]
    [owned, other] = await record_owner.claim(ids, selected.unowned())
    freed = {"$set": {"delivery.owner": None, "delivery.claimed_at": None}, "$inc": {"delivery.rev": 1}}
    await (await store.collection()).update_many({}, freed)  # as a write whose reply was lost
    record_owner.writer.owned.discard(other.ownership)
    assert [one.record.id for one in await record_owner.claim(ids, selected.unowned())] == [other.record.id]
    assert owned.ownership in record_owner.writer.owned


async def test_the_rest_of_a_suspect_is_given_back_if_a_handler_is_abandoned(bus: EventBus, store: EventStore) -> None:
    ran: list[str] = []
    ends = asyncio.Event()

    async def stays(_: DomainEvent) -> None:
        while not ends.is_set():
            try:
                await ends.wait()
            except asyncio.CancelledError:
                continue

    [event] = published = events(1)
    await store.append_many(published, handlers=["stays", "b"])
    await set_fields(store, event, delivery__takeovers=2)
    bus.subscribe("*", stays, id="stays", timeout=0.05)
    bus.subscribe("*", lambda event: ran.append("b"), id="b")
    summary = await deliver(bus)
    assert (summary.failed, summary.abandoned, ran) == (1, 1, [])
    after = await delivery_of(store, event)
    assert (after.owner, after.running, [one.attempts for one in after.handlers]) == (None, None, [1, 0])
    ends.set()


async def test_a_run_delivers_records_whose_claim_lost_its_reply(
    bus: EventBus, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, lost = Deliveries.claim, [True]

    async def lands_and_loses_its_reply(self: Deliveries, *args: Any, **values: Any) -> Any:
        claimed = await claim(self, *args, **values)
        if lost:
            lost.clear()
            raise StoreUnavailable("the reply was lost")
        return claimed

    monkeypatch.setattr(module, "LONGEST_POLL", 0.01)
    monkeypatch.setattr(Deliveries, "claim", lands_and_loses_its_reply)
    monkeypatch.setattr(type(bus.publisher.record_owner()), "reconcile_if_uncertain", lambda *_, **__: None)
    await store.append_many(events(20), handlers=["a"])
    bus.subscribe("*", lambda event: None, id="a")
    assert (await deliver(bus)).done == 20


@pytest.mark.slow
async def test_a_handler_that_was_abandoned_is_not_collected_in_the_middle_of_another(
    bus: EventBus, store: EventStore
) -> None:
    seen: list[bool] = []

    async def clings(_: DomainEvent) -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue

    async def looks(_: DomainEvent) -> None:
        gc.collect()
        seen.append(current_delivery() is not None)

    [first, *others] = events(20)
    await store.append(first, handlers=["clings"])
    await store.append_many(others, handlers=["looks"])
    bus.subscribe("*", clings, id="clings", timeout=0.05)
    bus.subscribe("*", looks, id="looks")
    summary = await deliver(bus, concurrency=1)
    gc.collect()
    assert (summary.abandoned, summary.done) == (1, 19)
    assert seen == [True] * 19
    [hand] = runner._abandoned
    runner._abandoned.clear()
    coroutine: Any = hand.get_coro()
    hand._log_destroy_pending = False  # type: ignore[attr-defined]  # the test drops a task that never ends
    with suppress(RuntimeError):
        coroutine.close()
