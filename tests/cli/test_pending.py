"""`pending`: what is open, with its handler, its error and its next try, one by one and in groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from craft_easy.core.events import clock
from tests.cli.conftest import Cli
from tests.support.dead_letters import CHARGE, GRAVEYARD, MAIL, handler, id_of, tracked
from tests.support.history import BEGAN, Log, opened, record

LATER = clock.now().replace(microsecond=0) + timedelta(days=1)
WHERE = "shop/mail.py:31 in send"
REFUSED = {"type": "SMTPError", "message": "refused", "at": BEGAN, "attempt": 3, "where": WHERE, "frames": [WHERE]}
WAITING = record(
    20, event_type="order.paid", delivery=tracked(handler(MAIL, "pending", attempts=3, due_at=LATER, errors=[REFUSED]))
)
CRASHED = record(21, delivery=tracked(handler(CHARGE, "pending", attempts=0, crashes=2, errors=[])))
OWNED = record(22, delivery={**tracked(handler(CHARGE, "pending", attempts=0, errors=[])), "owner": "api-3:4121:ab"})


@pytest.fixture(autouse=True)
def log(embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)
    with opened(embedded_uri, database_name) as log:
        log.insert(*GRAVEYARD, WAITING, CRASHED, OWNED)
        yield log


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_open_delivery_is_listed_with_its_handler_attempts_error_and_next_try(cli: Cli) -> None:
    found = {row["event_id"]: row for row in rows(cli("pending").out)}
    assert sorted(found) == [id_of(number) for number in (2, 5, 20, 21, 22)]
    waiting = found[id_of(20)]
    assert (waiting["handler"], waiting["attempts"], waiting["where"]) == (MAIL, 3, WHERE)
    assert (waiting["error_type"], waiting["error_message"]) == ("SMTPError", "refused")
    assert waiting["due_at"] == f"{LATER:%Y-%m-%dT%H:%M:%S}.000Z"


def test_a_table_says_what_is_due_what_is_owned_and_what_has_crashed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = {line.split()[0]: line for line in cli("pending", "-o", "table").out.splitlines()}
    assert " due " in lines[id_of(5)]
    assert f"{LATER:%m-%d %H:%M}" in lines[id_of(20)]
    assert "ended its process twice" in lines[id_of(21)]
    assert " owned " in lines[id_of(22)]
    assert "not tried yet" in lines[id_of(22)]


def test_an_event_that_may_have_ended_its_workers_does_not_look_untried(cli: Cli, log: Log) -> None:
    never = tracked(handler(CHARGE, "pending", attempts=0, errors=[]))
    log.insert(record(23, event_type="video.cut", delivery={**never, "takeovers": 2}))
    assert "its worker was lost" in cli("pending", "--type", "video.*", "-o", "table").out


def test_groups_name_the_error_of_a_handler_and_its_first_next_try(cli: Cli) -> None:
    groups = {(row["handler"], row["error"]): row for row in rows(cli("pending", "--by", "error").out)}
    assert groups[MAIL, "SMTPError"]["due_at"] == f"{LATER:%Y-%m-%dT%H:%M:%S}.000Z"
    assert groups[CHARGE, "not tried yet"]["deliveries"] == 1
    assert groups[CHARGE, "crashed"]["event_id"] == id_of(21)


@pytest.mark.parametrize("by", ["handler", "type", "tenant"])
def test_each_grouping_counts_every_pending_delivery_once(cli: Cli, by: str) -> None:
    assert sum(row["deliveries"] for row in rows(cli("pending", "--by", by).out)) == 5


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (("--handler", MAIL), (2, 20)),
        (("--type", "order.*"), (2, 20)),
        (("--tenant", "globex"), ()),
        (("--limit", "2"), (2, 5)),
        (("--reverse", "--limit", "1"), (22,)),
    ],
)
def test_the_filters_are_those_of_dead_list(cli: Cli, filters: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    ended = cli("pending", *filters)
    assert ended.code == 0
    assert [row["event_id"] for row in rows(ended.out)] == [id_of(number) for number in numbers]
    assert numbers or "no pending deliveries" in ended.err


def test_at_fifty_columns_handler_and_error_are_shown_rather_than_ids_alone(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    for command in (("pending",), ("dead", "list")):
        heading = cli(*command, "-o", "table").out.splitlines()[0]
        assert heading.split() == ["Handler", "Error"]


@pytest.mark.parametrize(
    "command",
    [("pending",), ("dead", "list"), ("dead", "retry", "--yes"), ("dead", "retry", "--dry-run")],
    ids=" ".join,
)
def test_a_typo_in_a_handler_id_is_not_reported_as_nothing_to_do(cli: Cli, command: tuple[str, ...]) -> None:
    ended = cli(*command, "--handler", "shop.mail:sned")
    assert (ended.code, ended.out) == (3, "")
    assert "no handler shop.mail:sned in this log; did you mean shop.mail:send?" in ended.err


def test_a_handler_without_anything_dead_is_no_typo(cli: Cli) -> None:
    ended = cli("dead", "list", "--handler", "shop.stock:reserve")
    assert (ended.code, ended.err) == (0, "no dead deliveries in this selection\n")
