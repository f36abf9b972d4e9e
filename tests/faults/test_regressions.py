"""Bugs of other libraries, or of this one; each test is named after its symptom."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import bson
import pytest
from bson import DatetimeMS, ObjectId

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.model.delivery import Ended, finish, take_over
from craft_easy.core.events.model.retry import Outcome, OutcomeKind, RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.redispatch import loop, redispatching
from craft_easy.core.events.redispatch.claiming import CLAIM_SIZE
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import UNOWNED, Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.documents import record_id, to_document
from craft_easy.core.events.store.encoding import CODEC
from craft_events_cli.errors import ExitCode
from tests.faults.application import (
    DEADLINE,
    SHORT_DEADLINE,
    Gate,
    Ran,
    application,
    deliver,
    delivery,
    events,
    fails,
    own,
    states,
)
from tests.support import proxy as commands
from tests.support.conditions import becomes
from tests.support.proxy import FOR_EVER, Proxy


@pytest.fixture
async def bus(embedded_uri: str, database_name: str, ran: Ran) -> AsyncIterator[EventBus]:
    """An application with one handler."""
    async with application(embedded_uri, database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        yield bus


@pytest.fixture
async def store(bus: EventBus) -> EventStore:
    """Its log."""
    return bus.publisher.store


# a record that a live worker owns but does not hold


async def test_an_event_published_again_while_its_handler_runs_stays_with_its_worker(
    bus: EventBus, store: EventStore
) -> None:
    bus.subscribe("*", gate := Gate(), id="slow")
    publishing = asyncio.create_task(bus.publish(event := events(1)[0]))
    await gate.entered.wait()
    await bus.publish(event)
    assert await bus.publisher.record_owner().reconcile() == 0
    assert (await delivery(store, event)).owner is not None
    gate.opened.set()
    await publishing


async def test_a_cancelled_publisher_of_many_drops_none(bus: EventBus, store: EventStore) -> None:
    bus.subscribe("*", gate := Gate(), id="slow")
    publishing = asyncio.create_task(bus.publish_many(published := events(3)))
    await gate.entered.wait()
    publishing.cancel()
    await asyncio.wait([publishing])
    await bus.drain()
    assert await states(store, published) == {("open", None): 3}


async def test_a_publish_of_many_that_is_refused_halfway_drops_none(proxy: Proxy, database_name: str, ran: Ran) -> None:
    async with application(proxy.uri, database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        await bus.publish(first := events(1)[0])
        await bus.drain()
        cut = proxy.lose_requests(commands.beat, FOR_EVER)
        bus.publisher.store.timeout = SHORT_DEADLINE
        with pytest.raises(StoreUnavailable):
            await bus.publish_many([*(published := events(2)), first])
        assert (cut.met > 0, ran.total) == (True, 1)
        bus.publisher.store.timeout = DEADLINE
        cut.lift()
        assert await bus.publisher.record_owner().reconcile() == 2
        assert await states(bus.publisher.store, published) == {("open", None): 2}


async def test_a_record_whose_insert_lost_its_reply_is_not_sat_on_by_the_live_worker_that_owns_it(
    proxy: Proxy, database_name: str, ran: Ran
) -> None:
    async with (
        application(proxy.uri, database_name) as bus,
        application(f"{proxy.uri}&appName=other", database_name) as other,
    ):
        other.subscribe("*", ran.handler("a"), id="a")
        bus.subscribe("*", ran.handler("a"), id="a")
        cut = proxy.lose_replies(commands.insert, FOR_EVER)
        bus.publisher.store.timeout = SHORT_DEADLINE
        with pytest.raises(StoreUnavailable):
            await bus.publish(forgotten := events(1)[0])
        bus.publisher.store.timeout = DEADLINE
        cut.lift()
        summary = await deliver(other)
        while not ran.total:
            summary = await deliver(other)
        assert (summary.done, summary.taken_over) == (1, 0)
        assert (await delivery(bus.publisher.store, forgotten)).state == "done"


async def test_a_record_whose_claim_lost_its_reply_is_not_sat_on_by_the_live_worker_that_owns_it(
    proxy: Proxy, database_name: str, ran: Ran
) -> None:
    async with application(proxy.uri, database_name) as bus:
        bus.subscribe("*", ran.handler("a"), id="a")
        record_owner, store = bus.publisher.record_owner(), bus.publisher.store
        await store.append_many(published := events(3), handlers=["a"])
        proxy.lose_replies(commands.claim)
        with pytest.raises(StoreUnavailable):
            await record_owner.claim([record_id(event.event_id) for event in published], UNOWNED)
        async with asyncio.timeout(60):
            for event in published:
                while (await delivery(store, event)).rev < 2:  # noqa: ASYNC110 - claimed, and given back after a beat
                    await asyncio.sleep(0.01)
        assert await states(store, published) == {("open", None): 3}


# stale and stuck records


async def test_an_old_event_that_was_claimed_just_now_is_not_stale(
    bus: EventBus, store: EventStore, embedded_uri: str, database_name: str
) -> None:
    """A claim is stale by its own time and the heartbeats of its worker, not by the time of the publish."""
    long_ago = await store.now() - timedelta(days=30)
    await store.append_many(published := events(1, timestamp=long_ago), handlers=["slow"])
    bus.subscribe("*", gate := Gate(), id="slow")
    first = asyncio.create_task(deliver(bus))
    await gate.entered.wait()
    async with application(embedded_uri, database_name) as other:
        other.subscribe("*", Gate(), id="slow")
        summary = await deliver(other)
        assert (summary.claimed, summary.taken_over, summary.owned) == (0, 0, 1)
    gate.opened.set()
    assert (await first).done == 1
    assert await states(store, published) == {("done", None): 1}


STUCK: Final[tuple[dict[str, Any], ...]] = (
    {"delivery.owner": "host:1:unknown"},
    {"delivery.owner": "host:1:unknown", "delivery.claimed_at": None},
    {"delivery.due_at": None},
    {"delivery.due_at": datetime(2000, 1, 1, tzinfo=UTC), "delivery.claimed_at": datetime(2000, 1, 1, tzinfo=UTC)},
    {"delivery.running": "a"},
    {"delivery.rev": None},
    {"delivery.rev": "x"},
    {"delivery.rev": 3.0},
    {"delivery.rev": "x", "delivery.owner": "host:1:unknown"},
    {"delivery.rev": 3.0, "delivery.owner": "host:1:unknown"},
    {"delivery.handlers.0.due_at": None},
    {"delivery.handlers.0.attempts": "many"},
    {"delivery.takeovers": 50},
)


@pytest.mark.parametrize("number", range(len(STUCK)))
async def test_no_delivery_is_stuck_where_no_redispatch_finds_it(
    number: int, bus: EventBus, store: EventStore, ran: Ran
) -> None:
    await store.append_many(published := events(1), handlers=["a"])
    await (await store.collection()).update_one({}, {"$set": STUCK[number]})
    await deliver(bus)
    assert ran.total == 1
    assert await states(store, published) == {("done", None): 1}


async def test_a_finished_event_is_never_claimed_again(bus: EventBus, store: EventStore, ran: Ran) -> None:
    await bus.publish_many(published := events(3))
    await bus.drain()
    began_at = await store.now()
    summaries = [await deliver(bus), await deliver(bus, now=False)]
    summaries.append(await deliver(bus, include_unhandled=True))
    assert [summary.claimed for summary in summaries] == [0, 0, 0]
    claimed = await bus.publisher.record_owner().claim([record_id(event.event_id) for event in published], UNOWNED)
    assert (claimed, ran.total) == ([], 3)
    assert all(
        one.finished_at < began_at for one in [await delivery(store, event) for event in published] if one.finished_at
    )


# blocked deliveries


async def test_exhausted_waiting_and_unknown_entries_do_not_block_the_head_of_the_batch(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    past = await store.now() - timedelta(hours=1)
    collection = await store.collection()
    await store.append_many(dead := events(CLAIM_SIZE + 20, timestamp=past), handlers=["a"])
    await collection.update_many({}, {"$set": {"delivery.state": "dead", "delivery.handlers.0.state": "dead"}})
    await store.append_many(events(CLAIM_SIZE + 20, timestamp=past, tenant_id="unknown"), handlers=["unknown"])
    await store.append_many(events(CLAIM_SIZE + 20, timestamp=past, tenant_id="later"), handlers=["a"])
    later = await store.now() + timedelta(hours=1)
    waits = {"delivery.due_at": later, "delivery.handlers.0.due_at": later}
    await collection.update_many({"tenant_id": "later"}, {"$set": waits})
    await store.append_many(good := events(5), handlers=["a"])
    summary = await deliver(bus, Selection(limit=5), now=False)
    assert (summary.claimed, summary.done) == (5, 5)
    assert set(ran.runs) == {("a", event.event_id) for event in good}
    assert await states(store, dead) == {("dead", None): len(dead)}


async def test_a_filter_is_not_applied_after_the_limit(bus: EventBus, store: EventStore, ran: Ran) -> None:
    past = await store.now() - timedelta(hours=1)
    await store.append_many(events(2 * CLAIM_SIZE, timestamp=past, tenant_id="first"), handlers=["a"])
    await store.append_many(mine := events(4, tenant_id="acme"), handlers=["a"])
    summary = await deliver(bus, Selection(tenants=("acme",), limit=3))
    assert (summary.claimed, summary.done) == (3, 3)
    assert set(ran.runs) < {("a", event.event_id) for event in mine}


async def test_a_log_that_is_lost_while_the_rest_is_counted_leaves_the_summary_of_the_run(
    bus: EventBus, store: EventStore, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **_paused: object) -> None:
        raise StoreUnavailable("db:27017: connection refused")

    await store.append_many(events(3), handlers=["a"])
    monkeypatch.setattr(loop, "orphans", lost)
    summary = await deliver(bus)
    assert (summary.done, summary.uncounted, summary.is_clean) == (3, "db:27017: connection refused", False)


async def test_a_redispatch_alongside_an_application_goes_on_after_a_killed_cursor(
    bus: EventBus, store: EventStore, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    unowned, listings = Deliveries.unowned, 0

    def killed_at_first(*args: Any, **options: Any) -> Any:
        nonlocal listings
        listings += 1
        if listings == 1:
            raise StoreError("db:27017: cursor killed")
        return unowned(*args, **options)

    monkeypatch.setattr(Deliveries, "unowned", killed_at_first)
    await store.append_many(mine := events(3), handlers=["a"])
    async with redispatching(bus):
        await becomes(lambda: len(ran.runs) == 3)
    assert await states(store, mine) == {("done", None): 3}


UNREADABLE: Final[tuple[dict[str, Any], ...]] = (
    {"delivery": "x"},
    {"delivery": {"state": "open", "handlers": 7}},
    {
        "delivery": {
            "state": "open",
            "handlers": [7, None, {"state": "pending"}, {"id": "a", "state": "pending", "errors": 7}],
        }
    },
    {"delivery": {"state": "open", "handlers": [{"id": "a", "state": "pending", "errors": [{"at": "never"}, 3]}]}},
    {"delivery": {"state": "open", "owner": {"a": 1}, "handlers": [{"id": "a", "state": "pending"}]}},
    {"payload": []},
    {"payload": "text"},
    {"timestamp": "yesterday"},
    {"timestamp": None},
    {"event_type": 7},
    {"tenant_id": {"a": 1}},
    {"actor_id": [1]},
    {"_id": {"a": 1}},
    {"_id": "text"},
)


async def test_records_that_cannot_be_decoded_do_not_abort_the_batch(
    bus: EventBus, store: EventStore, ran: Ran
) -> None:
    """Some of them are delivered as far as they can be read; all valid ones are delivered."""
    collection = await store.collection()
    await store.append_many(good := events(30), handlers=["a"])
    model = await collection.find_one({})
    assert model is not None
    foreign = [
        {**model, "_id": ObjectId(), "event_id": f"foreign-{number}", **odd} for number, odd in enumerate(UNREADABLE)
    ]
    await collection.insert_many(foreign)
    await deliver(bus, Selection(since=await store.now() - timedelta(days=1)), include_untracked=True)
    await deliver(bus)
    assert await states(store, good) == {("done", None): 30}
    assert all(ran.runs["a", event.event_id] == 1 for event in good)
    assert not await collection.count_documents({"delivery.state": "open", "delivery.owner": {"$gt": ""}})


@pytest.mark.parametrize("field", ["timestamp", "payload", "claimed_at", "due_at", "finished_at", "text"])
def test_a_date_past_python_s_range_and_invalid_text_do_not_stop_a_delivery(field: str) -> None:
    """MongoDB stores dates of 292 million years, and any bytes as text; the embedded server refuses both of them."""
    late, now = DatetimeMS(2**62), datetime.now(UTC)
    record: dict[str, Any] = {"_id": ObjectId(), "event_id": "e", "event_type": "order.placed", "timestamp": now}
    pending = {"id": "a", "state": "pending", "due_at": now}
    record |= {"payload": {}, "delivery": {"rev": 0, "state": "open", "due_at": now, "handlers": [pending]}}
    odd: dict[str, dict[str, Any]] = {
        "timestamp": {"timestamp": late},
        "payload": {"payload": {"at": late}},
        "claimed_at": {"delivery": {**record["delivery"], "claimed_at": late}},
        "due_at": {"delivery": {**record["delivery"], "due_at": late, "handlers": [{**pending, "due_at": late}]}},
        "finished_at": {"delivery": {**record["delivery"], "finished_at": late}},
        "text": {"event_type": "no text", "tenant_id": "no text", "payload": {"no text": "no text"}},
    }
    data = bson.encode({**record, **odd[field]}).replace(b"no text", b"\xff\xfe\xc3(no\xc3")
    tracked = Tracked.of(cast("dict[str, Any]", bson.decode(data, cast("Any", CODEC))))
    assert DomainEvent.from_record(tracked.document).event_id == "e"
    ended = Ended(Outcome("a", OutcomeKind.SUCCEEDED, 1), now, "a")
    after = finish(tracked.delivery, [ended], owner="me", key="e", at=now)
    assert after.state == "done"
    assert bson.encode(to_document(after))


# overwriting writes


async def test_a_rescue_does_not_overwrite_a_success(bus: EventBus, store: EventStore) -> None:
    """The worker stores its success after the rescuer has read the record, and before the rescuer writes."""
    await store.append_many([event := events(1)[0]], handlers=["a"])
    await own(store, owner := "host:1:slow", register=False)
    deliveries = Deliveries(store)
    [stale] = [one async for page in deliveries.owned_by([owner]) for one in page]
    [fresh] = (await deliveries.read([stale.id])).values()
    at = await store.now()
    succeeded = Ended(Outcome("a", OutcomeKind.SUCCEEDED, 1), at, "a")
    await deliveries.change([PendingChange(fresh, lambda now: finish(now, [succeeded], owner=owner, key="k", at=at))])
    await deliveries.change([PendingChange(stale, lambda now: take_over(now, owner, at=at))])
    left = await delivery(store, event)
    assert (left.state, left.takeovers, [one.state for one in left.handlers]) == ("done", 0, ["done"])
    assert (await deliver(bus)).claimed == 0


async def test_the_first_delivery_does_not_race_its_own_redispatch(
    bus: EventBus, store: EventStore, ran: Ran, embedded_uri: str, database_name: str
) -> None:
    gate = Gate()
    bus.subscribe("*", ran.handler("slow", gate), id="slow")
    publishing = asyncio.create_task(bus.publish(event := events(1)[0]))
    await gate.entered.wait()
    async with application(embedded_uri, database_name) as other:
        for name in ("a", "slow"):
            other.subscribe("*", ran.handler(name), id=name)
        summaries = [await deliver(bus), await deliver(other)]
    assert [summary.claimed for summary in summaries] == [0, 0]
    gate.opened.set()
    await publishing
    await bus.drain()
    assert set(ran.runs.values()) == {1}
    assert (await delivery(store, event)).state == "done"


async def test_an_operators_retry_is_not_overwritten_by_the_worker_that_was_busy(
    bus: EventBus, store: EventStore
) -> None:
    bus.subscribe("*", gate := Gate(ValueError("busy")), id="busy", background=True)
    bus.subscribe("*", fails, id="dies", retry=RetryPolicy(max_attempts=1))
    await bus.publish(event := events(1)[0])
    await gate.entered.wait()
    await bus.publisher.flush()
    dies = (await delivery(store, event)).handler("dies")
    assert dies is not None
    assert dies.state == "dead"
    await dead.retry(store)
    gate.opened.set()
    await bus.drain()
    left = await delivery(store, event)
    assert {one.id: (one.state, one.attempts, one.budget_from) for one in left.handlers} == {
        "a": ("done", 1, 0),
        "busy": ("pending", 1, 0),
        "dies": ("pending", 1, 1),
    }
    await deliver(bus, handlers=("dies",))
    dies = (await delivery(store, event)).handler("dies")
    assert dies is not None
    assert (dies.state, dies.attempts, len(dies.errors)) == ("dead", 2, 2), "it has used its fresh budget"


async def test_a_failure_whose_reply_was_lost_is_counted_once(
    bus: EventBus, store: EventStore, proxy: Proxy, database_name: str
) -> None:
    """It is not, even if another worker has written to the record before it is sent again."""
    async with application(proxy.uri, database_name) as worker:
        worker.subscribe("*", fails, id="fails")
        worker.subscribe("*", gate := Gate(), id="slow")
        await store.append_many([event := events(1)[0]], handlers=["fails", "slow", "gone"])
        cut = proxy.lose_replies(commands.outcome, FOR_EVER)
        running = asyncio.create_task(deliver(worker))
        await becomes(lambda: cut.met)
        async with asyncio.timeout(60):
            while not (await delivery(store, event)).handlers[0].attempts:  # noqa: ASYNC110 - each poll is a round trip
                await asyncio.sleep(0)
        await dead.discard(store, dead.Choice(handlers=("gone",)), reason="renamed", pending=True)
        cut.lift()
        await worker.publisher.flush()
        gate.opened.set()
        await running
        [left, _, gone] = (await delivery(store, event)).handlers
        assert (left.state, left.attempts, len(left.errors)) == ("pending", 1, 1)
        assert gone.state == "skipped"


# a deploy

SLOW: Final = """
import asyncio
from pathlib import Path

from craft_easy.core.events import event_handler

@event_handler("*", id="slow")
async def slow(event):
    Path("began").touch()
    await asyncio.sleep(600)
"""


async def test_a_deploy_uses_up_no_attempts(
    store: EventStore, embedded_uri: str, database_name: str, tmp_path: Path
) -> None:
    await store.append_many(published := events(1), handlers=["slow"])
    (tmp_path / "slow_handlers.py").write_text(SLOW)
    for _ in range(2):
        began = tmp_path / "began"
        began.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("craft-events")),
            *["redispatch", "-m", "slow_handlers", "--grace", "0.1"],
            *["--uri", embedded_uri, "--database", database_name],
            cwd=tmp_path,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await becomes(began.exists)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == ExitCode.TERMINATED
        left = await delivery(store, published[0])
        assert (left.state, left.owner, left.takeovers) == ("open", None, 0)
        assert [(one.attempts, one.crashes, one.errors) for one in left.handlers] == [(0, 0, ())]
