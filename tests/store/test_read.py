"""Reading: order, windows, patterns, tenants, states, limits, and records of other programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import DatetimeMS, ObjectId, encode
from bson.raw_bson import RawBSONDocument
from pymongo import _csot

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.selection import NO_TENANT, Selection
from craft_easy.core.events.store import EventStore, drivers, read
from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.filters import ClaimFilter
from craft_easy.core.events.types import DomainEvent

START = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


def event(number: int, **changes: Any) -> DomainEvent:
    """An event a second; three share each second."""
    values: dict[str, Any] = {
        "event_type": "order.placed",
        "timestamp": START + timedelta(seconds=number // 3),
        "payload": {"number": number},
    }
    return DomainEvent(**values | changes)


async def numbers(store: EventStore, **selection: Any) -> list[int]:
    pages = store.batches(Selection(**selection), size=7)
    return [record["payload"]["number"] async for page in pages for record in page]


async def test_events_come_by_time_and_then_by_id(store: EventStore) -> None:
    await store.append_many([event(number) for number in reversed(range(50))])
    events = await store.replay()
    keys = [(one.timestamp, one.event_id) for one in events]
    assert keys == sorted(keys)
    assert len(set(keys)) == 50
    assert [one async for one in store.stream()] == events
    assert [one async for one in store.stream(reverse=True)] == events[::-1]


async def test_a_window_holds_its_first_moment_and_not_its_last(store: EventStore) -> None:
    await store.append_many([event(number) for number in range(30)])
    found = await store.replay(since=START + timedelta(seconds=2), until=START + timedelta(seconds=4))
    assert sorted(one.payload["number"] for one in found) == [6, 7, 8, 9, 10, 11]
    between = timedelta(microseconds=1)
    assert await store.replay(since=START + timedelta(seconds=9) + between) == []
    assert len(await store.replay(until=START + between)) == 3
    assert await store.replay(since=START, until=START) == []


async def test_a_limit_counts_events_after_the_filters(store: EventStore) -> None:
    await store.append_many([event(number, tenant_id="even" if number % 2 == 0 else "odd") for number in range(40)])
    assert len(await store.replay(tenant_id="odd", limit=15)) == 15
    assert len(await numbers(store, tenants=("odd",), limit=20)) == 20
    newest = await numbers(store, tenants=("odd",), limit=2, reverse=True)
    assert set(newest) <= {39, 37}


async def test_a_selection_can_be_counted(store: EventStore) -> None:
    await store.append_many([event(number, tenant_id="even" if number % 2 == 0 else "odd") for number in range(30)])
    assert await store.count(Selection()) == 30
    assert await store.count(Selection(tenants=("odd",))) == 15
    assert await store.count(Selection(tenants=("odd",), limit=4)) == 4
    assert await store.count(Selection(since=START + timedelta(seconds=9), until=START + timedelta(hours=1))) == 3
    assert await store.count(Selection(since=START, until=START)) == 0


async def test_replay_returns_a_thousand_events_by_default(real_store: EventStore) -> None:
    await real_store.append_many([event(number) for number in range(1_010)])
    assert len(await real_store.replay()) == 1_000
    assert len(await real_store.replay(limit=None)) == 1_010
    with pytest.raises(ValueError, match="at least 1"):
        await real_store.replay(limit=0)


async def test_pages_hold_at_most_their_size_and_nothing_twice(store: EventStore) -> None:
    await store.append_many([event(number) for number in range(100)])
    pages = [page async for page in store.batches(Selection(), size=30)]
    if not drivers.is_mock((await store.connection()).database):
        assert max(map(len, pages)) == 30
    assert sorted(record["payload"]["number"] for page in pages for record in page) == list(range(100))


async def test_a_pattern_selects_whole_types(store: EventStore) -> None:
    types = ["payment.completed", "payment.refund.failed", "paymentXcompleted", "payment.completed\n", "payment.a+b"]
    await store.append_many([event(number, event_type=one) for number, one in enumerate(types)])
    assert await numbers(store, types=("payment.completed",)) == [0]
    assert sorted(await numbers(store, types=("payment.*",))) == [0, 1, 3, 4]
    assert sorted(await numbers(store, types=("payment?completed",))) == [0, 2]
    assert await numbers(store, types=("payment.a+b",)) == [4]
    assert sorted(await numbers(store, types=("payment.completed", "*.failed"))) == [0, 1]
    assert len(await numbers(store, types=("*",))) == 5
    assert await numbers(store, types=("payment",)) == []


async def test_no_tenant_is_another_choice_than_any_tenant(store: EventStore) -> None:
    await store.append_many([event(0, tenant_id="acme"), event(3), event(6, tenant_id="")])
    assert await numbers(store) == [0, 3, 6]
    assert [one.payload["number"] for one in await store.replay(tenant_id=NO_TENANT)] == [3]
    assert await numbers(store, tenants=("acme",), no_tenant=True) == [0, 3]
    assert [one.payload["number"] for one in await store.replay(tenant_id="")] == [6]


@pytest.mark.parametrize("hostile", ['{"$ne":null}', "$ne", "acme\0", "a.b", "\udcff", "[red]"])
async def test_a_value_is_only_ever_a_text_to_be_equal_to(store: EventStore, hostile: str) -> None:
    await store.append_many([event(0, tenant_id="acme", actor_id="someone"), event(1)])
    assert await store.replay(tenant_id=hostile) == []
    assert await numbers(store, actors=(hostile,)) == []
    assert await numbers(store, types=(hostile,)) == []
    assert await numbers(store, types=(hostile + "*",)) == []
    assert await store.get(hostile) is None


async def test_an_operator_in_place_of_a_tenant_matches_nothing(store: EventStore) -> None:
    await store.append(event(0, tenant_id="acme"))
    assert await store.replay(tenant_id={"$ne": None}) == []  # type: ignore[arg-type]


async def test_different_options_are_all_required(store: EventStore) -> None:
    await store.append_many(
        [event(0, tenant_id="a", actor_id="x"), event(1, tenant_id="a", actor_id="y"), event(2, tenant_id="b")]
    )
    assert await numbers(store, tenants=("a", "b"), actors=("x",)) == [0]


async def test_states_select_by_what_is_noted_of_the_deliveries(store: EventStore) -> None:
    await store.append(event(0))
    await store.append(event(3), handlers=["h"])
    await store.append(event(6), handlers=[])
    events = await store.collection()
    await store.append(event(9), handlers=["h"])
    dead = {"delivery.state": "dead", "delivery.handlers": [{"id": "h", "state": "dead"}]}
    await events.update_one({"payload.number": 9}, {"$set": dead})
    assert await numbers(store, states=("untracked",)) == [0]
    assert await numbers(store, states=("open",)) == [3]
    assert await numbers(store, states=("done",)) == [6]
    assert await numbers(store, states=("dead",)) == [9]
    assert await numbers(store, states=("open", "dead", "untracked")) == [0, 3, 9]


async def test_reading_may_stop_anywhere(store: EventStore) -> None:
    await store.append_many([event(number) for number in range(40)])
    async for _ in store.stream():
        break
    pages = store.batches(Selection(), size=5)
    await anext(pages)
    await pages.aclose()
    assert len(await store.replay()) == 40


async def test_an_unknown_id_is_nothing(store: EventStore) -> None:
    assert await store.get("unknown") is None
    assert await store.get("") is None


# ---------------------------------------------------------------- records of other programs

WRITTEN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def foreign_id(seconds: int, number: int = 0) -> ObjectId:
    moment = int(WRITTEN.timestamp()) + seconds
    return ObjectId(moment.to_bytes(4, "big") + number.to_bytes(8, "big"))


async def listed(store: EventStore, **selection: Any) -> list[Any]:
    return [record["_id"] async for page in store.batches(Selection(**selection)) for record in page]


async def test_malformed_records_are_listed_unchanged_and_are_not_events(store: EventStore) -> None:
    events = await store.collection()
    malformed: list[dict[str, Any]] = [
        {"_id": foreign_id(0)},
        {"_id": foreign_id(1), "event_type": "old.style", "payload": [1, 2]},
        {"_id": foreign_id(2), "event_id": 7, "event_type": 9, "tenant_id": 5, "timestamp": "yesterday"},
        {"_id": foreign_id(3), "event_id": "f", "event_type": "x", "timestamp": 12.5, "extra": {"a": 1}},
        {"_id": foreign_id(4), "event_type": "x", "timestamp": WRITTEN},
    ]
    optional_missing = {"_id": "text", "event_id": "e", "event_type": "x", "timestamp": WRITTEN, "payload": None}
    await events.insert_many([*malformed, optional_missing])
    await store.append(event(0))
    assert len(await listed(store)) == 7
    assert len(await listed(store, reverse=True)) == 7
    found = await store.replay()
    assert [one.event_type for one in found] == ["order.placed", "x"]
    assert [one async for one in store.stream(reverse=True)] == found[::-1]
    assert len(await listed(store, since=WRITTEN)) == 2


@pytest.mark.mongod
async def test_a_date_out_of_range_is_listed_in_its_place(real_store: EventStore) -> None:
    for number, milliseconds in enumerate((-(2**62), 2**62)):
        odd = {"event_id": str(number), "event_type": "x", "timestamp": DatetimeMS(milliseconds), "payload": {}}
        await insert(real_store, odd)
    await real_store.append(event(0))
    pages = real_store.batches(Selection())
    found = [record["event_id"] async for page in pages for record in page]
    assert found[::2] == ["0", "1"]
    assert [one.event_id for one in await real_store.replay()] == found[1:2]


async def test_equal_and_missing_keys_are_neither_lost_nor_repeated(store: EventStore) -> None:
    events = await store.collection()
    await events.insert_many([{"_id": foreign_id(0, number), "payload": {"number": number}} for number in range(40)])
    same = [
        {"_id": foreign_id(1, number), "timestamp": WRITTEN, "payload": {"number": 40 + number}} for number in range(40)
    ]
    await events.insert_many(same)
    assert sorted(await numbers(store)) == list(range(80))
    newest = await numbers(store, reverse=True, limit=45)
    assert len(set(newest)) == 45
    assert set(newest) >= set(range(40, 80))


async def test_tenants_of_other_writers_are_found_by_the_text_that_is_shown(store: EventStore) -> None:
    events = await store.collection()
    tenant = foreign_id(9)
    for number, value in enumerate((5, tenant, "5")):
        await events.insert_one({"event_type": "x", "tenant_id": value, "payload": {"number": number}})
    assert sorted(await numbers(store, tenants=("5",))) == [0, 2]
    assert await numbers(store, tenants=(str(tenant),)) == [1]


@pytest.mark.mongod
async def test_a_text_that_is_not_utf8_does_not_abort_a_page(real_store: EventStore) -> None:
    await real_store.append(event(0))
    broken = encode(
        {"_id": 1, "event_id": "e", "event_type": "x", "timestamp": WRITTEN, "payload": {"text": "ABCD"}}
    ).replace(b"ABCD", b"A\xffCD")
    await insert(real_store, RawBSONDocument(broken))
    assert len(await real_store.replay()) == 2


async def insert(store: EventStore, *documents: Any) -> None:
    async with store.call() as connection:
        await connection.events.insert_many(documents)


@pytest.fixture
def losing(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lose the cursor after each page; return the lost cursors."""
    lost: list[int] = []
    fetch = read.Scan._fetch

    async def fetch_and_lose(scan: read.Scan) -> read.Page:
        page = await fetch(scan)
        cursor = getattr(scan._cursor, "delegate", scan._cursor)
        if cursor.cursor_id:
            lost.append(cursor.cursor_id)
            async with real_store.call() as connection:
                await connection.database.command("killCursors", real_store.name, cursors=[cursor.cursor_id])
        return page

    monkeypatch.setattr(read.Scan, "_fetch", fetch_and_lose)
    return lost


async def test_a_cursor_that_the_server_lost_is_opened_again_where_it_ended(
    real_store: EventStore, losing: list[int]
) -> None:
    seconds = (timedelta(seconds=number // 25) for number in range(90))
    await real_store.append_many([event(number, timestamp=START + each) for number, each in enumerate(seconds)])
    malformed = [
        {"_id": foreign_id(0, number), "payload": {"number": 90 + number}, **timestamp}
        for number, timestamp in enumerate([{}] * 20 + [{"timestamp": START + timedelta(seconds=1)}] * 20)
    ]
    await (await real_store.collection()).insert_many(malformed)
    for reverse in (False, True):
        found = await numbers(real_store, reverse=reverse)
        assert sorted(found) == list(range(130))
        keys = [number // 25 for number in found if number < 90]
        assert keys == sorted(keys, reverse=reverse)
    assert sorted(await numbers(real_store, since=START, until=START + timedelta(seconds=1))) == list(range(25))
    assert len(await numbers(real_store, limit=33)) == 33
    assert len(losing) > 30


async def test_a_listing_of_claims_survives_a_lost_cursor(real_store: EventStore, losing: list[int]) -> None:
    patterns = dict.fromkeys(["a"], ("*",))
    wanted = ClaimFilter(Selection(), handlers=patterns, loaded=patterns)
    for number in range(0, 60, 20):
        await real_store.append_many([event(one) for one in range(number, number + 20)], handlers=["a"])
    pages = Deliveries(real_store).unowned(wanted, size=7)
    found = [one.id async for page in pages for one in page]
    assert len(found) == len(set(found)) == 60
    assert len(losing) > 5


async def test_closing_a_cursor_has_a_deadline(real_store: EventStore) -> None:
    class Cursor:
        deadline: float | None = None

        async def close(self) -> None:
            self.deadline = _csot.remaining()

    await real_store.append_many([event(number) for number in range(20)])
    scan = read.Scan(real_store, {}, size=5)
    await scan.next()
    await scan._close_cursor()
    scan._cursor = cursor = Cursor()
    await scan.aclose()
    assert cursor.deadline is not None


async def test_a_server_that_stays_away_ends_the_reading(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await real_store.append_many([event(number) for number in range(20)])
    pages = real_store.batches(Selection(), size=5)
    await anext(pages)

    async def fetch(_: read.Scan) -> read.Page:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(read.Scan, "_fetch", fetch)
    with pytest.raises(StoreUnavailable):
        _ = [page async for page in pages]
