"""`examine`: each check finds its problem, gives advice, and hides no other check."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import clock
from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.operations.doctor import capability, contents
from craft_easy.core.events.operations.doctor.examine import Finding, is_unreachable
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.change_stream import ChangeStreamsMissing
from craft_easy.core.events.store.queries import doctor as doctor_queries
from craft_easy.core.events.store.queries import server
from tests.store.examinations import bus, found, insert, record

DRIVERS = ("a URI",)
CHECKS = [
    "connection", "write concern", "change streams", "transactions", "indexes", "expiry", "clock", "workers", "backlog",
    "records",
]  # fmt: skip


@pytest.fixture
async def store(store: EventStore) -> EventStore:
    await store.ensure_indexes()
    return store


async def test_all_is_well_with_a_log_that_is_in_use(store: EventStore) -> None:
    await insert(store, record(1))
    every = await found(store, registry=bus(charge="order.*").registry)
    assert [(finding.check, finding.level) for finding in every] == [(name, "OK") for name in [*CHECKS, "handlers"]]
    assert "embedded log on SecantusDB" in every[0].message
    assert not any(map(is_unreachable, every))


async def test_either_driver_makes_every_check(real_store: EventStore) -> None:
    await real_store.ensure_indexes()
    await insert(real_store, record(1))
    every = await found(real_store, registry=bus(charge="order.*").registry)
    assert [(finding.check, finding.level) for finding in every] == [(name, "OK") for name in [*CHECKS, "handlers"]]


async def test_it_writes_nothing(store: EventStore, database_name: str) -> None:
    await insert(store, record(1))
    database = (await store.connection()).database

    async def everything() -> Any:
        names = sorted(await database.list_collection_names())
        return {name: await database[name].find({}).to_list(None) for name in names}

    before = await everything()
    await found(store, registry=bus(charge="order.*").registry, ttl=timedelta(days=90))
    assert await everything() == before


# ---------------------------------------------------------------- indexes


async def test_an_empty_log_needs_no_index_yet(store: EventStore) -> None:
    events = (await store.connection()).events
    await events.drop()
    await events.database.create_collection(events.name)
    (finding,) = await found(store, "indexes")
    assert (finding.level, finding.message) == ("OK", "9 indexes will be created with the first event")


async def test_missing_indexes_are_named_and_created_with_fix(store: EventStore) -> None:
    events = await store.collection()
    await insert(store, record(1))
    await events.drop_index("tenant_id_1_timestamp_1_event_id_1")
    (finding,) = await found(store, "indexes")
    assert (finding.level, finding.advice) == ("WARN", "craft-events doctor --fix")
    assert finding.message == "1 missing: tenant_id_1_timestamp_1_event_id_1"
    (fixed,) = await found(store, "indexes", fix=True)
    assert (fixed.level, fixed.message) == ("OK", "1 created: tenant_id_1_timestamp_1_event_id_1")
    assert [one.message for one in await found(store, "indexes", fix=True)] == ["all there"]


async def test_a_conflicting_index_is_named_and_never_dropped(store: EventStore) -> None:
    events = await store.collection()
    await insert(store, record(1))
    await events.drop_index("event_id_1")
    await events.drop_index("timestamp_1_event_id_1")
    await events.create_index([("event_id", 1)], name="event_id_1")
    (finding,) = await found(store, "indexes", fix=True)
    assert finding.level == "FAIL"
    assert finding.message == "event_id_1 conflicts with a missing index"
    assert 'dropIndex("event_id_1")' in (finding.advice or "")
    names = [index["name"] for index in await (await events.list_indexes()).to_list(None)]
    assert "event_id_1" in names
    assert "timestamp_1_event_id_1" in names, "the others are created"


async def test_a_duplicate_event_id_is_named_and_the_other_indexes_are_created(store: EventStore) -> None:
    events = await store.collection()
    await events.drop_indexes()
    await insert(store, {**record(1), "_id": 1}, {**record(1), "_id": 2})
    left, refused = await found(store, "indexes", fix=True)
    assert (left.level, left.message) == ("WARN", "1 missing: event_id_1")
    assert refused.level == "FAIL"
    assert refused.message.startswith("event_id_1 cannot be created: ")
    assert "duplicate key" in refused.message


async def test_indexes_of_others_are_left_alone_and_named(store: EventStore) -> None:
    await (await store.collection()).create_index([("payload.x", 1)], name="mine")
    ours, foreign = await found(store, "indexes", fix=True)
    assert (ours.message, foreign.level) == ("all there", "OK")
    assert foreign.message == "1 index not ours: mine; each adds a write to every publish"


async def test_an_index_that_is_being_built_is_reported(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def building(_: EventStore) -> list[str]:
        return ["event_id_1"]

    monkeypatch.setattr("craft_easy.core.events.store.queries.doctor.under_construction", building)
    assert [one.message for one in await found(store, "indexes")] == ["all there", "event_id_1 is being built"]


async def test_an_expiry_is_suggested_and_created_with_fix(store: EventStore) -> None:
    after = timedelta(days=90)
    (offered,) = await found(store, "expiry", ttl=after)
    assert offered.level == "WARN"
    assert 'partialFilterExpression: {"delivery.state": "done"}' in (offered.advice or "")
    assert "a TTL index ignores parents" in offered.message
    (created,) = await found(store, "expiry", ttl=after, fix=True)
    assert created.message.startswith("created: done records are removed after 90 d")
    (there,) = await doctor_queries.expiries(store)
    assert (there.is_safe, there.after, there.field) == (True, after, "delivery.finished_at")
    assert [one.level for one in await found(store, "expiry", ttl=after)] == ["OK"]
    (other,) = await found(store, "expiry", ttl=timedelta(days=1), fix=True)
    assert other.level == "WARN"
    assert "collMod" in (other.advice or "")
    assert [one.after for one in await doctor_queries.expiries(store)] == [after], "an existing span is never changed"
    assert [one.message for one in await found(store, "indexes")] == ["all there"]


async def test_an_expiry_that_removes_open_records_is_a_failure(store: EventStore) -> None:
    await (await store.collection()).create_index([("timestamp", 1)], name="old", expireAfterSeconds=60)
    (finding,) = await found(store, "expiry")
    assert finding.level == "FAIL"
    assert finding.message == "the index old removes records 60 s after timestamp, open and dead ones too"


# ---------------------------------------------------------------- the server


def facts(**fields: Any) -> server.ServerFacts:
    usual: dict[str, Any] = {
        "where": "db-1:27017", "product": "MongoDB", "version": "8.0.4", "topology": "replica set", "set_name": "rs0",
        "is_embedded": False, "is_writable": True, "latency_ms": 1.2,
    }  # fmt: skip
    return server.ServerFacts(**usual | fields)


def test_a_server_is_named_with_its_version_and_topology() -> None:
    (finding,) = capability.connection(facts())
    assert (finding.level, finding.message) == ("OK", "db-1:27017, MongoDB 8.0.4, replica set rs0, 1.2 ms")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"is_writable": False}, "it takes no writes"),
        ({"version": "4.2.24"}, "MongoDB 4.2.24"),
    ],
)
def test_a_server_that_cannot_hold_the_log_is_a_failure(fields: dict[str, Any], said: str) -> None:
    (finding,) = capability.connection(facts(**fields))
    assert finding.level == "FAIL"
    assert said in finding.message
    assert finding.advice


async def test_a_single_server_has_no_transactions(store: EventStore) -> None:
    (finding,) = await capability.transactions(store, facts(topology="single server", set_name=None))
    assert finding.level == "WARN"


async def test_missing_features_of_a_server_are_reported(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: Any, **__: Any) -> Any:
        raise ChangeStreamsMissing("none here")

    monkeypatch.setattr(EventStore, "watch", refuses)
    monkeypatch.setattr(server, "try_transaction", refuses)
    for check in ("change streams", "transactions"):
        (finding,) = await found(store, check)
        assert finding.level == "WARN"
        assert "none here" in finding.message


@pytest.mark.parametrize(
    ("error", "level"), [(StoreLoginRefused("not authorized"), "WARN"), (StoreUnavailable("no majority"), "FAIL")]
)
async def test_an_unacknowledged_write_is_reported(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, error: Exception, level: str
) -> None:
    async def refuses(_: EventStore) -> float:
        raise error

    monkeypatch.setattr(server, "acknowledge", refuses)
    assert [one.level for one in await found(store, "write concern")] == [level]


async def test_a_slow_acknowledgement_is_reported(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: EventStore) -> float:
        return 2_000.0

    monkeypatch.setattr(server, "acknowledge", slow)
    assert [one.level for one in await found(store, "write concern")] == ["WARN"]


@pytest.mark.parametrize(("hours", "where"), [(1, "3,600 s ahead of"), (-1, "3,600 s behind")])
async def test_a_wrong_clock_is_reported(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, hours: int, where: str
) -> None:
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=hours))
    (finding,) = await found(store, "clock")
    assert finding.level == "WARN"
    assert finding.message.startswith(f"{where} the database's, give or take ")


# ---------------------------------------------------------------- checkpoints


def test_each_checkpoint_shows_its_command_and_age(tmp_path: Path) -> None:
    log = "shop.event_log"
    fresh, old, other = (tmp_path / name for name in ("fresh", "old", "other"))
    for path, name in ((fresh, log), (old, log), (other, "shop.elsewhere")):
        Checkpoint(path, kind="tail", log=name, filters={}).write({"after": 1})
    long_ago = clock.now().timestamp() - 3 * 86_400
    os.utime(old, (long_ago, long_ago))
    (tmp_path / "broken").write_text("{")
    paths = [fresh, old, other, tmp_path / "broken", tmp_path / "nowhere", tmp_path]
    findings = contents.checkpoints(paths, log)
    assert [one.level for one in findings] == ["OK", "WARN", "WARN", "FAIL", "FAIL", "FAIL"]
    assert findings[0].message == f"{fresh}: tail of {log}, written 0 s ago"
    assert "written 3 d ago" in findings[1].message
    assert json.loads(fresh.read_text())["position"] == {"after": 1}


# ---------------------------------------------------------------- failing checks


async def test_a_check_that_raises_hides_no_other(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def raises(_: EventStore) -> list[Finding]:
        raise ValueError("broken")

    async def refused(_: EventStore) -> list[Finding]:
        raise StoreLoginRefused("not authorized", hint="ask for it")

    monkeypatch.setattr(contents, "workers", raises)
    monkeypatch.setattr(capability, "clocks", refused)
    every = await found(store)
    assert [finding.check for finding in every] == CHECKS
    by_check = {finding.check: finding for finding in every}
    assert by_check["workers"].message == "could not be checked: ValueError: broken"
    assert (by_check["clock"].level, by_check["clock"].advice) == ("FAIL", "ask for it")
    assert by_check["records"].level == "OK"


async def test_a_check_that_does_not_end_is_given_up(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(_: EventStore) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(contents, "backlog", hangs)
    async with asyncio.timeout(4):
        (finding,) = [one for one in await found(store, seconds=0.5) if one.level != "OK"]
    assert (finding.check, finding.level, finding.message) == ("backlog", "WARN", "no answer within 0.5 s")


# ---------------------------------------------------------------- the way to a server


async def unreachable(uri: str) -> list[tuple[str, str]]:
    async with EventStore("craft_test", uri=uri) as store:
        findings = await found(store, uri=uri, seconds=1.0)
    assert any(map(is_unreachable, findings))
    assert all(finding.advice for finding in findings if finding.level == "FAIL")
    assert not any("secret" in f"{finding}" for finding in findings)
    return [(finding.check, finding.level) for finding in findings]


async def test_a_closed_port_is_found_step_by_step() -> None:
    assert await unreachable("mongodb://app:secret@127.0.0.1:9/") == [("address", "OK"), ("dns", "OK"), ("tcp", "FAIL")]


async def test_an_unknown_host_name_is_found_step_by_step() -> None:
    assert await unreachable("mongodb://app:secret@no-such-host.invalid/") == [("address", "OK"), ("dns", "FAIL")]


async def test_a_server_that_is_not_mongodb_is_found_step_by_step() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as web:
        port = web.sockets[0].getsockname()[1]
        steps = await unreachable(f"mongodb://app:secret@127.0.0.1:{port}/")
    assert steps == [("address", "OK"), ("dns", "OK"), ("tcp", "OK"), ("hello", "FAIL")]


async def test_a_login_that_is_refused_is_found_step_by_step(embedded_uri: str) -> None:
    uri = embedded_uri.replace("mongodb://", "mongodb://app:secret@")
    steps = ["address", "dns", "tcp", "hello"]
    assert await unreachable(uri) == [*((step, "OK") for step in steps), ("login", "FAIL")]
