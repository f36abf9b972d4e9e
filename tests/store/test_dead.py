"""What an operator does about dead deliveries: list, group, count, retry, discard, beside workers that are busy."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from bson import ObjectId

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended, finish
from craft_easy.core.events.model.retry import Outcome, OutcomeKind
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.dead import Choice, Touched
from craft_easy.core.events.operations.dead_delivery import By, DeadDelivery
from craft_easy.core.events.operations.workers import workers
from craft_easy.core.events.redispatch import redispatch
from craft_easy.core.events.store import EventStore, read
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.filters import DeliveryFilter
from craft_easy.core.events.store.indexes import INDEXES
from tests.cli.history import HOSTILE

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
DIED = START + timedelta(hours=2)


def event(number: int, **values: Any) -> DomainEvent:
    at = START + timedelta(seconds=number)
    values = {"event_type": "order.placed", "payload": {"n": number}, "tenant_id": "acme"} | values
    return DomainEvent(event_id=f"e{number}", timestamp=at, **values)


def failed(handler: str, state: str = "dead", *, error: str = "CardExpired", minutes: int = 0) -> dict[str, Any]:
    """What a record says of a handler after 20 attempts."""
    at = DIED + timedelta(minutes=minutes)
    return {
        "id": handler,
        "state": state,
        "attempts": 20,
        "budget_from": 0,
        "crashes": 0,
        "due_at": START if state == "pending" else None,
        "finished_at": None if state == "pending" else at,
        "took_ms": 1.5,
        "errors": [{"type": error, "message": f"of {handler}", "at": at, "attempt": 20}],
        "reason": None,
        "by": None,
    }


async def store_with(store: EventStore, one: DomainEvent, *handlers: dict[str, Any], **delivery: Any) -> None:
    """Store an event whose deliveries have come so far."""
    states = {handler["state"] for handler in handlers}
    state = "open" if "pending" in states else "dead" if "dead" in states else "done"
    await store.append(one, handlers=[handler["id"] for handler in handlers])
    changed = {"delivery.state": state, "delivery.handlers": list(handlers)}
    changed |= {f"delivery.{name}": value for name, value in delivery.items()}
    await (await store.collection()).update_one({"event_id": one.event_id}, {"$set": changed})


async def graveyard(store: EventStore) -> None:
    """Four dead deliveries of three events; one event is still open, two have nothing dead."""
    await store_with(store, event(1), failed("charge"), failed("mail", "done"))
    await store_with(store, event(2, tenant_id="docs"), failed("charge", minutes=5), failed("mail", "pending"))
    await store_with(
        store, event(3, event_type="order.paid"), failed("charge", minutes=9), failed("mail", error="SMTP")
    )
    await store_with(store, event(4), failed("mail", "done"))
    await store_with(store, event(5), failed("mail", "pending"))
    await store.append(event(6))


async def listed(store: EventStore, choice: Choice = dead.EVERY) -> list[tuple[str, str]]:
    return [(one.event_id, one.handler) async for one in dead.deliveries(store, choice)]


async def delivery(store: EventStore, event_id: str) -> Delivery:
    document = await (await store.collection()).find_one({"_id": record_id(event_id)})
    assert document is not None
    return Tracked.of(document).delivery


async def states(store: EventStore, event_id: str) -> list[str]:
    return [one.state for one in (await delivery(store, event_id)).handlers]


def numbers(touched: Touched) -> tuple[int, int]:
    return touched.counts.events, touched.counts.deliveries


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


async def test_a_dead_delivery_says_what_it_died_of_and_when(store: EventStore) -> None:
    await graveyard(store)
    first = await anext(dead.deliveries(store))
    assert first == DeadDelivery(
        event_id="e1",
        event_type="order.placed",
        timestamp=START + timedelta(seconds=1),
        tenant_id="acme",
        handler="charge",
        state="dead",
        attempts=20,
        crashes=0,
        finished_at=DIED,
        error_type="CardExpired",
        error_message="of charge",
        reason=None,
    )
    assert (first.cause, first.error) == ("CardExpired", "CardExpired: of charge")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(Selection(tenants=("docs",))), ["e2"]),
        (Choice(Selection(types=("order.paid",))), ["e3", "e3"]),
        (Choice(Selection(actors=("nobody",))), []),
        (Choice(Selection(since=START + timedelta(seconds=2))), ["e2", "e3", "e3"]),
        (Choice(Selection(until=START + timedelta(seconds=2))), ["e1"]),
        (Choice(Selection(limit=3)), ["e1", "e2", "e3"]),
        (Choice(Selection(limit=1, reverse=True), ("mail",)), ["e3"]),
        (Choice(handlers=("mail",)), ["e3"]),
        (Choice(handlers=("mail", "charge"), event_ids=("e3", "e1")), ["e1", "e3", "e3"]),
        (Choice(event_ids=("e4", "e5", "e6", "no such")), []),
        (Choice(Selection(tenants=("docs",)), event_ids=("e1",)), []),
        (Choice(Selection(since=START, until=START)), []),
        (Choice(handlers=("\ud800",)), []),
        (Choice(as_of=DIED + timedelta(minutes=5)), ["e1", "e2", "e3"]),
    ],
)
async def test_a_choice_is_kept_and_its_limit_counts_deliveries(
    store: EventStore, choice: Choice, expected: list[str]
) -> None:
    await graveyard(store)
    assert [event_id for event_id, _ in await listed(store, choice)] == expected
    assert (await dead.count(store, choice)).counts.deliveries == len(expected)


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
    assert [(one.group, one.deaths, one.event_id, one.handler) for one in found] == expected


async def test_a_group_knows_its_oldest_and_newest_death(store: EventStore) -> None:
    await graveyard(store)
    [cards, _] = await dead.groups(store)
    assert (cards.oldest, cards.newest, cards.error) == (DIED, DIED + timedelta(minutes=9), "CardExpired")


async def test_what_crashed_died_of_that_and_not_of_an_error_before(store: EventStore) -> None:
    await store_with(store, event(1), failed("a") | {"reason": "crashed", "crashes": 3})
    [group] = await dead.groups(store)
    assert (group.group, group.error) == ("crashed", "crashed")


# ------------------------------------------------------------------ retry


async def test_a_retry_gives_a_fresh_budget_and_keeps_the_history(store: EventStore) -> None:
    await store_with(store, event(1), failed("charge") | {"crashes": 2}, failed("mail", "done"))
    before = await store.now()
    done = await dead.retry(store, Choice(event_ids=("e1",)))
    assert (numbers(done), done.is_complete, done.moved_by_others) == ((1, 1), True, 0)
    found = await delivery(store, "e1")
    charge = found.handlers[0]
    assert (found.state, found.finished_at) == ("open", None)
    assert (charge.state, charge.attempts, charge.budget_from, charge.crashes) == ("pending", 20, 20, 0)
    assert [one.type for one in charge.errors] == ["CardExpired"]
    assert charge.due_at is not None
    assert charge.due_at >= before
    assert found.handlers[1].state == "done"
    assert await listed(store) == []


async def test_a_retry_says_what_it_touched_and_which_ids_it_missed(real_store: EventStore) -> None:
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


async def test_each_delivery_is_told_of_once_it_is_stored(store: EventStore) -> None:
    await store_with(store, event(1), failed("charge"), failed("mail"))
    told: list[DeadDelivery] = []
    await dead.retry(store, on_stored=told.append)
    assert [(one.handler, one.state, one.attempts, one.error) for one in told] == [
        ("charge", "pending", 20, "CardExpired: of charge"),
        ("mail", "pending", 20, "CardExpired: of mail"),
    ]


@pytest.mark.parametrize("size", [1, 3, 500])
async def test_nothing_is_passed_over_while_ones_own_writes_empty_the_index(
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
    found = await delivery(store, "e1")
    [charge] = found.handlers
    assert (charge.state, charge.reason, charge.by) == ("skipped", f"paid by hand {HOSTILE}", "ada@desk")
    assert (charge.attempts, charge.errors[0].type) == (20, "CardExpired")
    assert found.state == "done"  # no handler is pending or dead any more


async def test_a_discard_leaves_what_is_pending(real_store: EventStore) -> None:
    await graveyard(real_store)
    assert numbers(await dead.discard(real_store, Choice(event_ids=("e2", "e5")), reason="r")) == (1, 1)
    assert (await states(real_store, "e2"), await states(real_store, "e5")) == (["skipped", "pending"], ["pending"])


async def test_a_handler_that_is_gone_loses_what_is_pending_and_dead_and_no_other_does(real_store: EventStore) -> None:
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
    assert (await delivery(real_store, "e7")).owner == "busy:1:x"
    assert await states(real_store, "e8") == ["skipped", "dead"]


async def test_pending_and_dead_deliveries_of_one_event_count_once(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("a", "pending"), failed("b"))
    choice = Choice(handlers=("a", "b"))
    assert numbers(await dead.count(real_store, choice, pending=True)) == (1, 2)
    assert numbers(await dead.discard(real_store, choice, reason="r", pending=True)) == (1, 2)
    assert (await delivery(real_store, "e1")).state == "done"


async def test_a_reason_is_kept_as_the_log_can_keep_it(store: EventStore) -> None:
    await store_with(store, event(1), failed("a"))
    assert numbers(await dead.discard(store, reason="\ud800" + "x" * 3_000, by="\udfff")) == (1, 1)
    [entry] = (await delivery(store, "e1")).handlers
    assert entry.reason is not None
    assert (entry.reason[:7], len(entry.reason), entry.by) == ("\\ud800x", 2_000, "\\udfff")


async def test_a_discard_needs_a_reason_and_pending_a_handler(store: EventStore) -> None:
    with pytest.raises(ValueError, match="reason"):
        await dead.discard(store, reason=" ")
    with pytest.raises(ValueError, match="handler"):
        await dead.discard(store, reason="r", pending=True)
    with pytest.raises(ValueError, match="handler"):
        await dead.count(store, pending=True)


# ------------------------------------------------------------------ beside a busy worker


def success(handler: str, owner: str = "busy:1:x") -> Any:
    outcome = Ended(Outcome(handler, OutcomeKind.SUCCEEDED, attempt=21), DIED, handler)
    return partial(finish, ended=[outcome], owner=owner, key="e", at=DIED, release=True)


def failure(handler: str, attempt: int, owner: str = "busy:1:x") -> Any:
    outcome = Ended(Outcome(handler, OutcomeKind.FAILED, attempt=attempt), DIED, handler)
    return partial(finish, ended=[outcome], owner=owner, key="e", at=DIED, release=True)


async def at_the_worst_moment(
    store: EventStore, event_id: str, transition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have a worker write to the record between an operator's look and his write."""
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
async def test_a_late_success_that_comes_first_stands(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    await store_with(real_store, event(1), failed("charge"))
    await store_with(real_store, event(2), failed("charge"))
    await at_the_worst_moment(real_store, "e1", success("charge"), monkeypatch)
    touched = await (dead.retry(real_store) if command == "retry" else dead.discard(real_store, reason="r"))
    assert (numbers(touched), touched.moved_by_others) == ((1, 1), 1)
    assert touched.counts.by_handler == {"charge": 1}
    assert await states(real_store, "e1") == ["done"]
    assert await states(real_store, "e2") == ["pending" if command == "retry" else "skipped"]


async def test_a_success_that_comes_after_a_discard_does_not_undo_it(real_store: EventStore) -> None:
    await store_with(real_store, event(1), failed("mail", "pending"), failed("charge"), owner="busy:1:x")
    log = Deliveries(real_store)
    [busy] = (await log.read([record_id("e1")])).values()
    await dead.discard(real_store, Choice(handlers=("mail", "charge")), reason="gone", pending=True)
    await log.change([PendingChange(busy, success("mail"))])
    assert await states(real_store, "e1") == ["skipped", "skipped"]
    assert busy.delivery == await delivery(real_store, "e1")


async def test_a_success_that_comes_after_a_retry_counts(real_store: EventStore) -> None:
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
    found = await delivery(real_store, "e1")
    charge = found.handlers[0]
    assert (charge.state, charge.attempts, charge.budget_from) == ("pending", 20, 20)


async def test_a_retry_that_was_claimed_before_the_answer_came_still_counts(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch in which one write lost the race is looked at again; the others may have moved on by then."""
    await store_with(real_store, event(1), failed("charge"))
    await store_with(real_store, event(2), failed("charge"))
    await at_the_worst_moment(real_store, "e1", success("charge"), monkeypatch)
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
    assert (await delivery(real_store, "e2")).owner == "fast:1:x"


async def test_two_operators_at_once_move_each_delivery_once(real_store: EventStore) -> None:
    await real_store.append_many([event(number) for number in range(30)], handlers=["a"])
    log = await real_store.collection()
    await log.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers": [failed("a")]}})
    retried, skipped = await asyncio.gather(
        dead.retry(real_store, Choice(Selection(reverse=True))), dead.discard(real_store, reason="r", by="b")
    )
    found = [(await delivery(real_store, f"e{number}")).handlers[0].state for number in range(30)]
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
    by = [(await delivery(real_store, f"e{number}")).handlers[0].by for number in range(30)]
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
    found = {f"e{number}": await delivery(real_store, f"e{number}") for number in range(60)}
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
    found = (await delivery(real_store, "e1")).handlers[0]
    assert (ran, found.state, found.attempts) == (["e1"], "done", 21)


# ------------------------------------------------------------------ workers


async def test_workers_are_told_by_what_they_own_and_when_they_last_beat(store: EventStore) -> None:
    now = await store.now()
    registry = await store.workers_collection()
    for owner, beat_at, fenced in (
        ("api-1:1:aa", now, False),
        ("api-2:2:bb", now - timedelta(seconds=40), False),
        ("api-3:3:cc", now, True),
    ):
        host, pid, _ = owner.split(":")
        entry = {"host": host, "pid": int(pid), "lease": 30.0, "fenced": fenced}
        await registry.insert_one({"_id": owner, "started_at": now - timedelta(hours=1), "beat_at": beat_at, **entry})
    for number, name in enumerate(["api-1:1:aa", "api-2:2:bb", "api-2:2:bb", "gone:9:ff", None]):
        await store_with(store, event(number), failed("a", "pending"), owner=name)
    await store_with(store, event(9), failed("a"), owner="api-1:1:aa")
    found = await workers(store)
    assert [(one.owner, one.state, one.open) for one in found] == [
        ("gone:9:ff", "gone", 1),
        ("api-2:2:bb", "silent", 2),
        ("api-1:1:aa", "alive", 1),
        ("api-3:3:cc", "fenced", 0),
    ]
    silent = found[1]
    assert (silent.host, silent.pid, silent.lease) == ("api-2", 2, 30.0)
    assert silent.silent_s is not None
    assert 40 <= silent.silent_s < 60
    assert found[0].beat_at is None


async def test_without_workers_there_are_none(store: EventStore) -> None:
    assert await workers(store) == []
