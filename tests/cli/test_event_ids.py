"""Ids of events as arguments: a unique beginning of eight characters or more is enough."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.applications import application
from tests.support.dead_letters import CHARGE, handler, tracked
from tests.support.history import Log, opened, record

FIRST, SECOND, OTHER = "019abf3e-aaaa-7000-8000-1", "019abf3e-aaaa-7000-8000-2", "019abf3f-bbbb-7000-8000-3"


@pytest.fixture(autouse=True)
def log(embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)
    source = (
        "from craft_easy.core.events import event_handler\n\n"
        f"@event_handler('*', id='{CHARGE}')\ndef charge(event): print(event.event_id)\n"
    )
    with opened(embedded_uri, database_name) as log, application(tmp_path, {"biller.py": source}):
        log.insert(
            record(1, event_id=FIRST, delivery=tracked(handler(CHARGE))),
            record(2, event_id=SECOND, delivery=tracked(handler(CHARGE))),
            record(3, event_id=OTHER, delivery=tracked(handler(CHARGE, "pending", attempts=1))),
        )
        yield log


@pytest.mark.parametrize("command", ["show", "trace"])
def test_the_beginning_of_an_id_is_enough_where_one_event_has_it(cli: Cli, command: str) -> None:
    ended = cli(command, OTHER[:8], "-o", "json")
    assert ended.code == 0
    assert json.loads(ended.out)["event_id"] == OTHER


@pytest.mark.parametrize(
    "command", [("show",), ("trace",), ("dead", "retry", "--yes"), ("redispatch", "-m", "biller")], ids=" ".join
)
def test_an_ambiguous_beginning_lists_what_it_could_be(cli: Cli, command: tuple[str, ...]) -> None:
    ended = cli(*command, FIRST[:8])
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines()[-2:] == [FIRST, SECOND]


@pytest.mark.parametrize("command", ["show", "trace"])
def test_seven_characters_stand_for_no_event(cli: Cli, command: str) -> None:
    ended = cli(command, OTHER[:7])
    assert ended.code == 3
    assert "there is no event" in ended.err
    assert "at least 8 characters" in ended.err


def test_a_command_that_acts_shows_the_whole_id(cli: Cli) -> None:
    ended = cli("dead", "retry", FIRST[:-1] + "1", SECOND, "--yes")
    assert ended.code == 0
    ended = cli("dead", "discard", OTHER[:9], "--handler", CHARGE, "--pending", "--reason", "gone", "--yes")
    assert ended.code == 0
    assert f"{OTHER[:9]} is {OTHER}" in ended.err


def test_redispatch_delivers_the_events_that_are_named(cli: Cli, log: Log) -> None:
    ended = cli("redispatch", OTHER[:9], "-m", "biller", "--now")
    assert ended.code == 0
    assert f"{OTHER[:9]} is {OTHER}" in ended.err
    assert log.events.find_one({"event_id": OTHER})["delivery"]["state"] == "done"


def test_a_delivery_of_an_event_that_is_named_has_its_line(cli: Cli) -> None:
    ended = cli("redispatch", OTHER, "-m", "biller", "--now", "-o", "ndjson")
    row = json.loads(ended.out)
    assert (row["event_id"], row["handler"], row["outcome"], row["attempt"]) == (OTHER, CHARGE, "done", 2)


def test_an_event_that_is_named_and_not_in_the_log_ends_a_redispatch_with_3(cli: Cli) -> None:
    ended = cli("redispatch", "019abf3f-cccc", "-m", "biller")
    assert ended.code == 3
    assert "019abf3f-cccc" in ended.err
