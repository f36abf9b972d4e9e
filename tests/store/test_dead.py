"""Operations on dead deliveries: list, group, count, retry, discard, with busy workers."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.dead import Choice
from craft_easy.core.events.operations.unfinished_delivery import By, UnfinishedDelivery
from craft_easy.core.events.store import EventStore, read
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.filters import DeliveryFilter
from craft_easy.core.events.store.indexes import INDEXES
from tests.store.graveyard import DIED, event, failed, graveyard, listed, numbers, states, store_with
from tests.support.deliveries import delivery_of
from tests.support.events import START
from tests.support.history import HOSTILE

# ------------------------------------------------------------------ list


async def test_dead_deliveries_are_listed_in_order_and_those_of_an_open_event_too(store: EventStore) -> None:
    await graveyard(store)
    assert await listed(store) == [("e1", "charge"), ("e2", "charge"), ("e3", "charge"), ("e3", "mail")]
    assert await listed(store, Choice(Selection(reverse=True))) == [
        ("e3", "charge"),
        ("e3", "mail"),
        ("e2", "charge"),
        ("e1", "charge"),
    ]


async def test_a_dead_delivery_has_its_error_and_its_time(store: EventStore) -> None:
    await graveyard(store)
    first = await anext(dead.deliveries(store))
    assert first == UnfinishedDelivery(
        event_id="e1",
        event_type="order.placed",
        timestamp=START + timedelta(seconds=1),
        tenant_id="acme",
        handler="charge",
        state="dead",
        attempts=20,
        crashes=0,
        due_at=None,
        owner=None,
        finished_at=DIED,
        error_type="CardExpired",
        error_message="of charge",
        where=None,
        reason=None,
    )
    assert (first.cause, first.error) == ("CardExpired", "CardExpired: of charge")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(Selection(tenants=("docs",))), ["e2"]),
        (Choice(Selection(types=("order.paid",))), ["e3", "e3"]),
        (Choice(Selection(actors=("unknown",))), []),
        (Choice(Selection(since=DIED)), ["e1", "e2", "e3", "e3"]),
        (Choice(Selection(since=DIED + timedelta(minutes=5))), ["e2", "e3"]),
        (Choice(Selection(until=DIED + timedelta(minutes=5))), ["e1", "e3"]),
        (Choice(Selection(limit=3)), ["e1", "e2", "e3"]),
        (Choice(Selection(limit=1, reverse=True), ("mail",)), ["e3"]),
        (Choice(handlers=("mail",)), ["e3"]),
        (Choice(handlers=("mail", "charge"), event_ids=("e3", "e1")), ["e1", "e3", "e3"]),
        (Choice(event_ids=("e4", "e5", "e6", "no such")), []),
        (Choice(Selection(tenants=("docs",)), event_ids=("e1",)), []),
        (Choice(Selection(since=START, until=START)), []),
        (Choice(handlers=("\ud800",)), []),
        (Choice(as_of=DIED + timedelta(minutes=5)), ["e1", "e2", "e3"]),
        (Choice(cause="SMTP"), ["e3"]),
        (Choice(Selection(limit=2), cause="CardExpired"), ["e1", "e2"]),
        (Choice(handlers=("mail",), cause="CardExpired"), []),
    ],
)
async def test_a_choice_is_kept_and_its_limit_counts_deliveries(
    store: EventStore, choice: Choice, expected: list[str]
) -> None:
    await graveyard(store)
    assert [event_id for event_id, _ in await listed(store, choice)] == expected
    assert (await dead.count(store, choice)).counts.deliveries == len(expected)


async def test_pending_deliveries_of_a_removed_handler_are_chosen_by_the_time_of_their_events(
    store: EventStore,
) -> None:
    await graveyard(store)
    choice = Choice(Selection(since=START, until=START + timedelta(seconds=3)), ("mail",))
    assert numbers(await dead.count(store, choice, pending=True)) == (1, 1)
    assert numbers(await dead.count(store, choice)) == (0, 0)


async def test_the_partial_index_answers(store: EventStore) -> None:
    [partial_filter] = [
        index.document["partialFilterExpression"]
        for index in INDEXES
        if "dead" in str(index.document.get("partialFilterExpression"))
    ]
    for chosen in (DeliveryFilter(Selection()), DeliveryFilter(Selection(tenants=("a",), limit=1), ("h",), (1,))):
        assert partial_filter.items() <= chosen.having("dead").items()
    for state in ("dead", "pending"):
        named = DeliveryFilter(Selection(), ("h",)).having(state)["delivery.handlers"]
        assert named == {"$elemMatch": {"id": {"$in": ["h"]}, "state": state}}


async def test_payloads_are_not_read(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await graveyard(store)
    seen: list[set[str]] = []
    of = Tracked.of

    def note(document: Any) -> Tracked:
        seen.append(set(document))
        return of(document)

    monkeypatch.setattr(Tracked, "of", note)
    await listed(store)
    assert seen
    assert all("payload" not in fields for fields in seen)


async def test_records_of_other_writers_are_listed_too(store: EventStore) -> None:
    log = await store.collection()
    entry = {"id": "a", "state": "dead", "errors": "none"}
    await log.insert_one({"_id": ObjectId(b"x" * 12), "tenant_id": 7, "delivery": {"handlers": [entry]}})
    [one] = [one async for one in dead.deliveries(store)]
    assert (one.event_id, one.event_type, one.tenant_id, one.cause) == ("", "", "7", "unknown")
    assert one.error is None
    [group] = await dead.groups(store)
    assert group.oldest == one.timestamp


# ------------------------------------------------------------------ groups


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("error", [("CardExpired", 3, "e3", "charge"), ("SMTP", 1, "e3", "mail")]),
        ("handler", [("charge", 3, "e3", "charge"), ("mail", 1, "e3", "mail")]),
        ("type", [("order.paid", 2, "e3", "charge"), ("order.placed", 2, "e2", "charge")]),
        ("tenant", [("acme", 3, "e3", "charge"), ("docs", 1, "e2", "charge")]),
    ],
)
async def test_deaths_are_grouped_the_largest_first(
    store: EventStore, by: By, expected: list[tuple[str, int, str, str]]
) -> None:
    await graveyard(store)
    found = await dead.groups(store, by=by)
    assert [(one.group, one.deliveries, one.event_id, one.handler) for one in found] == expected


async def test_a_group_has_the_times_of_its_oldest_and_newest_death(store: EventStore) -> None:
    await graveyard(store)
    [cards, _] = await dead.groups(store)
    assert (cards.oldest, cards.newest, cards.error) == (DIED, DIED + timedelta(minutes=9), "CardExpired")


async def test_a_crash_is_the_cause_of_death_and_not_an_earlier_error(store: EventStore) -> None:
    await store_with(store, event(1), failed("a") | {"reason": "crashed", "crashes": 3})
    [group] = await dead.groups(store)
    assert (group.group, group.error) == ("crashed", "crashed")


# ------------------------------------------------------------------ retry


async def test_a_retry_gives_a_fresh_budget_and_keeps_the_history(store: EventStore) -> None:
    await store_with(store, event(1), failed("charge") | {"crashes": 2}, failed("mail", "done"))
    before = await store.now()
    done = await dead.retry(store, Choice(event_ids=("e1",)))
    assert (numbers(done), done.is_complete, done.moved_by_others) == ((1, 1), True, 0)
    found = await delivery_of(store, "e1")
    charge = found.handlers[0]
    assert (found.state, found.finished_at) == ("open", None)
    assert (charge.state, charge.attempts, charge.budget_from, charge.crashes) == ("pending", 20, 20, 0)
    assert [one.type for one in charge.errors] == ["CardExpired"]
    assert charge.due_at is not None
    assert charge.due_at >= before
    assert found.handlers[1].state == "done"
    assert await listed(store) == []


async def test_a_retry_returns_the_changed_deliveries_and_the_missing_ids(real_store: EventStore) -> None:
    await graveyard(real_store)
    choice = Choice(event_ids=("e1", "e3", "no such", "e4", "\ud800", "e3"))
    for touched in (await dead.count(real_store, choice), await dead.retry(real_store, choice)):
        assert numbers(touched) == (2, 3)
        assert touched.counts.by_handler == {"charge": 2, "mail": 1}
        assert touched.counts.by_type == {"order.placed": 1, "order.paid": 1}
        assert touched.counts.by_tenant == {"acme": 2}
        assert (touched.not_found, touched.not_dead) == (("no such", "\ud800"), ("e4",))
        assert not touched.is_complete
    assert await listed(real_store) == [("e2", "charge")]


async def test_a_retry_is_narrowed_by_handlers_and_stops_at_its_limit(real_store: EventStore) -> None:
    await graveyard(real_store)
    assert numbers(await dead.retry(real_store, Choice(handlers=("mail",)))) == (1, 1)
    assert numbers(await dead.retry(real_store, Choice(Selection(limit=2)))) == (2, 2)
    assert await listed(real_store) == [("e3", "charge")]


async def test_each_delivery_is_reported_after_it_is_stored(store: EventStore) -> None:
    await store_with(store, event(1), failed("charge"), failed("mail"))
    told: list[UnfinishedDelivery] = []
    await dead.retry(store, on_stored=told.append)
    assert [(one.handler, one.state, one.attempts, one.error) for one in told] == [
        ("charge", "pending", 20, "CardExpired: of charge"),
        ("mail", "pending", 20, "CardExpired: of mail"),
    ]


@pytest.mark.parametrize("size", [1, 3, 500])
async def test_no_record_is_skipped_while_own_writes_empty_the_index(
    real_store: EventStore, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "DEAD_PAGE", size)
    await real_store.append_many([event(number) for number in range(40)], handlers=["a", "b"])
    log = await real_store.collection()
    await log.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers": [failed("a"), failed("b")]}})
    assert numbers(await dead.count(real_store)) == (40, 80)
    assert numbers(await dead.retry(real_store, Choice(handlers=("a",)))) == (40, 40)
    assert numbers(await dead.discard(real_store, reason="old")) == (40, 40)
    assert await listed(real_store) == []


async def test_a_cursor_that_the_server_has_lost_is_opened_again(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "DEAD_PAGE", 4)
    await real_store.append_many([event(number) for number in range(20)], handlers=["a"])
    log = await real_store.collection()
    await log.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers": [failed("a")]}})
    real, pages = read.Scan._fetch, 0

    async def loses(scan: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            await scan._cursor.close()
            raise StoreUnavailable("the cursor is gone")
        return await real(scan)

    monkeypatch.setattr(read.Scan, "_fetch", loses)
    assert numbers(await dead.retry(real_store)) == (20, 20)


# ------------------------------------------------------------------ discard


async def test_a_discard_skips_with_its_reason_and_is_never_done(store: EventStore) -> None:
    await store_with(store, event(1), failed("charge"))
    done = await dead.discard(store, Choice(handlers=("charge",)), reason=f"paid by hand {HOSTILE}", by="ada@desk")
    assert numbers(done) == (1, 1)
    found = await delivery_of(store, "e1")
    [charge] = found.handlers
    assert (charge.state, charge.reason, charge.by) == ("skipped", f"paid by hand {HOSTILE}", "ada@desk")
    assert (charge.attempts, charge.errors[0].type) == (20, "CardExpired")
    assert found.state == "done"  # no handler is pending or dead any more


async def test_a_discard_does_not_touch_pending_deliveries(real_store: EventStore) -> None:
    await graveyard(real_store)
    assert numbers(await dead.discard(real_store, Choice(event_ids=("e2", "e5")), reason="r")) == (1, 1)
    assert (await states(real_store, "e2"), await states(real_store, "e5")) == (["skipped", "pending"], ["pending"])


async def test_pending_and_dead_deliveries_of_a_removed_handler_are_discarded_and_no_others(
    real_store: EventStore,
) -> None:
    await graveyard(real_store)
    await store_with(real_store, event(7), failed("mail", "pending"), failed("charge", "pending"), owner="busy:1:x")
    await store_with(real_store, event(8), failed("mail", "pending"), failed("mail.eu"))
    choice = Choice(handlers=("mail",))
    expected = await dead.count(real_store, choice, pending=True)
    done = await dead.discard(real_store, choice, reason="gone", pending=True)
    assert numbers(done) == numbers(expected) == (5, 5)
    assert done.counts.by_handler == {"mail": 5}
    assert await states(real_store, "e2") == ["dead", "skipped"]
    assert await states(real_store, "e3") == ["dead", "skipped"]
    assert await states(real_store, "e5") == ["skipped"]
    assert await states(real_store, "e7") == ["skipped", "pending"]
    assert (await delivery_of(real_store, "e7")).owner == "busy:1:x"
    assert await states(real_store, "e8") == ["skipped", "dead"]


async def test_pending_and_dead_deliveries_of_one_event_count_once(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("a", "pending"), failed("b"))
    choice = Choice(handlers=("a", "b"))
    assert numbers(await dead.count(real_store, choice, pending=True)) == (1, 2)
    assert numbers(await dead.discard(real_store, choice, reason="r", pending=True)) == (1, 2)
    assert (await delivery_of(real_store, "e1")).state == "done"


async def test_a_reason_is_kept_as_the_log_can_keep_it(store: EventStore) -> None:
    await store_with(store, event(1), failed("a"))
    assert numbers(await dead.discard(store, reason="\ud800" + "x" * 3_000, by="\udfff")) == (1, 1)
    [entry] = (await delivery_of(store, "e1")).handlers
    assert entry.reason is not None
    assert (entry.reason[:7], len(entry.reason), entry.by) == ("\\ud800x", 2_000, "\\udfff")


async def test_a_discard_needs_a_reason_and_pending_a_handler(store: EventStore) -> None:
    with pytest.raises(ValueError, match="reason"):
        await dead.discard(store, reason=" ")
    with pytest.raises(ValueError, match="handler"):
        await dead.discard(store, reason="r", pending=True)
    with pytest.raises(ValueError, match="handler"):
        await dead.count(store, pending=True)
