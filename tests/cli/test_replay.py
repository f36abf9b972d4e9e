"""`craft-events replay`: its selection and its output."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.cli.conftest import Cli, Ended, Golden
from tests.support.history import HISTORY, HOSTILE, Log, record

KEYS = "event_id event_type timestamp tenant_id actor_id payload causation_id correlation_id delivery".split()  # noqa: SIM905


@pytest.fixture
def log(log: Log) -> Log:
    log.insert(*HISTORY)
    return log


@pytest.fixture
def replay(cli: Cli, log: Log) -> Cli:
    return lambda *args: cli("replay", *log.where, *args)


def events(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def numbers(ended: Ended) -> list[int]:
    """Return the numbers of the records that were printed."""
    return [int(event["event_id"][-12:] or "0", 16) for event in events(ended)]


def test_into_a_pipe_it_prints_ndjson_oldest_first(replay: Cli) -> None:
    ended = replay()
    found = events(ended)
    assert [list(event)[:9] for event in found] == [KEYS] * 10
    assert [event["timestamp"] for event in found[1:]] == sorted(event["timestamp"] for event in found[1:])
    assert ended.err.splitlines()[-1] == "10 events"


@pytest.mark.parametrize("output", ["ndjson", "json", "csv", "table"])
def test_each_format_is_as_it_was(replay: Cli, golden: Golden, output: str) -> None:
    ended = replay("-o", output)
    assert ended.code == 0
    golden(f"replay.{output}", ended.out)


def test_json_is_one_array_of_the_same_events(replay: Cli) -> None:
    assert json.loads(replay("-o", "json").out) == events(replay("-o", "ndjson"))


def test_csv_holds_the_same_events_with_the_payload_as_json(replay: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(replay("-o", "csv", "--limit", "5").out)))
    for row, event in zip(rows, events(replay("--limit", "5")), strict=True):
        assert list(row) == KEYS
        assert json.loads(row["payload"]) == event["payload"]
        assert (json.loads(row["delivery"]) if row["delivery"] else None) == event["delivery"]
        assert row["tenant_id"] == ("" if event["tenant_id"] is None else event["tenant_id"])


def test_a_cell_that_a_spreadsheet_would_compute_gets_a_quote(replay: Cli) -> None:
    (row,) = csv.DictReader(io.StringIO(replay("-o", "csv", "--tenant", "=1+1").out))
    assert (row["tenant_id"], row["event_type"], row["actor_id"]) == ("'=1+1", "'@sum", "'-x")


@pytest.mark.parametrize("output", ["ndjson", "json", "csv", "table"])
@pytest.mark.parametrize("color", ["never", "always"])
def test_no_text_of_the_log_is_printed_raw(replay: Cli, output: str, color: str) -> None:
    out = replay("-o", output, "--color", color).out
    forbidden = {"\x1b]", "\x07", "\x7f", "\x9b", "\u202e", "\u2028"}
    assert not [one for one in forbidden if one in out]
    assert "\x1b[31mred" not in out
    assert (r"\x1b[31mred" if output in ("csv", "table") else r"\u001b[31mred") in out
    assert out.count("\n") - (output == "json") * 2 - (output == "csv") == 10


def test_ndjson_loses_nothing_of_what_is_hostile(replay: Cli) -> None:
    event = next(event for event in events(replay()) if event["event_id"].endswith("06"))
    assert (event["tenant_id"], event["event_type"], event["actor_id"]) == (HOSTILE,) * 3
    assert event["payload"] == {HOSTILE: HOSTILE}


def test_malformed_records_are_listed(replay: Cli) -> None:
    first, *_, last = events(replay())
    assert first == {
        "event_id": "",
        "event_type": "",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "tenant_id": "7",
        "actor_id": None,
        "payload": {"value": [1, 2]},
        "causation_id": None,
        "correlation_id": None,
        "delivery": None,
    }
    assert last["payload"] == {"not": {"$numberDouble": "NaN"}}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--tenant", "acme"], [1, 2, 3, 8, 10]),
        (["--tenant", "acme", "--tenant", "globex"], [1, 2, 3, 4, 8, 10]),
        (["--no-tenant"], [5]),
        (["--no-tenant", "--tenant", "globex"], [4, 5]),
        (["--type", "payment.refunded"], [3]),
        (["--type", "payment.*"], [1, 2, 3, 8, 10]),
        (["--type", "order.?laced", "--type", "system.*"], [4, 5]),
        (["--type", "*", "--tenant", "globex"], [4]),
        (["--actor", "user_12"], [2]),
        (["--actor", "user_12", "--tenant", "globex"], []),
        (["--state", "open"], [4]),
        (["--state", "dead"], [8]),
        (["--state", "done", "--state", "dead"], [2, 8]),
        (["--state", "untracked", "--tenant", "acme"], [1, 3, 10]),
        (["--since", "2020-01-31T10:03:00Z", "--until", "2020-01-31T10:05:00Z"], [3, 4]),
        (["--since", "2020-01-31T10:07", "--tenant", "acme"], [8, 10]),
        (["--limit", "2", "--tenant", "acme"], [1, 2]),
        (["--limit", "2", "--tenant", "acme", "--reverse"], [10, 8]),
        (["--tenant", '{"$ne":null}'], []),
        (["--tenant", "7"], [0]),
    ],
    ids=str,
)
def test_it_prints_what_is_selected(replay: Cli, args: list[str], expected: list[int]) -> None:
    assert numbers(replay(*args)) == expected


def test_events_of_one_time_are_ordered_by_their_ids(replay: Cli, log: Log) -> None:
    same = [record(number, tenant_id="same", timestamp=record(1)["timestamp"]) for number in (33, 31, 32)]
    log.insert(*same)
    assert numbers(replay("--tenant", "same")) == [31, 32, 33]
    assert numbers(replay("--tenant", "same", "--reverse")) == [33, 32, 31]


def test_an_empty_selection_is_reported_with_exit_0(replay: Cli) -> None:
    for output, out in (("ndjson", ""), ("table", ""), ("json", "[]\n"), ("csv", ",".join(KEYS) + "\r\n")):
        ended = replay("--tenant", "unknown", "-o", output)
        assert (ended.code, ended.out, ended.err) == (0, out, "no events in this selection\n")


def test_the_window_is_echoed_in_utc(replay: Cli) -> None:
    err = replay("--since", "2020-01-31T12:00:00+02:00", "--until", "2020-02-01").err
    assert err.splitlines()[0] == "2020-01-31 10:00:00 … 2020-02-01 00:00:00 UTC"


def test_a_table_mentions_utc_once(replay: Cli) -> None:
    assert "times are UTC" in replay("-o", "table").err
    assert "times are UTC" not in replay("-o", "table", "--since", "2020-01-01").err
    assert "times are UTC" not in replay("-o", "ndjson").err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--limit", "0"], "--limit"),
        (["--limit", "-1"], "--limit"),
        (["--since", "someday"], '"someday" is not a valid time'),
        (["--since", "2020-02-01", "--until", "2020-01-01"], "the window is empty"),
        (["--state", "lost"], "--state"),
        (["--all-handlers"], "there is no terminal to ask on"),
        (["--checkpoint", "f"], "--checkpoint is for running handlers"),
        (["-m", "shop"], "no option chooses which of them run"),
    ],
    ids=str,
)
def test_contradicting_options_are_exit_2(replay: Cli, args: list[str], message: str) -> None:
    ended = replay(*args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert 1 <= len(ended.err.splitlines()) <= 3


def test_it_does_not_change_the_log(replay: Cli, log: Log) -> None:
    before = list(log.events.find().sort("_id"))
    replay()
    assert repr(list(log.events.find().sort("_id"))) == repr(before)
    assert log.client[log.database].list_collection_names() == ["event_log"]
