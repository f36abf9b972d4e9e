"""A long-running tail: killed and restarted, on servers that lose its position or have no change streams."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from craft_easy.core.events.model.delivery import Delivery, Ended, finish
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind
from craft_easy.core.events.store.documents import to_document
from tests.proof import tail_soak
from tests.proof.tail_soak import Soak
from tests.proof.tail_soak import soak as left_running
from tests.support.conditions import until
from tests.support.history import Log, opened, record
from tests.support.processes import FOLLOWING, PROGRAM, STAMP, Lines, Run, number
from tests.support.server import STANDALONE, TEST_COMMANDS, Server

pytestmark = pytest.mark.slow


@pytest.fixture
def log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    with opened(embedded_uri, database_name) as log:
        yield log


def numbers(out: Lines, count: int) -> list[int]:
    return [number(out.event()) for _ in range(count)]


def test_a_tail_continues_from_the_checkpoint_of_a_killed_one_without_a_gap(log: Log, tmp_path: Path) -> None:
    args = ["tail", "--checkpoint", str(tmp_path / "point"), *log.where]
    log.insert(record(1))
    with Run(*args) as tail:
        assert numbers(tail.out, 1) == [1]
        tail.err.until(FOLLOWING)
        log.insert(record(2))
        assert numbers(tail.out, 1) == [2]
        tail.process.kill()
        tail.ended()
    log.insert(record(3), record(4))
    with Run(*args, "-n", "10", "--since", "2020-01-01", "--limit", "2") as tail:
        assert tail.err.next().startswith("continuing from ")
        found = numbers(tail.out, 2)
        assert tail.ended() == 0
    assert found in ([3, 4], [2, 3])  # the last batch may be repeated


def test_the_log_of_a_following_tail_has_times_and_levels(log: Log) -> None:
    log.insert(record(1))
    ended = subprocess.run([PROGRAM, "tail", "--limit", "1", *log.where], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert ended.stderr
    assert all(STAMP.match(line) for line in ended.stderr.splitlines())


def test_a_tail_that_ended_by_itself_repeats_nothing(log: Log, tmp_path: Path) -> None:
    args = ["tail", "-n", "0", "--checkpoint", str(tmp_path / "point"), *log.where]
    with Run(*args) as tail:
        tail.err.until(FOLLOWING)
        log.insert(record(1), record(2))
        assert numbers(tail.out, 2) == [1, 2]
        tail.process.send_signal(signal.SIGTERM)
        assert tail.ended() == 143
    log.insert(record(3))
    with Run(*args, "--limit", "1") as tail:
        assert numbers(tail.out, 1) == [3]
        assert tail.ended() == 0


def test_a_checkpoint_of_other_filters_is_exit_6(log: Log, tmp_path: Path) -> None:
    args = ["tail", "-n", "0", "--checkpoint", str(tmp_path / "point"), *log.where]
    with Run(*args, "--tenant", "acme", "--wait-max", "0.1") as tail:
        assert tail.ended() == 0
    for other in (["--tenant", "globex"], ["--tenant", "acme", "--grep", "x"], ["--tenant", "acme", "--outcomes"]):
        with Run(*args, *other) as tail:
            assert tail.ended() == 6
            assert "made with other filters" in tail.err.next()


def test_a_position_that_left_the_oplog_is_exit_6_with_advice(log: Log, tmp_path: Path) -> None:
    point = tmp_path / "point"
    args = ["tail", "-n", "0", "--checkpoint", str(point), "--wait-max", "0.1", *log.where]
    with Run(*args) as tail:
        assert tail.ended() == 0
    written = json.loads(point.read_text())
    written["position"]["token"] = {"_data": "8200000000000000000000"}
    point.write_text(json.dumps(written))
    with Run(*args) as tail:
        assert tail.ended() == 6
        said = tail.err.rest()[1:]
    assert "no longer reaches back to" in said[0]
    assert "craft-events replay " in said[1]
    assert " --since " in said[1]
    assert "craft-events tail " in said[2]
    assert " --since " in said[2]
    assert tail.out.rest() == []


@pytest.mark.parametrize("code", [280, 286])
def test_a_resume_point_that_is_lost_while_it_runs_is_exit_6(tmp_path: Path, code: int) -> None:
    with Server(tmp_path / "server", TEST_COMMANDS) as server:
        where = ["--uri", server.uri, "--database", "shop"]
        with Run("tail", "-n", "0", *where) as tail:
            tail.err.until(FOLLOWING)
            server.fail("getMore", times=100, errorCode=code, errorLabels=["NonResumableChangeStreamError"])
            assert tail.ended() == 6
            assert "no longer reaches back to" in tail.err.rest()[0]


def test_a_time_without_events_ends_it_with_exit_0(log: Log) -> None:
    with Run("tail", "-n", "0", "--wait-max", "0.2", *log.where) as tail:
        assert tail.ended() == 0
        assert tail.err.rest()[1:] == ["no events for 0.2 s", "no events in this selection"]


def test_a_renamed_collection_ends_it_with_a_message(log: Log, tmp_path: Path) -> None:
    log.insert(record(1))
    with Run("tail", "-n", "0", "--checkpoint", str(tmp_path / "point"), *log.where) as tail:
        tail.err.until(FOLLOWING)
        log.events.rename("another")
        assert "was renamed" in tail.err.next()
        assert "remove " in tail.err.next()
        assert tail.ended() == 0


def started(one: int) -> dict[str, Any]:
    """Return a record of now, with two handlers that its publisher is about to run."""
    now = datetime.now(UTC)
    return record(one, timestamp=now, delivery=to_document(Delivery.new(["a", "b"], at=now, owner="worker")))


def end(log: Log, one: int, handler: str, error: str | None = None) -> None:
    """Store the end of an attempt of a handler."""
    from craft_easy.core.events.store.documents import from_document

    stored = log.events.find_one({"event_id": record(one)["event_id"]})
    kind = OutcomeKind.SUCCEEDED if error is None else OutcomeKind.FAILED
    outcome = Outcome(handler, kind, took_ms=12.0, error=None if error is None else ErrorText("KeyError", error))
    at = datetime.now(UTC)
    after = finish(from_document(stored["delivery"]), [Ended(outcome, at, handler)], owner="worker", key="e", at=at)
    log.events.update_one({"_id": stored["_id"]}, {"$set": {"delivery": to_document(after)}})


def outcome(line: dict[str, Any]) -> tuple[int, str, str, str | None]:
    return number(line), line["handler"], line["outcome"], line["error"]


def test_deliveries_come_as_they_end_each_outcome_once(log: Log) -> None:
    with Run("tail", "-n", "0", "--outcomes", "--tenant", "acme", *log.where) as tail:
        tail.err.until(FOLLOWING)
        log.insert(started(1) | {"tenant_id": "globex"}, started(2))
        assert numbers(tail.out, 1) == [2]
        end(log, 1, "a")
        end(log, 2, "a")
        assert outcome(tail.out.event()) == (2, "a", "done", None)
        log.events.update_many({}, {"$inc": {"delivery.rev": 1}, "$set": {"delivery.claimed_at": datetime.now(UTC)}})
        end(log, 2, "b", "no such order")
        assert outcome(tail.out.event()) == (2, "b", "failed", "KeyError: no such order")
        log.insert(started(3))
        assert numbers(tail.out, 1) == [3]
        tail.process.send_signal(signal.SIGINT)
        assert tail.ended() == 130
        assert tail.out.rest() == []


def test_a_server_without_change_streams_is_polled_and_that_is_reported_once(tmp_path: Path) -> None:
    with Server(tmp_path / "server", STANDALONE) as server, MongoClient[dict[str, Any]](server.uri) as client:
        log = Log(server.uri, "shop", client)
        client["shop"].create_collection("event_log")
        with Run("tail", "-n", "1", "--outcomes", *log.where) as tail:
            assert tail.err.next().startswith("this server has no change streams")
            tail.err.until(FOLLOWING)
            log.insert(started(1))
            assert numbers(tail.out, 1) == [1]
            end(log, 1, "a")
            assert outcome(tail.out.event()) == (1, "a", "done", None)
            server.restart()
            log.insert(started(2))
            assert numbers(tail.out, 1) == [2]
            tail.process.send_signal(signal.SIGINT)
            tail.ended()
            assert tail.out.rest() == []
            assert not any("change streams" in line for line in tail.err.rest())
        with Run("tail", "--checkpoint", str(tmp_path / "point"), *log.where) as tail:
            assert tail.ended() == 6
            assert "no position to continue from" in tail.err.next()


async def test_left_running_over_a_killed_server_it_has_no_gap_no_repeat_and_does_not_grow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_soak, "AWAY_S", (1.0,))
    one = Soak(seconds=3, rate=100, kills=1)
    assert await left_running(one, tmp_path) == 0, capsys.readouterr().out
    assert (len(one.seen), one.kills_done) == (300, 1)


def test_it_holds_no_more_than_one_process_at_its_checkpoint(log: Log, tmp_path: Path) -> None:
    args = ["tail", "-n", "0", "--checkpoint", str(tmp_path / "point"), *log.where]
    with Run(*args) as first:
        first.err.until(FOLLOWING)
        until((tmp_path / "point").exists)
        with Run(*args) as second:
            assert second.ended() == 6
            assert "another process uses the checkpoint" in second.err.next()
