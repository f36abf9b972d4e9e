"""Payloads that are removed on request: the removed fields, the kept ones, and no later write that restores them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from craft_easy.core.events import DomainEvent, EventBus, EventConflict
from craft_easy.core.events.history.replay import replay
from craft_easy.core.events.model.delivery import Delivery, Ended, finish
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind, RetryPolicy
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import redact
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.formats.event_json import event_json
from craft_easy.core.events.store.queries import redact as redact_queries
from craft_easy.core.events.types import UserRegistered
from tests.support.events import START, numbered

DRIVERS = ("a URI",)
OF_ACME = Selection(tenants=("acme",))
SECRET = "ada@example.org"


def event(number: int, **values: Any) -> DomainEvent:
    values = {"event_type": "user.changed", "payload": {"email": SECRET}, "tenant_id": "acme"} | values
    return numbered(number, **values)


async def record(store: EventStore, one: DomainEvent) -> dict[str, Any]:
    found = await (await store.collection()).find_one({"_id": record_id(one.event_id)})
    assert found is not None
    return found


async def put(store: EventStore, one: DomainEvent, fields: Mapping[str, Any]) -> None:
    await (await store.collection()).update_one({"_id": record_id(one.event_id)}, {"$set": dict(fields)})


def handler(name: str, state: str, **fields: Any) -> dict[str, Any]:
    error = {"type": "ValueError", "message": f"no mailbox {SECRET}", "at": START, "attempt": 1}
    ended = None if state == "pending" else START
    return {"id": name, "state": state, "attempts": 1, "finished_at": ended, "errors": [error]} | fields


async def untouched(store: EventStore, events: Iterable[DomainEvent]) -> bool:
    return all([(await record(store, one))["payload"] == one.payload for one in events])


# ------------------------------------------------------------------ removed and kept


async def test_the_payload_goes_and_what_is_unfinished_is_skipped_with_the_same_write(store: EventStore) -> None:
    one = event(1, actor_id="u1")
    await store.append(one, handlers=["stock"])
    handlers = [
        handler("stock", "pending"),
        handler("mail", "dead"),
        handler("audit", "done"),
        handler("crm", "skipped", reason=f"unknown {SECRET}", by="handler"),
    ]
    await put(store, one, {"delivery.handlers": handlers, "delivery.owner": "w:1:x", "causation_id": "c"})
    before = await record(store, one)

    redacted = await redact.redact(store, OF_ACME, by="ada@host", reason="request 17")

    after = await record(store, one)
    assert after["payload"] == {}
    assert SECRET not in str(after)
    kept = ("_id", "event_id", "event_type", "timestamp", "tenant_id", "actor_id", "causation_id")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["redacted"] | {"at": 0} == {"at": 0, "by": "ada@host", "reason": "request 17"}
    delivery = after["delivery"]
    assert (delivery["state"], delivery["owner"], delivery["rev"]) == ("done", None, before["delivery"]["rev"] + 1)
    said = {one["id"]: (one["state"], one["reason"], one["by"]) for one in delivery["handlers"]}
    assert said == {
        "stock": ("skipped", "redacted", "ada@host"),
        "mail": ("skipped", "redacted", "ada@host"),
        "audit": ("done", None, None),
        "crm": ("skipped", None, "handler"),
    }
    assert delivery["handlers"][0]["errors"] == [{"type": "ValueError", "message": "", "at": START, "attempt": 1}]
    assert (redacted.counts.events, redacted.counts.deliveries, redacted.is_complete) == (1, 2, True)
    assert redacted.counts.by_handler == {"stock": 1, "mail": 1}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (OF_ACME, [1, 2]),
        (Selection(actors=("u1",)), [2, 3]),
        (Selection(tenants=("acme",), actors=("u1",)), [2]),
        (Selection(tenants=("acme", "globex")), [1, 2, 3]),
        (Selection(tenants=("acme",), limit=1), [1]),
        (Selection(tenants=("acme",), limit=1, reverse=True), [2]),
        (Selection(tenants=("acme",), types=("user.b*",)), [2]),
        (Selection(tenants=("acme",), since=START + timedelta(seconds=2)), [2]),
    ],
)
async def test_only_what_is_selected_loses_its_payload(
    store: EventStore, selection: Selection, expected: list[int]
) -> None:
    events = [
        event(1),
        event(2, actor_id="u1", event_type="user.born"),
        event(3, tenant_id="globex", actor_id="u1"),
        event(4, tenant_id=None),
    ]
    await store.append_many(events)
    counted = await redact.count(store, selection)
    assert await untouched(store, events)
    redacted = await redact.redact(store, selection)
    assert redacted.counts == counted.counts
    gone = [int(one.event_id[1:]) for one in events if not (await record(store, one))["payload"]]
    assert gone == expected


@pytest.mark.parametrize("act", [redact.count, redact.redact])
async def test_neither_a_tenant_nor_an_actor_is_refused(store: EventStore, act: Any) -> None:
    with pytest.raises(ValueError, match="a tenant or an actor"):
        await act(store, Selection(types=("user.*",)))


async def test_a_second_redaction_finds_nothing_and_keeps_the_note_of_the_first(store: EventStore) -> None:
    one = event(1)
    await store.append(one, handlers=["mail"])
    await redact.redact(store, OF_ACME, reason="first")
    before = await record(store, one)
    assert (await redact.redact(store, OF_ACME, reason="second")).counts.events == 0
    assert await record(store, one) == before


async def test_a_scan_reads_many_pages(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact_queries, "REDACT_PAGE", 7)
    await store.append_many([event(number) for number in range(30)], handlers=["mail"])
    reached: list[int] = []
    redacted = await redact.redact(store, OF_ACME, on_redacted=reached.append)
    assert (redacted.counts.events, redacted.counts.deliveries, sum(reached), len(reached)) == (30, 30, 30, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"delivery": "x"},
        {"delivery": ["x"]},
        {"delivery": {"rev": "many", "state": 7, "handlers": "x"}},
        {"delivery": {"handlers": [7, {"errors": "x"}, {"id": {"a": 1}, "state": "limbo"}]}},
        {"payload": [SECRET]},
        {"redacted": True},
        {"redacted": {"at": "yesterday"}},
    ],
)
async def test_a_record_of_another_program_loses_its_payload_too(store: EventStore, fields: Mapping[str, Any]) -> None:
    one = event(1)
    await store.append(one)
    await put(store, one, fields)
    assert (await redact.redact(store, OF_ACME)).counts.events == 1
    assert (await record(store, one))["payload"] == {}
    assert (await redact.redact(store, OF_ACME)).counts.events == 0


async def test_the_event_json_of_a_redacted_event_has_time_author_and_reason(store: EventStore) -> None:
    one = event(1)
    await store.append(one, handlers=["mail"])
    await redact.redact(store, OF_ACME, by="ada", reason="request 17")
    described = event_json(await record(store, one))
    at = (await record(store, one))["redacted"]["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert described["redacted"] == {"at": at, "by": "ada", "reason": "request 17"}
    assert list(described)[-2:] == ["delivery", "redacted"]


async def test_it_is_read_as_a_plain_event_with_an_empty_payload(store: EventStore) -> None:
    one = UserRegistered(user_id="u1", email=SECRET, tenant_id="acme")
    await store.append(one)
    await redact.redact(store, OF_ACME)
    read = await store.get(one.event_id)
    assert type(read) is DomainEvent
    assert (read.event_type, read.payload, read.timestamp) == (one.event_type, {}, one.timestamp)


# ------------------------------------------------------------------ with workers at work


def outcome(kind: OutcomeKind, **values: Any) -> Ended:
    return Ended(Outcome("mail", kind, 1, 1.0, retry=RetryPolicy(), **values), START, "mail")


async def busy(store: EventStore) -> tuple[DomainEvent, Tracked]:
    """A record that a worker owns, in the state that the worker has read."""
    one = event(1)
    await store.append(one, handlers=["mail"])
    await put(store, one, {"delivery.owner": "w:1:x", "delivery.claimed_at": START})
    return one, Tracked.of(await record(store, one))


async def ends(store: EventStore, record: Tracked, ended: Ended) -> None:
    def end(delivery: Delivery) -> Delivery:
        return finish(delivery, [ended], owner="w:1:x", key="e1", at=START, release=True)

    await Deliveries(store).change([PendingChange(record, end)])


@pytest.mark.parametrize(
    "ended",
    [
        outcome(OutcomeKind.SUCCEEDED),
        outcome(OutcomeKind.FAILED, error=ErrorText("ValueError", f"no mailbox {SECRET}")),
    ],
)
async def test_a_late_write_of_a_worker_does_not_restore_redacted_text(store: EventStore, ended: Ended) -> None:
    one, held = await busy(store)
    await redact.redact(store, OF_ACME)
    before = await record(store, one)
    await ends(store, held, ended)
    assert await record(store, one) == before
    assert before["delivery"]["handlers"][0]["state"] == "skipped"


async def test_a_success_that_is_stored_in_between_is_kept(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, held = await busy(store)
    pages = redact_queries.unredacted

    async def listed_before(*args: Any) -> AsyncIterator[list[Tracked]]:
        async for page in pages(*args):
            await ends(store, held, outcome(OutcomeKind.SUCCEEDED))
            yield page

    monkeypatch.setattr(redact_queries, "unredacted", listed_before)
    redacted = await redact.redact(store, OF_ACME)
    after = await record(store, one)
    assert (after["payload"], after["delivery"]["handlers"][0]["state"]) == ({}, "done")
    assert (redacted.counts.events, redacted.counts.deliveries) == (1, 0)


async def test_a_record_that_is_tracked_during_a_redaction_loses_its_payload_too(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = event(1)
    await store.append(one)
    pages = redact_queries.unredacted

    async def listed_before(*args: Any) -> AsyncIterator[list[Tracked]]:
        async for page in pages(*args):
            await store.append(one, handlers=["mail"])
            yield page

    monkeypatch.setattr(redact_queries, "unredacted", listed_before)
    assert (await redact.redact(store, OF_ACME)).counts.by_handler == {"mail": 1}
    assert (await record(store, one))["payload"] == {}


async def test_two_redactions_at_once_leave_one_trace_and_count_each_event_at_least_once(store: EventStore) -> None:
    events = [event(number) for number in range(40)]
    await store.append_many(events, handlers=["mail"])
    one, other = await asyncio.gather(
        redact.redact(store, OF_ACME, by="one"), redact.redact(store, OF_ACME, by="other")
    )
    found = [await record(store, each) for each in events]
    assert all(each["payload"] == {} and each["delivery"]["rev"] == 1 for each in found)
    assert one.counts.deliveries + other.counts.deliveries >= 40


async def test_a_record_that_is_locked_is_named_and_holds_up_no_other(
    store: EventStore, embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact_queries, "BULK_WRITE_S", 0.5)
    monkeypatch.setattr(redact_queries, "APART_S", 0.3)
    events = [event(number) for number in range(3)]
    await store.append_many(events)
    async with AsyncMongoClient[dict[str, Any]](embedded_uri) as dead, dead.start_session() as session:
        await session.start_transaction()
        locked = dead[database_name]["event_log"]
        await locked.update_one({"_id": record_id("e1")}, {"$set": {"x": 1}}, session=session)
        redacted = await redact.redact(store, OF_ACME)
        await session.abort_transaction()
    assert (redacted.kept, redacted.is_complete, redacted.counts.events) == (
        {"e1": "it is locked by a transaction"},
        False,
        2,
    )
    await redact.redact(store, OF_ACME)  # the server may have executed queued commands by now
    assert [(await record(store, one))["payload"] for one in events] == [{}, {}, {}]


# ------------------------------------------------------------------ afterwards


@pytest.mark.parametrize("handlers", [None, ["mail"], []])
async def test_the_same_event_published_again_is_a_no_op(store: EventStore, handlers: list[str] | None) -> None:
    one = event(1)
    ran: list[DomainEvent] = []
    await store.append(one, handlers=handlers)
    await redact.redact(store, OF_ACME)
    before = await record(store, one)
    async with EventBus() as bus:
        bus.configure_store(store, lease=3)
        bus.subscribe("*", ran.append, id="mail")
        await bus.publish(one)
        await bus.publish_many([one, one])
        assert await store.append(one) is False
        assert await store.append(one, handlers=["other"]) is False
        for options in (
            RedispatchOptions(wait=False),
            RedispatchOptions(wait=False, include_untracked=True, include_unhandled=True),
        ):
            await redispatch(bus, Selection(since=START), options)
    assert ran == []
    assert await record(store, one) == before


async def test_an_event_of_another_type_under_its_id_is_still_a_conflict(store: EventStore) -> None:
    await store.append(event(1))
    await redact.redact(store, OF_ACME)
    for other in (event(1, event_type="user.gone"), event(1, tenant_id="globex"), event(1, actor_id="u9")):
        with pytest.raises(EventConflict):
            await store.append(other)


async def test_the_transaction_of_an_outbox_finds_it_too(store: EventStore, embedded_uri: str) -> None:
    one = event(1)
    ran: list[DomainEvent] = []
    await store.append(one, handlers=["mail"])
    await redact.redact(store, OF_ACME)
    async with EventBus() as bus, AsyncMongoClient[dict[str, Any]](embedded_uri) as client:
        bus.configure_store(store, lease=3)
        bus.subscribe("*", ran.append, id="mail")
        async with bus.transaction(client) as outbox:
            await outbox.publish(one)
    assert ran == []
    assert (await record(store, one))["payload"] == {}


async def test_a_replay_prints_it_and_runs_no_handler_over_it(store: EventStore) -> None:
    ran: list[DomainEvent] = []
    await store.append_many([event(1), event(2, tenant_id="globex")], handlers=["mail"])
    await redact.redact(store, OF_ACME)
    assert [one.payload for one in await store.replay()] == [{}, {"email": SECRET}]
    async with EventBus() as bus:
        bus.configure_store(store, lease=3)
        bus.subscribe("*", ran.append, id="mail")
        summary = await replay(bus, Selection())
    assert ([one.event_id for one in ran], summary.events, summary.redacted) == (["e2"], 1, 1)


async def test_the_handler_of_a_publisher_that_is_at_work_ends_and_its_event_stays_empty(store: EventStore) -> None:
    one, begun, go_on = event(1), asyncio.Event(), asyncio.Event()

    async def mail(_: DomainEvent) -> None:
        begun.set()
        await go_on.wait()
        raise ValueError(SECRET)

    async with EventBus() as bus:
        bus.configure_store(store, lease=3)
        bus.subscribe("*", mail, id="mail", background=True)
        await bus.publish(one)
        await begun.wait()
        assert (await redact.redact(store, OF_ACME)).counts.by_handler == {"mail": 1}
        go_on.set()
        await bus.drain()
    after = await record(store, one)
    assert (after["payload"], after["delivery"]["state"], after["delivery"]["owner"]) == ({}, "done", None)
    assert SECRET not in str(after)
