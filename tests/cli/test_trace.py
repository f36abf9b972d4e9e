"""`trace`: the tree of an event, for people and for programs."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events.engine.children import derived_id
from craft_easy.core.events.store.queries.trace import derivation_content
from tests.cli.conftest import Cli, Golden
from tests.cli.deliveries import delivery, entry, errors
from tests.support.history import BEGAN, HOSTILE, Log, record

COLUMNS = [
    "depth", "kind", "event_id", "event_type", "timestamp", "tenant_id", "causation_id", "correlation_id", "asked",
    "published_by", "state", "handlers", "children", "left_out",
]  # fmt: skip
ORDER = record(
    1,
    event_type="order.placed",
    delivery=delivery(
        "dead",
        entry("shop.stock:reserve", "done", 1),
        entry("shop.billing:charge", "dead", 20, errors=errors(19, 20)),
        entry("shop.mail:send_confirmation", "done", 3, took_ms=48, errors=errors(1, 2)),
        entry("shop.video:cut", "dead", 0, crashes=3, reason="crashed", took_ms=None),
        entry("shop.legacy:sync", "skipped", 0, reason="removed in 4.0", by="ada@desk"),
        entry("shop.crm:note", "pending", 2, errors=errors(1)),
        entry("shop.crm:score", "pending", 0),
    ),
)


def caused(number: int, cause: dict[str, Any], by: str | None, **fields: Any) -> dict[str, Any]:
    """Return the record of an event that a handler of another one published; without a handler its id is random."""
    child = record(number, causation_id=cause["event_id"], correlation_id=ORDER["event_id"], **fields)
    if by is not None:
        child["event_id"] = derived_id(cause["event_id"], by, derivation_content(child) or b"", 0)
    return child


RESERVED = caused(
    2, ORDER, "shop.stock:reserve", event_type="stock.reserved",
    delivery=delivery("done", entry("shop.warehouse:pick", "done", 1, took_ms=8)),
)  # fmt: skip
PARCEL = caused(
    3, RESERVED, "shop.warehouse:pick", event_type="parcel.packed", tenant_id="globex", delivery=delivery("done")
)
MAILED = caused(4, ORDER, None, event_type="mail.sent", timestamp=BEGAN + timedelta(days=1))
CHAIN = (ORDER, RESERVED, PARCEL, MAILED)


@pytest.fixture
def log(log: Log) -> Log:
    log.insert(*CHAIN, record(20))
    return log


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_is_a_tree(cli: Cli, log: Log, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ended = cli("trace", PARCEL["event_id"], "-o", "table")
    assert ended.code == 0
    golden(f"trace-{columns}.table", ended.out)
    assert max(map(len, ended.out.splitlines())) <= columns


@pytest.mark.parametrize("output", ["ndjson", "json", "csv"])
def test_a_program_gets_a_row_for_each_event(cli: Cli, log: Log, golden: Golden, output: str) -> None:
    ended = cli("trace", ORDER["event_id"], "-o", output)
    assert ended.code == 0
    golden(f"trace.{output}", ended.out)


def test_a_pipe_gets_the_same_rows_as_an_array_holds(cli: Cli, log: Log) -> None:
    rows = [json.loads(line) for line in cli("trace", ORDER["event_id"]).out.splitlines()]
    whole = json.loads(cli("trace", ORDER["event_id"], "-o", "json").out)
    assert whole["steps"] == rows
    assert all(list(row) == COLUMNS for row in rows)
    assert [(row["depth"], row["event_type"], row["published_by"]) for row in rows] == [
        (0, "order.placed", None),
        (1, "stock.reserved", "shop.stock:reserve"),
        (2, "parcel.packed", "shop.warehouse:pick"),
        (1, "mail.sent", None),
    ]


def test_the_last_lines_count_the_chain_and_name_the_next_command(cli: Cli, log: Log) -> None:
    ended = cli("trace", PARCEL["event_id"])
    assert ended.err.splitlines() == [
        "4 events · 23 h 59 min from the first to the last · 2 deliveries dead · 2 deliveries pending · times are UTC",
        f"next: craft-events show {ORDER['event_id']}",
    ]


def test_a_log_without_the_index_names_the_command_that_creates_it(cli: Cli, log: Log) -> None:
    log.events.drop_index("correlation_id_1")
    ended = cli("trace", MAILED["event_id"])
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "error: the log has no index on correlation_id, which finds the events of a chain",
        "create it: craft-events doctor --fix",
    ]


def test_a_missing_cause_is_named(cli: Cli, log: Log) -> None:
    log.events.delete_one({"event_id": ORDER["event_id"]})
    ended = cli("trace", PARCEL["event_id"], "-o", "table")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == f"{ORDER['event_id']}   is not in the log"
    assert f"named as a cause but not in the log: {ORDER['event_id']}" in ended.err
    missing = json.loads(cli("trace", PARCEL["event_id"]).out.splitlines()[0])
    assert (missing["kind"], missing["event_id"], missing["event_type"]) == ("missing", ORDER["event_id"], None)


def test_left_out_events_are_counted(cli: Cli, log: Log) -> None:
    many = [caused(number, RESERVED, None, event_type=f"type.{number % 5}") for number in range(30, 60)]
    log.insert(*many)
    ended = cli("trace", ORDER["event_id"], "-o", "table", "--depth", "1")
    assert "… 31 more: 6 type.0, 6 type.1, 6 type.2, 13 others" in ended.out
    assert "34 events · 3 shown (--limit, --depth)" in ended.err
    ended = cli("trace", ORDER["event_id"], "-o", "json", "--limit", "1")
    assert "34 events · 1 shown (--limit, --depth)" in ended.err
    found = json.loads(ended.out)
    assert [found[name] for name in ("events", "shown", "whole")] == [34, 1, False]


@pytest.mark.parametrize("columns", [40, 80])
def test_a_deep_chain_moves_to_the_left_and_shows_its_level(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    chain = [record(100, event_id="d0", event_type="deep", delivery=delivery("done", entry("again", "done", 1)))]
    chain += [
        record(100, _id=number, event_id=f"d{number}", event_type="deep", causation_id=f"d{number - 1}")
        | {"correlation_id": "d0", "delivery": delivery("done", entry("again", "done", 1))}
        for number in range(1, 300)
    ]
    log.insert(*chain)
    lines = cli("trace", "d0", "-o", "table").out.splitlines()
    assert len(lines) == 600
    assert max(map(len, lines)) <= columns
    assert all("deep" in line or "again" in line for line in lines)
    assert re.fullmatch(r"\[299\] [ │]*└── deep .*", lines[-2])
    levels = [int(found[1]) for line in lines if (found := re.match(r"\[(\d+)\]", line))]
    assert levels == list(range(levels[0], 300)), "each moved event shows its level"


def test_a_chain_with_a_cycle_is_reported(cli: Cli, log: Log) -> None:
    log.insert(record(30, event_id="a", causation_id="b"), record(31, event_id="b", causation_id="a"))
    assert "repeated: the chain has a cycle" in cli("trace", "a", "-o", "table").out
    assert json.loads(cli("trace", "a", "-o", "json").out)["cyclic"] is True


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_prints_a_raw_character(cli: Cli, log: Log, output: str) -> None:
    hostile = delivery("dead", entry(HOSTILE, "dead", 1, errors=errors(1, text=HOSTILE, kind=HOSTILE)))
    log.insert(
        record(30, event_id=HOSTILE, event_type=HOSTILE, tenant_id=HOSTILE, causation_id=HOSTILE * 2, delivery=hostile),
        record(31, event_id="c", causation_id=HOSTILE, event_type=HOSTILE, delivery=delivery("done")),
    )
    for limit in ("1", "100"):
        ended = cli("trace", "-o", output, "--limit", limit, "--", HOSTILE)
        assert ended.code == 0
        assert "[31mred" in ended.out
        assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


def test_colours_add_no_letters(cli: Cli, log: Log) -> None:
    plain = cli("trace", ORDER["event_id"], "-o", "table").out
    colored = cli("trace", ORDER["event_id"], "-o", "table", "--color", "always").out
    assert "\x1b[31m✗\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_an_event_that_is_not_there_ends_with_3(cli: Cli, log: Log, output: str) -> None:
    ended = cli("trace", "no-such-event", "-o", output)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith(f"error: there is no event no-such-event in {log.database}.event_log at 127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "missing argument 'EVENT_ID'"),
        (["a", "--depth", "0"], 2, "--depth"),
        (["a", "--limit", "٣"], 2, "--limit"),
        (["a", "--within", "5m"], 2, "--within"),
    ],
)
def test_an_impossible_request_is_an_error(cli: Cli, log: Log, arguments: list[str], code: int, said: str) -> None:
    ended = cli("trace", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_records_of_other_writers_are_drawn(cli: Cli, log: Log) -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    log.insert(
        {"_id": 4, "event_id": "theirs", "event_type": "bill.sent", "timestamp": at, "payload": [1], "source": "erp"},
        {"_id": 5, "event_id": "more", "event_type": "bill.paid", "timestamp": at, "delivery": "x"}
        | {"causation_id": "theirs", "correlation_id": "theirs"},
    )
    ended = cli("trace", "theirs", "-o", "table")
    assert ended.code == 0
    assert "bill.sent" in ended.out
    assert "bill.paid" in ended.out
