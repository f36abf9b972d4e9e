"""The figures of a log: the backlog, events and failures over time, by groups; on a real server."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from bson import Decimal128, ObjectId

from craft_easy.core.events.model.figures import Bars
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.stats import Crossing, Limits, Meter, Stats, StatsGroup, stats
from craft_easy.core.events.store import EventStore, drivers, indexes
from craft_easy.core.events.store.log import DEADLINE
from craft_easy.core.events.store.queries import stats as stats_queries
from tests.support.history import HOSTILE

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Selection(since=START, until=START + 4 * HOUR)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def handler(
    name: str, state: str = "done", took: Any = 20.0, *errors: tuple[str, float], **more: Any
) -> dict[str, Any]:
    """The entry of a handler, with errors of these kinds at these hours."""
    kept = [{"type": kind, "message": "m" * 50, "at": at(hours), "attempt": 1} for kind, hours in errors]
    return {"id": name, "state": state, "took_ms": took, "errors": kept, "due_at": START, "reason": None} | more


def record(number: int, hours: float, *handlers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    states = {one["state"] for one in handlers}
    state = "open" if "pending" in states else "dead" if "dead" in states else "done"
    delivery = {"rev": 1, "state": state, "owner": None, "due_at": START, "handlers": list(handlers)}
    tracked = {"delivery": delivery | more.pop("delivery", {})} if handlers else {}
    return {
        "_id": ObjectId(f"{number:024x}"),
        "event_id": f"e{number}",
        "event_type": "order.placed",
        "tenant_id": "acme",
        "actor_id": None,
        "payload": {"secret": "p" * 100},
        "timestamp": at(hours),
        **tracked,
        **more,
    }


STOCK, MAIL = "shop.stock:reserve", "shop.mail:send"
OWNED = {"owner": "api-1:1:x", "due_at": LATER}
HISTORY = (
    record(1, 0.5, handler(STOCK), handler(MAIL, "done", 400.0, ("Timeout", 0.6), ("Timeout", 1.2))),
    record(2, 1.5, handler(STOCK, "done", 21.0), tenant_id="globex"),
    record(3, 1.6, handler(STOCK, "pending", None, ("Busy", 1.7), due_at=LATER), delivery={"due_at": LATER}),
    record(4, 2.5, handler(STOCK), handler(MAIL, "pending", None, due_at=LATER), delivery=OWNED, tenant_id=None),
    record(5, 2.6, event_type="user.registered"),
    record(6, 3.5, handler(MAIL, "dead", 5.0, ("Refused", 3.6), ("Refused", 3.9))),
    record(7, -30, handler(MAIL, "pending", 9.0, ("Busy", -20), ("Busy", 2.2)), handler(STOCK, "dead", 1.0)),
    record(
        8, -40, handler(MAIL, "done", 9.0, ("Busy", 2.3))
    ),  # failed within the window, published before it, done now
    record(9, 5, handler(MAIL, "done", 9.0)),
)


@pytest.fixture
async def log(real_store: EventStore) -> EventStore:
    await real_store.ensure_indexes()
    await (await real_store.collection()).insert_many([dict(one) for one in HISTORY])
    return real_store


async def test_the_backlog_is_counted_whole_however_old_it_is(log: EventStore) -> None:
    found = await stats(log, WINDOW)
    assert (found.open, found.owned, found.waiting, found.due, found.dead) == (3, 1, 1, 1, 2)
    assert found.oldest is not None
    assert (found.oldest.event_id, found.oldest.event_type, found.oldest.tenant_id) == ("e7", "order.placed", "acme")
    assert found.oldest.timestamp == at(-30)
    assert found.oldest.age_s == pytest.approx((found.at - at(-30)).total_seconds())


async def test_figures_over_time_belong_to_the_window(log: EventStore) -> None:
    found = await stats(log, WINDOW, bar=HOUR)
    assert [(one.since, one.events, one.failed) for one in found.bars] == [
        (at(0), 1, 1),
        (at(1), 2, 2),
        (at(2), 2, 1),
        (at(3), 1, 2),
    ]
    assert (found.events, found.failed) == (6, 6)
    assert (found.since, found.until, found.bar) == (at(0), at(4), HOUR)


async def test_a_bar_that_the_window_cuts_short_counts_its_remaining_part(log: EventStore) -> None:
    found = await stats(log, Selection(since=at(0.55), until=at(2.3)), bar=HOUR)
    assert [(one.since, one.until, one.events, one.failed) for one in found.bars] == [
        (at(0.55), at(1), 0, 0),
        (at(1), at(2), 2, 1),
        (at(2), at(2.3), 0, 1),
    ]
    whole = await stats(log, Selection(since=at(0.25), until=at(2.3)), bar=HOUR)
    assert [(one.events, one.failed) for one in whole.bars] == [(1, 1), (2, 2), (0, 1)]


async def test_groups_by_handler_have_deliveries_and_medians(log: EventStore) -> None:
    found = await stats(log, WINDOW)
    mail, stock = found.groups
    assert mail == StatsGroup(MAIL, open=2, waiting=0, dead=1, failed=5, events=3, median_ms=mail.median_ms)
    assert stock == StatsGroup(STOCK, open=1, waiting=1, dead=1, failed=1, events=4, median_ms=stock.median_ms)
    assert stock.median_ms == pytest.approx(20, rel=0.03)
    assert mail.median_ms == pytest.approx(5, rel=0.03)


async def test_groups_by_type_and_tenant_have_events(log: EventStore) -> None:
    by_type = await stats(log, WINDOW, by="type")
    assert list(by_type.groups) == [
        StatsGroup("order.placed", open=3, waiting=1, dead=2, failed=6, events=5),
        StatsGroup("user.registered", events=1),
    ]
    by_tenant = await stats(log, WINDOW, by="tenant")
    assert list(by_tenant.groups) == [
        StatsGroup("acme", open=2, waiting=1, dead=2, failed=6, events=4),
        StatsGroup(None, open=1, events=1),
        StatsGroup("globex", events=1),
    ]


async def test_by_error_what_failed_last_counts_for_what_is_stuck(log: EventStore) -> None:
    found = await stats(log, WINDOW, by="error")
    assert list(found.groups) == [
        StatsGroup("Busy", open=2, waiting=1, failed=2),
        StatsGroup(None, open=1, dead=1),
        StatsGroup("Refused", dead=1, failed=2),
        StatsGroup("Timeout", failed=2),
    ]


async def test_a_crash_counts_as_an_error(log: EventStore) -> None:
    await (await log.collection()).insert_one(record(20, 0, handler("x", "dead", None, reason="crashed")))
    found = await stats(log, WINDOW, by="error")
    assert StatsGroup("crashed", dead=1) in found.groups


async def test_a_selection_holds_for_every_figure(log: EventStore) -> None:
    globex = await stats(log, Selection(tenants=("globex",), since=START, until=at(4)))
    assert (globex.open, globex.dead, globex.events, globex.failed) == (0, 0, 1, 0)
    without_tenant = await stats(log, Selection(no_tenant=True, since=START, until=at(4)))
    assert (
        without_tenant.open,
        without_tenant.owned,
        without_tenant.dead,
        without_tenant.events,
        without_tenant.failed,
    ) == (1, 1, 0, 1, 0)
    users = await stats(log, Selection(types=("user.*",), since=START, until=at(4)))
    assert (users.open, users.dead, users.events, users.oldest) == (0, 0, 1, None)


async def test_handlers_of_open_events_that_are_not_loaded_are_named(log: EventStore) -> None:
    assert (await stats(log, WINDOW)).orphaned is None
    assert (await stats(log, WINDOW, loaded=[MAIL, "other"])).orphaned == [STOCK]
    assert (await stats(log, WINDOW, by="tenant", loaded=[MAIL, STOCK])).orphaned == []


async def test_an_empty_log_has_figures(real_store: EventStore) -> None:
    found = await stats(real_store)
    assert (found.open, found.owned, found.waiting, found.dead, found.oldest) == (0, 0, 0, 0, None)
    assert (found.events, found.failed, found.groups) == (0, 0, [])
    assert found.until - found.since == timedelta(hours=24)


async def test_it_changes_nothing(log: EventStore) -> None:
    collection = await log.collection()
    before = await collection.find().to_list(None)
    await stats(log, WINDOW, by="error")
    assert await collection.find().to_list(None) == before


async def test_it_works_on_a_log_that_lacks_its_indexes(log: EventStore) -> None:
    collection = await log.collection()
    await collection.drop_indexes()
    found = await stats(log, WINDOW)
    assert (found.open, found.dead, found.events) == (3, 2, 6)


async def test_the_server_answers_the_backlog_from_a_partial_index(log: EventStore) -> None:
    collection = await log.collection()
    question = stats_queries.Question(Selection(tenants=("acme",)), "handler", Bars(at(0), at(4), HOUR), at(4))
    for stages, hint in (
        (stats_queries.open_stages(question), indexes.OPEN_INDEX),
        (stats_queries.dead_stages(question), indexes.DEAD_INDEX),
    ):
        plan = await collection.database.command(
            "explain", {"aggregate": collection.name, "pipeline": stages, "cursor": {}, "hint": hint}
        )
        assert f"'indexName': '{hint}'" in str(plan)


BAD = (
    {"_id": "s"},
    {"_id": 1, "timestamp": "yesterday", "event_type": ["list"], "tenant_id": {"$ne": None}, "delivery": "x"},
    record(100, 0.1, delivery={}),
    record(101, 0.1, handler(HOSTILE, "pending", "fast", (HOSTILE, 0.2)), event_type=HOSTILE, tenant_id=HOSTILE),
    record(102, 0.1, handler(MAIL, "pending", float("nan"), errors="none"), delivery={"due_at": "soon", "owner": 7}),
    record(103, 0.1, handler(MAIL, "dead", -1.0, errors=[{"at": "then"}, 3, {"type": {}, "at": at(0.2)}])),
    record(104, 0.1) | {"delivery": {"state": "open", "handlers": {"id": MAIL, "state": "pending"}}},
    record(105, 0.1) | {"delivery": {"state": "dead", "handlers": [7, None, {"state": "dead"}]}},
    record(106, 0.1, handler(MAIL, "pending", None), event_id=None, event_type=None) | {"timestamp": 3},
    record(107, 0.1, handler(MAIL, "dead", Decimal128("7.5"), errors=[{"type": "T", "at": [at(0.2)]}])),
    record(108, 0.1, handler(MAIL, "pending", None)) | {"timestamp": [at(-900)]},
    record(109, 0.1, handler(MAIL, "pending", None)) | {"timestamp": datetime.min.replace(tzinfo=UTC)},
)


@pytest.mark.parametrize("by", ["handler", "type", "tenant", "error"])
async def test_no_record_of_another_writer_is_in_the_way(real_store: EventStore, by: Any) -> None:
    collection = await real_store.collection()
    for one in BAD:
        await collection.insert_one(dict(one))
    await real_store.ensure_indexes()
    found = await stats(real_store, WINDOW, by=by)
    assert (found.open, found.dead, found.events) == (6, 3, 7)
    assert found.oldest is not None
    assert found.oldest.timestamp == datetime.min.replace(tzinfo=UTC)
    assert found.failed == 2
    assert {type(one.name) for one in found.groups} <= {str, type(None)}


async def test_a_name_of_a_megabyte_is_cut(real_store: EventStore) -> None:
    collection = await real_store.collection()
    long = [f"{number}" + "ü" * 500_000 for number in range(20)]
    await collection.insert_many([record(number, 1, event_type=name) for number, name in enumerate(long)])
    found = await stats(real_store, WINDOW, by="type")
    assert sorted(one.name or "" for one in found.groups) == sorted(name[: stats_queries.MAX_NAME] for name in long)


async def test_a_second_look_counts_only_what_may_have_changed(
    log: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[datetime, datetime]] = []
    plain = stats_queries.count_slice

    async def count_slice(*args: Any) -> Any:
        counted.append(args[2:])
        return await plain(*args)

    monkeypatch.setattr("craft_easy.core.events.operations.stats.count_slice", count_slice)
    meter = Meter(log, bar=HOUR)
    first = await meter.read(Selection(since=at(-8), until=at(4)))
    assert len(counted) == 12
    counted.clear()
    second = await meter.read(Selection(since=at(-8), until=at(4)))
    assert counted == [(at(-8), at(-7)), (at(2), at(3)), (at(3), at(4))]
    assert same(first) == same(second)
    counted.clear()
    third = await meter.read(Selection(since=at(-7), until=at(5)))
    assert counted == [(at(-7), at(-6)), (at(3), at(4)), (at(4), at(5))]
    assert same(third) == same(await stats(log, Selection(since=at(-7), until=at(5)), bar=HOUR))


def same(one: Stats) -> tuple[Any, ...]:
    """The part of the figures that is the same for two queries of one log."""
    return one.open, one.dead, one.events, one.failed, list(one.bars), list(one.groups)


async def test_it_reports_its_progress(log: EventStore) -> None:
    said: list[tuple[int, int]] = []
    await Meter(log, bar=HOUR, on_bar=lambda done, of: said.append((done, of))).read(WINDOW)
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_limits_are_crossed_by_what_is_more(log: EventStore) -> None:
    found = await stats(log, WINDOW)
    assert found.oldest is not None
    age = found.oldest.age_s
    assert Limits().crossed(found) == []
    assert Limits(max_backlog=3, max_age=age, max_dead=2).crossed(found) == []
    assert Limits(max_backlog=2, max_age=age - 1, max_dead=0).crossed(found) == [
        Crossing("max_backlog", 3, 2),
        Crossing("max_age", age, age - 1),
        Crossing("max_dead", 2, 0),
    ]


async def test_without_open_events_no_age_crosses_a_limit(real_store: EventStore) -> None:
    assert Limits(max_backlog=0, max_age=0, max_dead=0).crossed(await stats(real_store)) == []


async def test_a_window_that_cannot_be_a_chart_is_refused(log: EventStore) -> None:
    with pytest.raises(ValueError, match="empty"):
        await stats(log, Selection(since=at(1), until=at(1)))
    with pytest.raises(ValueError, match="bars"):
        await stats(log, WINDOW, bar=timedelta(seconds=1))


async def test_the_backlog_query_names_its_index(log: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hints: list[str | None] = []
    plain = drivers.aggregate

    async def aggregate(*args: Any, **options: Any) -> Any:
        hints.append(options.get("hint"))
        return await plain(*args, **options)

    monkeypatch.setattr(drivers, "aggregate", aggregate)
    await stats(log, WINDOW, bar=4 * HOUR)
    assert hints[:2] == [indexes.OPEN_INDEX, indexes.DEAD_INDEX]
    assert set(hints[2:]) == {None}
    hints.clear()
    await stats(log, replace(WINDOW, tenants=("acme",)), bar=4 * HOUR)
    assert hints[:2] == [indexes.OPEN_INDEX, indexes.DEAD_INDEX]


async def test_each_question_has_a_deadline(log: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []
    real = pymongo.timeout

    def timeout(seconds: float) -> Any:
        limits.append(seconds)
        return real(seconds)

    monkeypatch.setattr("craft_easy.core.events.store.log.pymongo.timeout", timeout)
    await stats(log, WINDOW, bar=2 * HOUR)
    assert limits.count(log.scan_timeout) == 5  # open, dead, two bars, durations
    assert limits.count(DEADLINE) == 4 == len(limits) - 5  # the pauses, the workers, the time and the time for both


async def test_an_event_whose_time_is_not_a_date_is_not_the_oldest(log: EventStore) -> None:
    waiting = handler(MAIL, "pending", None)
    for number, moment in ((200, [at(-900)]), (201, "long ago"), (202, 7), (203, None)):
        await (await log.collection()).insert_one(record(number, 0, waiting) | {"timestamp": moment})
    found = await stats(log, WINDOW)
    assert found.open == 7
    assert found.oldest is not None
    assert found.oldest.timestamp == at(-30)
