"""Claims, outcomes and take-overs on a real server, over both drivers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.model.delivery import Delivery, Ended, discard, finish, take_over
from craft_easy.core.events.model.retry import Outcome, OutcomeKind
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.counts import count_unowned, orphans
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.filters import ClaimFilter
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.events import START, numbered

LATER = START + timedelta(hours=1)


@pytest.fixture
def store(real_store: EventStore) -> EventStore:
    return real_store


@pytest.fixture
def deliveries(store: EventStore) -> Deliveries:
    return Deliveries(store)


async def stored(store: EventStore, *events: DomainEvent, handlers: Sequence[str] = ("a", "b")) -> None:
    await store.append_many(events, handlers=handlers)


def wanted(*handlers: str, began_at: datetime | None = None, **selection: Any) -> ClaimFilter:
    patterns = dict.fromkeys(handlers or ("a", "b"), ("*",))
    return ClaimFilter(Selection(**selection), handlers=patterns, loaded=patterns, began_at=began_at)


async def ids(deliveries: Deliveries, condition: ClaimFilter, size: int = 1000) -> list[Any]:
    return [one.id async for page in deliveries.unowned(condition, size=size) for one in page]


async def claimed(deliveries: Deliveries, owner: str = "me", condition: ClaimFilter | None = None) -> list[Tracked]:
    condition = condition or wanted()
    return await deliveries.claim(await ids(deliveries, condition), condition.unowned(), owner=owner, at=LATER)


def names(records: Sequence[Tracked]) -> list[str]:
    return [record.document["event_id"] for record in records]


def success(handler: str = "a", *, owner: str = "me", release: bool = False) -> Any:
    ended = Ended(Outcome(handler, OutcomeKind.SUCCEEDED), LATER, handler)
    return partial(finish, ended=[ended], owner=owner, key="e", at=LATER, release=release)


async def test_unowned_records_are_listed_in_order_for_any_page_size(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, *(numbered(number) for number in (3, 1, 2, 5, 4)))
    everything = await ids(deliveries, wanted())
    records = await deliveries.read(everything)
    assert everything == sorted(records, key=lambda one: (records[one].delivery.due_at, one))
    assert len(everything) == 5
    assert await ids(deliveries, wanted(), size=2) == everything
    assert [record.id for record in await claimed(deliveries)] == everything


async def test_a_claim_makes_records_ones_own_and_counts_the_revision(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    assert (record.delivery.owner, record.delivery.claimed_at, record.delivery.rev) == ("me", LATER, 1)


async def test_a_claim_selects_the_types_of_each_handler(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1), numbered(2), handlers=["a", "b"])
    await (await store.collection()).update_one({"event_id": "e2"}, {"$set": {"event_type": "user.registered"}})
    for patterns, expected in (
        ({"a": ("*",)}, ["e1", "e2"]),
        ({"a": ("order.*",)}, ["e1"]),
        ({"a": ("order.*", "user.registered")}, ["e1", "e2"]),
        ({"a": ("order.*",), "b": ("user.*",)}, ["e1", "e2"]),
        ({"a": ("payment.*",), "b": ("user.*",)}, ["e2"]),
        ({"a": ("payment.*",), "b": ("user.login",), "c": ("*",)}, []),
        ({"a": ("payment.*",), "b": ("user.login",)}, []),
        ({}, []),
    ):
        condition = ClaimFilter(Selection(), handlers=patterns, loaded=patterns)
        records = await deliveries.read(await ids(deliveries, condition))
        assert sorted(names(list(records.values()))) == expected
        stored_as = {"e1": "order.placed", "e2": "user.registered"}
        for record in (await deliveries.read(await ids(deliveries, wanted()))).values():
            event_id = record.document["event_id"]
            assert condition.may_claim(record.delivery, stored_as[event_id]) == (event_id in expected)


async def test_a_delivery_of_a_type_that_its_handler_is_not_for_is_an_orphan(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1), numbered(2), handlers=["a", "gone"])
    patterns = {"a": ("user.*",), "b": ("*",)}
    assert await orphans(store, ClaimFilter(Selection(), handlers=patterns, loaded=patterns)) == {
        "a": 2,
        "gone": 2,
    }
    patterns = {"a": ("order.?laced",)}
    assert await orphans(store, ClaimFilter(Selection(), handlers=patterns, loaded=patterns)) == {"gone": 2}


async def test_every_orphan_is_named_past_the_bound_of_a_count(
    store: EventStore, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("craft_easy.core.events.store.counts.MAX_COUNTED", 2)
    for number in range(9):
        await stored(store, numbered(number), handlers=["often" if number < 7 else f"rare{number}"])
    assert set(await orphans(store, wanted("a"))) == {"often", "rare7", "rare8"}


@pytest.mark.parametrize("ids_in_a_query", [1, 2, 100])
async def test_any_number_of_handlers_is_claimed_for_by_due_time(
    store: EventStore, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch, ids_in_a_query: int
) -> None:
    monkeypatch.setattr("craft_easy.core.events.store.filters.MAX_HANDLERS", ids_in_a_query)
    handlers = [f"h{number}" for number in range(5)]
    events = await store.collection()
    for number in range(10):
        await stored(store, numbered(number), handlers=[handlers[number % 5]])
        due_at = {"delivery.due_at": START + timedelta(seconds=number * 7 % 10)}
        await events.update_one({"event_id": f"e{number}"}, {"$set": due_at})
    listed = await ids(deliveries, wanted(*handlers), size=3)
    records = await deliveries.read(listed)
    assert [records[one].delivery.due_at for one in listed] == [START + timedelta(seconds=n) for n in range(10)]


async def test_two_workers_never_own_the_same_record(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1), numbered(2))
    listed = await ids(deliveries, wanted())
    first = await deliveries.claim(listed[:1], wanted().unowned(), owner="me", at=LATER)
    second = await deliveries.claim(listed, wanted().unowned(), owner="other", at=LATER)
    assert [[record.id for record in claimed] for claimed in (first, second)] == [listed[:1], listed[1:]]


async def test_only_records_with_a_pending_delivery_of_a_wanted_handler_are_claimed(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1), handlers=["a"])
    await stored(store, numbered(2), handlers=["b"])
    assert names(await claimed(deliveries, condition=wanted("b"))) == ["e2"]


async def test_a_record_claimed_since_the_start_is_not_claimed_again(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    failed = Ended(Outcome("a", OutcomeKind.FAILED), LATER, "a")
    give_up = partial(finish, ended=[failed], owner="me", key="e", at=LATER, release=True)
    await deliveries.change([PendingChange(record, give_up)])
    assert await ids(deliveries, wanted(began_at=LATER)) == []
    assert len(await ids(deliveries, wanted(began_at=LATER + timedelta(seconds=1)))) == 1


async def test_a_selection_narrows_a_claim_even_when_the_listing_did_not(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1, tenant_id="acme"), numbered(2, tenant_id="docs"))
    listed = await ids(deliveries, wanted())
    only = wanted(tenants=("docs",))
    assert names(await deliveries.claim(listed, only.unowned(), owner="me", at=LATER)) == ["e2"]
    assert await count_unowned(store, only) == 0
    assert await count_unowned(store, wanted()) == 1


async def test_a_change_that_lost_the_race_is_applied_to_what_is_there_now(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1), numbered(2))
    mine = await claimed(deliveries)
    again = await deliveries.read([record.id for record in mine])
    operator = partial(discard, handler_ids=["b"], reason="gone", at=LATER)
    await deliveries.change([PendingChange(again[mine[0].id], operator)])
    await deliveries.change([PendingChange(record, success()) for record in mine])
    first, second = mine
    assert [one.state for one in first.delivery.handlers] == ["done", "skipped"]
    assert (first.delivery.state, first.delivery.owner) == ("done", None)
    assert [one.state for one in second.delivery.handlers] == ["done", "pending"]
    log = await deliveries.read([record.id for record in mine])
    assert [log[record.id].delivery for record in mine] == [record.delivery for record in mine]


async def test_a_change_whose_reply_was_lost_may_be_made_again(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    before = record.delivery
    await deliveries.change([PendingChange(record, success())])
    stored_once = record.delivery
    record.delivery = before  # the state before the lost reply
    await deliveries.change([PendingChange(record, success())])
    assert record.delivery == stored_once


async def test_a_change_of_a_removed_record_is_dropped(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    await (await store.collection()).delete_one({"_id": record.id})
    await deliveries.change([PendingChange(record, success())])
    assert await deliveries.read([record.id]) == {}


async def test_owners_are_counted_by_their_open_records(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1, tenant_id="acme"), numbered(2), numbered(3))
    listed = await ids(deliveries, wanted())
    await deliveries.claim(listed[:2], wanted().unowned(), owner="me", at=LATER)
    await deliveries.claim(listed[2:], wanted().unowned(), owner="other", at=LATER)
    assert await deliveries.owners() == {"me": 2, "other": 1}
    assert await deliveries.owners(wanted(tenants=("acme",))) == {"me": 1}
    owned = [record async for page in deliveries.owned_by(["me"], size=1) for record in page]
    assert sorted(record.id for record in owned) == sorted(listed[:2])


async def test_a_value_that_is_not_a_name_is_not_an_owner(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1), numbered(2))
    await claimed(deliveries)
    events = await store.collection()
    await events.update_one({"event_id": "e1"}, {"$set": {"delivery.owner": ["x", "y"]}})
    assert await deliveries.owners() == {"me": 1}


async def test_a_take_over_frees_what_a_worker_owned(store: EventStore, deliveries: Deliveries) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    await deliveries.change([PendingChange(record, partial(take_over, owner="me", at=LATER))])
    assert (record.delivery.owner, record.delivery.takeovers) == (None, 1)
    assert await deliveries.owners() == {}
    assert len(await ids(deliveries, wanted(began_at=START))) == 1


async def test_pending_deliveries_without_a_loaded_handler_are_counted_by_handler(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1), numbered(2), handlers=["a", "gone"])
    await stored(store, numbered(3, tenant_id="acme"), handlers=["a", "old"])
    assert await orphans(store, wanted("a")) == {"gone": 2, "old": 1}
    assert await orphans(store, wanted("a", tenants=("acme",))) == {"old": 1}
    assert await orphans(store, wanted("a", "gone", "old")) == {}


async def test_an_untracked_record_gets_a_delivery_once(store: EventStore, deliveries: Deliveries) -> None:
    await store.append(numbered(1))
    [[record]] = [page async for page in deliveries.matching(wanted().untracked())]
    assert not record.is_tracked
    assert await deliveries.add(record, Delivery.new(["a"], at=START))
    assert not await deliveries.add(record, Delivery.new(["b"], at=START))
    assert names(await claimed(deliveries)) == ["e1"]


async def test_records_of_another_writer_without_a_revision_can_be_claimed_and_finished(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1))
    await (await store.collection()).update_many({}, {"$unset": {"delivery.rev": 1, "delivery.claimed_at": 1}})
    [record] = await claimed(deliveries, condition=wanted(began_at=START))
    await deliveries.change([PendingChange(record, success("a")), PendingChange(record, success("b"))])
    assert (await deliveries.read([record.id]))[record.id].delivery.handlers[0].state == "done"


async def test_texts_of_users_are_stored_as_they_are_and_never_evaluated(
    store: EventStore, deliveries: Deliveries
) -> None:
    await stored(store, numbered(1))
    [record] = await claimed(deliveries)
    await deliveries.change([PendingChange(record, partial(discard, handler_ids=["a"], reason="$payload", at=LATER))])
    assert (await deliveries.read([record.id]))[record.id].delivery.handlers[0].reason == "$payload"


async def test_a_worker_registers_beats_and_leaves(store: EventStore) -> None:
    workers = WorkerRegistry(store)
    before = await store.now()
    at = await workers.register("host:1:abc", lease=30)
    assert before <= at
    entry = (await workers.entries())["host:1:abc"]
    assert (entry.host, entry.pid, entry.lease, entry.fenced, entry.beat_at) == ("host", 1, 30, False, at)
    beat_at = await workers.beat("host:1:abc")
    assert beat_at is not None
    assert beat_at >= at
    await workers.remove("host:1:abc")
    assert await workers.entries() == {}


async def test_a_heartbeat_does_not_revive_a_fenced_worker(store: EventStore) -> None:
    workers = WorkerRegistry(store)
    assert await workers.beat("host:1:unknown") is None
    await workers.register("host:1:abc", lease=30)
    assert await workers.fence((await workers.entries())["host:1:abc"])
    assert await workers.beat("host:1:abc") is None
    assert (await workers.entries())["host:1:abc"].fenced


async def test_a_worker_that_sent_a_heartbeat_in_between_is_not_fenced(store: EventStore) -> None:
    workers = WorkerRegistry(store)
    await workers.register("host:1:abc", lease=30)
    seen = (await workers.entries())["host:1:abc"]
    while await workers.beat("host:1:abc") == seen.beat_at:
        pass
    assert not await workers.fence(seen)
    assert not (await workers.entries())["host:1:abc"].fenced


async def test_workers_that_were_fenced_long_ago_are_removed(store: EventStore) -> None:
    workers = WorkerRegistry(store)
    await workers.register("host:1:old", lease=30)
    await workers.register("host:1:alive", lease=30)
    await workers.fence((await workers.entries())["host:1:old"])
    await workers.forget(at=await store.now())
    assert len(await workers.entries()) == 2
    await workers.forget(at=await store.now() + timedelta(days=2))
    assert list(await workers.entries()) == ["host:1:alive"]


async def test_the_thread_that_beats_has_a_client_of_its_own(store: EventStore) -> None:
    workers = WorkerRegistry(store)
    await workers.register("host:1:abc", lease=30)
    channel = workers.channel(timeout=3)
    assert channel.beat("host:1:abc") is not None
    assert channel.beat("host:1:other") is None
    channel.end("host:1:abc")
    channel.close()
    assert await workers.entries() == {}
