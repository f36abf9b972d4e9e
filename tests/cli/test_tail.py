"""`craft-events tail` with an end: options, the last events, limits. Its live side is in acceptance."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli, Ended, Golden
from tests.support.history import HISTORY, Log


@pytest.fixture
def log(log: Log) -> Log:
    log.insert(*HISTORY)
    return log


@pytest.fixture
def tail(cli: Cli, log: Log) -> Cli:
    return lambda *args: cli("tail", *log.where, *args)


def numbers(ended: Ended) -> list[int]:
    assert ended.code == 0, ended.err
    return [int(json.loads(line)["event_id"][-12:] or "0", 16) for line in ended.out.splitlines()]


def test_it_prints_the_last_events_oldest_first_and_ends(tail: Cli) -> None:
    assert numbers(tail("--no-follow", "-n", "3")) == [7, 8, 10]


def test_without_a_number_these_are_ten(tail: Cli, log: Log) -> None:
    assert len(numbers(tail("--no-follow"))) == 10
    log.insert({**HISTORY[0], "_id": "other", "event_id": "other-000000000000"})
    assert len(numbers(tail("--no-follow"))) == 10


def test_n_0_shows_no_earlier_event(tail: Cli) -> None:
    ended = tail("--no-follow", "-n", "0")
    assert (ended.code, ended.out, ended.err) == (0, "", "no events in this selection\n")


def test_the_last_are_counted_after_the_filters(tail: Cli) -> None:
    assert numbers(tail("--no-follow", "-n", "2", "--tenant", "acme", "--type", "payment.*")) == [8, 10]
    assert numbers(tail("--no-follow", "-n", "2", "--actor", "user_12")) == [2]


def test_since_takes_the_place_of_the_number(tail: Cli) -> None:
    ended = tail("--no-follow", "-n", "1", "--since", "2020-01-31T10:07:00")
    assert numbers(ended)[-3:] == [7, 8, 10]
    assert ended.err.startswith("2020-01-31 10:07:00 … now UTC\n")


def test_a_limit_ends_it_though_it_follows(tail: Cli) -> None:
    assert numbers(tail("--limit", "2")) == [8, 10]
    assert numbers(tail("--limit", "2", "--since", "2020-01-31T10:07:00", "--tenant", "acme")) == [8, 10]


def test_lines_for_people_do_not_change(tail: Cli, golden: Golden) -> None:
    ended = tail("--no-follow", "-o", "table", "-n", "4")
    golden("tail.table", ended.out)


def test_json_is_complete_without_follow(tail: Cli) -> None:
    assert len(json.loads(tail("--no-follow", "-n", "2", "-o", "json").out)) == 2


def test_excluded_types_do_not_count_among_the_last_events(tail: Cli) -> None:
    assert numbers(tail("--no-follow", "-n", "2", "--tenant", "acme", "--exclude-type", "payment.comp*")) == [3]
    left = tail("--no-follow", "--exclude-type", "payment.*", "--exclude-type", "@sum")
    assert numbers(left)[-2:] == [5, 6]


def test_only_what_holds_the_text_is_shown(tail: Cli) -> None:
    assert numbers(tail("--no-follow", "-n", "1", "--grep", '"payment_id":"p_2"')) == [2]
    assert numbers(tail("--no-follow", "--grep", "p_2", "--grep", "double charge")) == [2, 3]
    assert "no events" in tail("--no-follow", "--grep", "SMTPError").err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "json"], "-o json"),
        (["-o", "json", "--limit", "3"], "-o json"),
        (["--until", "2020-01-31"], "--until"),
        (["--reverse"], "--reverse"),
        (["--no-follow", "--reverse"], "--reverse"),
        (["-n", "-1"], "at least 0"),
        (["-n", "many"], "at least 0"),
        (["--limit", "0"], "--limit"),
        (["--since", "someday"], "is not a valid time"),
        (["--no-follow", "--checkpoint", "f"], "--checkpoint"),
        (["--no-follow", "--outcomes"], "--outcomes"),
        (["--no-follow", "--wait-max", "1s"], "--wait-max"),
        (["--wait-max", "0"], "not a time to wait"),
        (["--wait-max", "soon"], "is not a valid duration"),
        (["--outcomes", "-o", "csv"], "-o csv"),
        (["--grep", ""], "every event"),
        (["--exclude-type", ""], "empty pattern"),
    ],
    ids=str,
)
def test_contradicting_options_are_exit_2(tail: Cli, args: list[str], message: str) -> None:
    ended = tail(*args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert 1 <= len(ended.err.splitlines()) <= 3
