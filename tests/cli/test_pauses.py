"""`handlers pause` and `handlers resume`, and the commands that show a pause."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Process
from tests.cli.deliveries import delivery, entry
from tests.support.applications import application
from tests.support.history import BEGAN, HOSTILE, Log, record
from tests.support.terminals import at_a_terminal

SHOP = """
from craft_easy.core.events import event_handler

@event_handler("*", id="shop.mail:send")
def send(event): ...

@event_handler("*", id="shop.stock:reserve", aliases=("shop.stock:old",))
def reserve(event): ...
"""
MAIL, STOCK = "shop.mail:send", "shop.stock:reserve"


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": SHOP}) as directory:
        yield directory


@pytest.fixture
def log(log: Log) -> Log:
    """A log with two events, of which both handlers are to run."""
    pending = (entry(MAIL, "pending", 0), entry(STOCK, "pending", 0))
    log.insert(*(record(number, delivery=delivery("open", *pending)) for number in (1, 2)))
    return log


def stored(log: Log) -> list[dict[str, Any]]:
    return list(log.client[log.database]["event_log_handlers"].find())


def paused(log: Log, handler: str = MAIL, **fields: Any) -> None:
    """Pause a handler, as another operator has."""
    log.client[log.database]["event_log_handlers"].insert_one(
        {"_id": handler, "paused_at": BEGAN, "by": "anna@db-1", "until": None, "reason": "mail is down"} | fields
    )


# pause


def test_a_pause_is_stored_and_reported(cli: Cli, log: Log) -> None:
    ended = cli("handlers", "pause", MAIL, "--until", "2h", "--reason", "mail is down", "--yes", "-o", "json")
    assert ended.code == 0
    row = json.loads(ended.out)
    assert [*row] == ["handler", "paused_at", "by", "until", "reason", "waiting", "was_paused", "dry_run"]
    assert (row["handler"], row["reason"], row["waiting"], row["was_paused"]) == (MAIL, "mail is down", 2, False)
    [kept] = stored(log)
    assert (kept["_id"], kept["by"], kept["reason"]) == (MAIL, row["by"], "mail is down")
    assert kept["until"] - kept["paused_at"] <= timedelta(hours=2)
    assert kept["until"] - kept["paused_at"] > timedelta(hours=1, minutes=59)
    assert "2 open deliveries wait" in ended.err
    assert ended.err.rstrip().endswith(f"craft-events handlers resume {MAIL}")


def test_a_second_pause_changes_end_and_reason_and_says_so(cli: Cli, log: Log) -> None:
    paused(log)
    ended = cli("handlers", "pause", MAIL, "--until", "9999-01-01", "--yes")
    assert json.loads(ended.out)["was_paused"] is True
    assert "was paused already" in ended.err
    [kept] = stored(log)
    assert (kept["reason"], kept["until"].year, kept["paused_at"]) == (None, 9999, BEGAN.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        ("yesterday", "is in the past"),
        ("2020-01-31T10:00:00Z", "is in the past"),
        ("0s", "is in the past"),
        ("9999999d", "is after the year 9999"),
        ("soon", "is not a valid time"),
    ],
)
def test_an_end_that_is_not_ahead_is_a_usage_error(cli: Cli, log: Log, until: str, reason: str) -> None:
    ended = cli("handlers", "pause", MAIL, "--until", until, "--yes")
    assert (ended.code, ended.out, stored(log)) == (2, "", [])
    assert reason in ended.err


def test_a_typo_is_not_paused(cli: Cli, log: Log) -> None:
    ended = cli("handlers", "pause", "shop.mail:sent", "--yes")
    assert (ended.code, stored(log)) == (3, [])
    assert f"did you mean {MAIL}?" in ended.err
    assert "-m MODULE" in ended.err
    assert cli("handlers", "pause", "shop.mail:sent", "-m", "shop", "--yes").code == 3


def test_a_handler_without_any_event_is_found_in_its_module(cli: Cli, log: Log) -> None:
    assert cli("handlers", "pause", "shop.stock:old", "--yes").code == 3
    assert cli("handlers", "pause", "shop.stock:old", "-m", "shop", "--yes").code == 0


def test_a_module_that_cannot_be_loaded_keeps_nobody_from_pausing_its_handlers(cli: Cli, log: Log) -> None:
    assert cli("handlers", "pause", MAIL, "-m", "no_such_module", "--yes").code == 0


def test_a_dry_run_writes_nothing(cli: Cli, log: Log) -> None:
    ended = cli("handlers", "pause", MAIL, "--dry-run")
    row = json.loads(ended.out)
    assert (ended.code, row["waiting"], row["dry_run"], stored(log)) == (0, 2, True, [])
    assert "nothing was written" in ended.err
    paused(log)
    assert json.loads(cli("handlers", "resume", MAIL, "--dry-run").out)["waiting"] == 2
    assert len(stored(log)) == 1
    assert "event_log_handlers" in log.client[log.database].list_collection_names()


def test_without_a_terminal_a_yes_is_needed(cli: Cli, log: Log) -> None:
    for command in ("pause", "resume"):
        assert cli("handlers", command, MAIL).code == 2
    assert stored(log) == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_the_question_shows_how_many_deliveries_will_wait(process: Process, log: Log, answer: str, code: int) -> None:
    with at_a_terminal(process, "handlers", "pause", MAIL, *log.where) as person:
        person.waits_for(f"{MAIL} is paused until it is resumed: 2 open deliveries wait, and new ones. Go on? [y/N]")
        person.types(answer)
        assert person.ended()[0] == code
    assert len(stored(log)) == (1 if code == 0 else 0)


# resume


def test_a_resume_ends_the_pause_and_names_the_next_step(cli: Cli, log: Log) -> None:
    paused(log)
    ended = cli("handlers", "resume", MAIL, "--yes")
    assert (ended.code, json.loads(ended.out)["was_paused"], stored(log)) == (0, True, [])
    assert f"{MAIL} is resumed · 2 open deliveries are due" in ended.err
    assert f"craft-events redispatch --handler {MAIL}" in ended.err


def test_a_handler_that_is_not_paused_is_no_failure_but_an_unknown_one_is(cli: Cli, log: Log) -> None:
    ended = cli("handlers", "resume", MAIL, "--yes")
    assert (ended.code, json.loads(ended.out)["was_paused"]) == (0, False)
    assert f"{MAIL} is not paused" in ended.err
    paused(log, "shop.audit:write")
    unknown = cli("handlers", "resume", "shop.audit:wrote", "--yes")
    assert unknown.code == 3
    assert "did you mean shop.audit:write?" in unknown.err


# shown by the others


def test_a_redispatch_says_at_the_start_and_at_the_end_what_waits(cli: Cli, log: Log) -> None:
    paused(log)
    ended = cli("redispatch", "-m", "shop", "-o", "json")
    assert ended.code == 0
    summary = json.loads(ended.out)
    assert (summary["done"], summary["paused"], summary["paused_handlers"]) == (2, 2, [MAIL])
    first, last = [line for line in ended.err.splitlines() if MAIL in line]
    assert first.startswith(f"{MAIL} is paused since 2020-01-31 10:00:00 by anna@db-1 (mail is down)")
    assert first.endswith("(mail is down): 2 deliveries wait")
    assert f"2 deliveries wait for {MAIL}, paused (craft-events handlers resume {MAIL}" in last


def test_a_dry_run_of_a_redispatch_says_it_too(cli: Cli, log: Log) -> None:
    paused(log)
    ended = cli("redispatch", "-m", "shop", "--dry-run", "-o", "json")
    assert json.loads(ended.out)["by_handler"] == {STOCK: 2}
    assert f"2 deliveries wait for {MAIL}, paused" in ended.err


def test_a_named_event_waits_and_the_command_says_so(cli: Cli, log: Log) -> None:
    paused(log)
    ended = cli("redispatch", str(record(1)["event_id"]), "-m", "shop", "--handler", MAIL)
    assert (ended.code, ended.out) == (0, "")
    assert f"nothing is due · 1 delivery waits for {MAIL}, paused" in ended.err


def test_stats_doctor_and_pending_show_a_pause(cli: Cli, log: Log) -> None:
    paused(log, until=datetime(9999, 1, 1, tzinfo=UTC))
    [shown] = json.loads(cli("stats", "-o", "json").out)["paused"]
    assert shown == {
        "handler": MAIL,
        "paused_at": "2020-01-31T10:00:00.000Z",
        "by": "anna@db-1",
        "until": "9999-01-01T00:00:00.000Z",
        "reason": "mail is down",
        "waiting": 2,
    }
    assert f"{MAIL} is paused since" in cli("stats", "-o", "table").out
    [finding] = [one for one in json.loads(cli("doctor", "-o", "json").out) if one["check"] == "pauses"]
    assert (finding["level"], finding["advice"]) == ("WARN", f"craft-events handlers resume {MAIL}")
    rows = json.loads(cli("pending", "-o", "json").out)
    assert {(one["handler"], one["paused"]) for one in rows} == {(MAIL, True), (STOCK, False)}
    assert "paused" in cli("pending", "-o", "table").out
    groups = json.loads(cli("pending", "--by", "handler", "-o", "json").out)
    assert {one["group"]: one["paused"] for one in groups} == {MAIL: True, STOCK: False}


def test_a_paused_handler_that_is_not_loaded_is_no_orphan_of_any_command(cli: Cli, log: Log) -> None:
    gone = record(3, delivery=delivery("open", entry("shop.gone:sync", "pending", 0)))
    log.insert(gone)
    for command in (["stats", "-m", "shop"], ["handlers", "check", "-m", "shop"], ["redispatch", "-m", "shop"]):
        assert cli(*command).code == 3
    paused(log, "shop.gone:sync")
    for command in (["stats", "-m", "shop"], ["handlers", "check", "-m", "shop"], ["redispatch", "-m", "shop"]):
        assert cli(*command).code == 0


def test_no_text_of_a_pause_comes_out_raw(cli: Cli, log: Log) -> None:
    hostile = record(3, delivery=delivery("open", entry(HOSTILE, "pending", 0)))
    log.insert(hostile)
    paused(log, HOSTILE, by=HOSTILE, reason=HOSTILE)
    for command in (
        ["stats", "-o", "table"],
        ["doctor", "-o", "table"],
        ["pending", "-o", "table"],
        ["redispatch", "-m", "shop", "--dry-run"],
        ["redispatch", "-m", "shop"],
        ["handlers", "pause", HOSTILE, "--yes"],
        ["handlers", "resume", HOSTILE, "--yes"],
    ):
        ended = cli(*command)
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2028"} & {*ended.out, *ended.err}, command
