"""The options that commands share: groups, conversions, and the store that they open."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from craft_easy.core.events.errors import StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.model.times import parse_moment
from craft_easy.core.events.settings import resolve
from craft_events_cli import values
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import UsageError
from craft_events_cli.params import Handling, Selecting, State
from tests.cli.conftest import Cli
from tests.support.commands import COMMANDS

NOW = datetime(2026, 11, 23, 17, 43, 45, tzinfo=UTC)


def test_a_selection_is_resolved_against_the_databases_now_and_echoed(capsys: pytest.CaptureFixture[str]) -> None:
    where = Selecting(["a"], True, ["order.*"], ["u"], parse_moment("2d"), parse_moment("2026-11-23"), 5, True)
    found = where.selection(NOW, states=[State.OPEN])
    assert (found.tenants, found.no_tenant, found.types, found.actors) == (("a",), True, ("order.*",), ("u",))
    assert (found.since, found.until) == (NOW - timedelta(days=2), datetime(2026, 11, 23, tzinfo=UTC))
    assert (found.states, found.limit, found.reverse) == (("open",), 5, True)
    assert capsys.readouterr().err == "2026-11-21 17:43:45 … 2026-11-23 00:00:00 UTC\n"


def test_the_default_window_is_not_echoed(capsys: pytest.CaptureFixture[str]) -> None:
    assert Selecting().selection(NOW).since is None
    assert capsys.readouterr().err == ""


def test_a_window_that_only_now_shows_to_be_empty_is_refused_then() -> None:
    where = Selecting(since=parse_moment("1h"), until=parse_moment("2026-01-01"))
    with pytest.raises(UsageError, match="the window is empty"):
        where.selection(NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10.0), ("0.5", 0.5), ("30s", 30.0), ("1h30m", 5400.0), ("0", 0.0)]
)
def test_a_duration_is_seconds_or_units(text: str, seconds: float) -> None:
    assert values.seconds(text) == seconds


@pytest.mark.parametrize("command", [words for words in COMMANDS if "--timeout" in COMMANDS[words].flags])
def test_a_time_limit_of_days_is_accepted_wherever_it_is_offered(cli: Cli, command: str) -> None:
    assert "2d" not in cli(command, "--timeout", "2d", "--handler", "shop:react").err


NOT_SELECTING = {"publish", "trace", "handlers pause"}
"""Commands that describe one event, limit a chain, or name the end of a pause."""


def test_an_option_that_selects_is_the_same_in_every_command() -> None:
    described = defaultdict(set)
    for words in set(COMMANDS) - NOT_SELECTING:
        for one in COMMANDS[words].options:
            described[one.opts[0]].add((one.help, one.metavar))
    selecting = (
        "--tenant",
        "--no-tenant",
        "--type",
        "--actor",
        "--since",
        "--until",
        "--limit",
        "--state",
        "--ids-from",
    )
    assert {flag: len(described[flag]) for flag in selecting} == dict.fromkeys(selecting, 1)


@pytest.mark.parametrize("command", ["tail", "redispatch"])
def test_an_order_is_not_offered_where_there_is_one(command: str) -> None:
    assert "--reverse" not in COMMANDS[command].flags


def test_an_empty_window_is_refused_with_what_was_typed() -> None:
    with pytest.raises(UsageError, match=r'^the window is empty: "2d" is not before "3d"$'):
        Selecting(since=parse_moment("2d"), until=parse_moment("3d"))


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5h", "2026-01-31", "٣", ".", "nan", "1e3", "9" * 400])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid duration\. Try 10, 30s or 5m"):
        values.seconds(text)


@pytest.mark.parametrize(
    ("flags", "environ", "origin"),
    [
        ({"uri": "mongodb://h"}, {}, "it came from --uri"),
        ({}, {"CRAFT_EVENTS_URI": "mongodb://h"}, "it came from CRAFT_EVENTS_URI"),
        ({}, {}, "it is the default: name yours with --uri or CRAFT_EVENTS_URI"),
    ],
)
@pytest.mark.parametrize("kind", [StoreUnavailable, StoreLoginRefused])
async def test_a_connection_error_names_the_origin_of_the_address(
    flags: dict[str, str], environ: dict[str, str], origin: str, kind: type[StoreUnavailable]
) -> None:
    with pytest.raises(kind) as caught:
        async with opened(resolve(flags, environ=environ), if_missing=IfMissing.BEGIN):
            raise kind("h:27017: connection refused", hint="the library's own")
    assert str(caught.value.hint).endswith(origin)


def test_an_app_dir_from_a_flag_is_used_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Handling(["shop"], app_dir=Path("src")).modules().app_dir.value == "src"
    assert Handling().modules().app_dir.value == "."
