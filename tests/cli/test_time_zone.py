"""`--time-zone`: the times that commands show, and those that they read without a zone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from craft_easy.core.events import clock
from tests.cli.conftest import Cli
from tests.cli.deliveries import delivery, entry, errors
from tests.support.commands import COMMANDS
from tests.support.history import BEGAN, Log, record

DEAD = record(1, delivery=delivery("dead", entry("shop:charge", "dead", 2, errors=errors(1, 2)), finished_at=BEGAN))
WAITING = record(
    2,
    delivery=delivery("open", entry("shop:mail", "pending", 1, errors=errors(1)), due_at=BEGAN + timedelta(days=9999)),
)
TOKYO = ("--time-zone", "Asia/Tokyo")
SHOWN = {
    "replay": ("01-31 10:01:00.000", "01-31 19:01:00.000"),
    "tail --no-follow": ("01-31 10:01:00.000", "01-31 19:01:00.000"),
    f"show {DEAD['event_id']}": ("2020-01-31 10:01:00.000 UTC", "2020-01-31 19:01:00.000 JST"),
    f"trace {DEAD['event_id']}": ("2020-01-31 10:01:00.000", "2020-01-31 19:01:00.000"),
    "dead list": ("01-31 12:00", "01-31 21:00"),
    "dead list --by error": ("2020-01-31 12:00", "2020-01-31 21:00"),
    "pending --by handler": ("2020-01-31 10:02", "2020-01-31 19:02"),
    "prune --older-than 300w --dry-run": ("", "JST"),
}


@pytest.fixture(autouse=True)
def history(log: Log) -> None:
    events = log.client[log.database]["event_log"]
    events.insert_many([DEAD, WAITING])
    events.create_index("correlation_id", sparse=True)


@pytest.mark.parametrize("command", SHOWN)
def test_times_are_shown_in_the_zone_that_was_asked_for(cli: Cli, command: str) -> None:
    utc, tokyo = SHOWN[command]
    plain = cli(*command.split(), "-o", "table")
    moved = cli(*command.split(), "-o", "table", *TOKYO)
    assert (plain.code, moved.code) == (0, 0), plain.err
    assert utc in plain.out + plain.err
    assert tokyo in moved.out + moved.err
    assert "UTC" not in moved.out + moved.err


def test_the_zone_is_named_where_the_times_are_not(cli: Cli) -> None:
    assert "times are UTC" in cli("replay", "-o", "table").err
    assert "times are Asia/Tokyo" in cli("replay", "-o", "table", *TOKYO).err
    assert "times are local" in cli("replay", "-o", "table", "--time-zone", "local").err
    window = cli("replay", "--since", "2020-01-31", "--until", "2020-02-01T06:30", *TOKYO)
    assert window.err.startswith("2020-01-31 00:00:00 … 2020-02-01 06:30:00 Asia/Tokyo\n")


@pytest.mark.parametrize("command", ["replay", f"show {DEAD['event_id']}", "dead list", "pending", "stats", "export"])
def test_machine_formats_stay_utc(cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = ("--since", "2020-01-01", "--until", "2021-01-01T00:00Z") if command == "stats" else ()
    output = () if command == "export" else ("-o", "ndjson")
    plain = cli(*command.split(), *output, *fixed).out
    moved = cli(
        *command.split(), *output, *(one.replace("01-01", "01-01T09:00") for one in fixed[:2]), *fixed[2:], *TOKYO
    )
    assert plain
    if command == "stats":  # its `at` is the present
        assert json.loads(plain)["bars"] == json.loads(moved.out)["bars"]
    else:
        assert plain == moved.out


@pytest.mark.parametrize(
    ("zone", "since", "events"),
    [("UTC", "2020-01-31T19:01", 0), ("Asia/Tokyo", "2020-01-31T19:01", 2), ("Asia/Tokyo", "2020-01-31T19:02", 1)],
)
def test_a_time_without_a_zone_is_read_in_the_zone_that_is_shown(cli: Cli, zone: str, since: str, events: int) -> None:
    assert len(cli("replay", "--since", since, "--time-zone", zone).out.splitlines()) == events


def test_a_typed_event_happened_at_the_time_that_a_clock_of_the_zone_showed(cli: Cli) -> None:
    ended = cli("publish", "--type", "order.placed", "--timestamp", "2020-01-31T19:00", *TOKYO)
    assert ended.code == 0
    assert cli("replay", "--type", "order.placed").out.count("2020-01-31T10:00:00.000Z") == 1


def test_the_zone_comes_from_the_flag_the_variable_or_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.craft-events]\ntime-zone = "Europe/Oslo"\n')
    assert "times are Europe/Oslo" in cli("replay", "-o", "table").err
    monkeypatch.setenv("CRAFT_EVENTS_TIME_ZONE", "America/New_York")
    assert "times are America/New_York" in cli("replay", "-o", "table").err
    assert "times are Asia/Tokyo" in cli("replay", "-o", "table", *TOKYO).err
    rows = json.loads(cli("config", "show", "-o", "json").out)
    assert {"setting": "time-zone", "value": "America/New_York", "origin": "CRAFT_EVENTS_TIME_ZONE"} in rows


@pytest.mark.parametrize(
    ("zone", "advice"),
    [
        ("Europe/Olso", "did you mean Europe/Oslo?"),
        ("europe/oslo", "did you mean Europe/Oslo?"),
        ("Europe", ""),
        ("../../etc/passwd", "try UTC, local or Europe/Oslo"),
        ("x" * 5_000, "try UTC, local or Europe/Oslo"),
    ],
)
def test_an_unknown_zone_is_a_usage_error_that_names_a_similar_one(cli: Cli, zone: str, advice: str) -> None:
    ended = cli("replay", "--time-zone", zone)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: --time-zone: ")
    assert "is not a known time zone" in ended.err
    assert advice in ended.err
    assert len(ended.err) < 300


def test_an_unknown_zone_of_a_variable_names_the_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_TIME_ZONE", "Mars/Olympus")
    ended = cli("replay")
    assert ended.code == 2
    assert "CRAFT_EVENTS_TIME_ZONE" in ended.err


def test_the_next_command_shows_the_same_zone(cli: Cli) -> None:
    assert "--time-zone Asia/Tokyo" in cli("dead", "list", "-o", "table", *TOKYO).err


def test_every_command_that_opens_the_log_takes_a_zone() -> None:
    connected = {words for words, command in COMMANDS.items() if "--database" in command.flags}
    assert {words for words, command in COMMANDS.items() if "--time-zone" in command.flags} == connected


def test_today_begins_at_midnight_of_the_zone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    utc = cli("replay", "--since", "today").err.splitlines()[0]
    assert utc.startswith(f"{datetime.now(UTC):%Y-%m-%d} 00:00:00 … now UTC"), clock.now()
    assert " 00:00:00 … now Asia/Tokyo" in cli("replay", "--since", "yesterday", *TOKYO).err
