"""`craft-events replay` through handlers: the question, the runs, the messages, and the unchanged log."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from craft_easy.core.events import DomainEvent
from craft_events_cli.pacing import events_a_second, speed
from tests.cli.conftest import Cli, Process
from tests.cli.replay_shop import BEGAN, RUN, SHOP, fill, ids, ledger
from tests.support.applications import application
from tests.support.history import Log
from tests.support.terminals import at_a_terminal


@pytest.fixture(autouse=True)
def app(log: Log, tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": textwrap.dedent(SHOP)}) as directory:
        yield directory


def test_a_line_a_delivery_goes_into_a_pipe_and_the_plan_and_summary_to_stderr(cli: Cli, log: Log, app: Path) -> None:
    [event] = fill(log, 1)
    ended = cli(*RUN, "--yes")
    assert ended.code == 0, ended.err
    assert [json.loads(line) for line in ended.out.splitlines()] == [
        {
            "event_id": event.event_id,
            "event_type": "order.placed",
            "tenant_id": "acme",
            "handler": handler,
            "outcome": "done",
            "attempt": 1,
            "error": None,
        }
        for handler in ("shop:reserve", "shop:charge")
    ]
    said = ended.err.splitlines()
    assert [one.split()[2:4] for one in said[:3]] == [["order.placed", "1"], ["acme", "1"], ["shop:reserve", "1"]]
    assert "shop:mail is not replayable" in said[3]
    assert said[-1].startswith("1 event · 2 delivered · 1 publish suppressed · ")
    assert ledger(app) == [event.event_id]


def test_json_is_one_object_with_all_keys_of_an_acting_command_and_some_of_its_own(cli: Cli, log: Log) -> None:
    fill(log, 2)
    ended = cli(*RUN, "--yes", "-o", "json")
    summary = json.loads(ended.out)
    assert len(summary.pop("replay_id")) == 36
    assert summary.pop("elapsed_s") > 0
    assert summary == {
        "events": 2,
        "done": 4,
        "failed": 0,
        "skipped": 0,
        "dry_run": False,
        "suppressed": 2,
        "redacted": 0,
        "malformed": 0,
        "not_found": [],
        "is_complete": True,
    }


def test_a_table_leaves_stdout_empty_and_csv_has_a_header(cli: Cli, log: Log) -> None:
    fill(log, 1, tenant_id="=cmd")
    assert cli(*RUN, "--yes", "-o", "table").out == ""
    header, *rows = cli(*RUN, "--yes", "-o", "csv").out.splitlines()
    assert header == "event_id,event_type,tenant_id,handler,outcome,attempt,error"
    assert len(rows) == 2
    assert ",'=cmd," in rows[0]


def test_a_dry_run_counts_and_runs_nothing(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 3)
    fill(log, 2, event_type="mail.sent", tenant_id=None)
    ended = cli(*RUN, "--dry-run", "-o", "json")
    assert (ended.code, json.loads(ended.out)) == (
        0,
        {
            "dry_run": True,
            "events": 3,
            "deliveries": 6,
            "by_type": {"order.placed": 3},
            "by_tenant": {"acme": 3},
            "by_handler": {"shop:reserve": 3, "shop:charge": 3},
        },
    )
    assert ended.err.splitlines()[-2:] == [
        "2 events in this range have none of these handlers",
        "3 events, 6 deliveries · nothing was run",
    ]
    assert ledger(app) == []
    assert "By handler" in cli(*RUN, "--dry-run", "-o", "table").out


def test_only_the_handlers_that_are_named_run(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2)
    ended = cli("replay", "-m", "shop", "--handler", "shop:charge", "--yes")
    assert [json.loads(line)["handler"] for line in ended.out.splitlines()] == ["shop:charge"] * 2
    assert ledger(app) == []


def test_the_selection_holds_for_handlers_too(cli: Cli, log: Log, app: Path) -> None:
    events = fill(log, 6)
    fill(log, 3, tenant_id="globex")
    since = (BEGAN + timedelta(minutes=2)).isoformat()
    assert cli(*RUN, "--yes", "--tenant", "acme", "--since", since, "--limit", "3").code == 0
    assert ledger(app) == ids(events[2:5])


def test_handlers_from_the_environment_alone_still_print(
    cli: Cli, log: Log, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_HANDLERS", "shop")
    [event] = fill(log, 1)
    ended = cli("replay")
    assert json.loads(ended.out)["event_id"] == event.event_id
    assert ledger(app) == []
    assert cli("replay", "--all-handlers", "--yes").code == 0
    assert ledger(app) == [event.event_id]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-m", "shop"], "no option chooses which of them run"),
        (["-m", "shop", "--all-handlers", "--handler", "shop:charge"], "leave one of them out"),
        (["-m", "shop", "--all-handlers", "--reverse"], "oldest first"),
        (["-m", "shop", "--all-handlers"], "there is no terminal to ask on"),
        (["--rate", "5"], "--rate is for running handlers"),
        (["--fail-fast"], "--fail-fast is for running handlers"),
        (["--ids-from", "-"], "--ids-from is for running handlers"),
        (["--yes"], "--yes is for running handlers"),
        (["--all-handlers", "--yes"], "no handler module is named"),
        (["-m", "shop", "--all-handlers", "--yes", "--ids-from", "none"], "--ids-from: none"),
        (["-m", "shop", "--all-handlers", "--yes", "--failures-out", "no/where"], "--failures-out"),
        (["-m", "shop", "--all-handlers", "--rate", "0/s"], "is not a valid rate"),
        (["-m", "shop", "--all-handlers", "--pace", "slow"], "is not a valid pace"),
        (["-m", "shop", "--all-handlers", "--concurrency", "0"], "--concurrency"),
    ],
    ids=str,
)
def test_contradicting_options_are_exit_2(cli: Cli, log: Log, app: Path, args: list[str], message: str) -> None:
    fill(log, 1)
    ended = cli("replay", *args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ledger(app) == []


def test_a_handler_that_is_not_loaded_is_named_with_the_one_that_may_be_meant(cli: Cli) -> None:
    ended = cli("replay", "-m", "shop", "--handler", "shop:chargee", "--yes")
    assert ended.code == 3
    assert "did you mean shop:charge?" in ended.err


@pytest.mark.parametrize(
    ("text", "expected"), [("50", 50), ("50/s", 50), ("600/m", 10), ("1.5", 1.5), ("3600/h", 1)], ids=str
)
def test_rates_are_read(text: str, expected: float) -> None:
    assert events_a_second(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "5/d", "/s", "x/s", "5/", "٣", "1e9", "inf", "9" * 20])
def test_an_invalid_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid rate"):
        events_a_second(text)


def test_paces_are_read() -> None:
    assert [speed(text) for text in ("original", "original*10", "original*0.5")] == [1, 10, 0.5]
    for text in ("", "orig", "original*", "original*0", "original*x", "original/2", "original*-1"):
        with pytest.raises(ValueError, match="is not a valid pace"):
            speed(text)


def test_failures_are_summarised_and_written_to_a_file_that_ids_from_reads(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2)
    bad = fill(log, 2, payload={"card": "expired"})
    ended = cli(*RUN, "--yes", "-o", "table", "--failures-out", "failed.ndjson")
    assert ended.code == 3
    said = ended.err.splitlines()
    assert said[-3].startswith("4 events · 6 delivered · 2 failed · 4 publishes suppressed")
    assert said[-2].startswith("    2  shop:charge   ValueError: the ")
    assert said[-1] == "next: craft-events replay --ids-from failed.ndjson --all-handlers -m shop"
    assert "\x1b" not in ended.err
    rows = [json.loads(line) for line in (app / "failed.ndjson").read_text().splitlines()]
    assert [(row["event_id"], row["handler"], row["outcome"]) for row in rows] == [
        (event.event_id, "shop:charge", "failed") for event in bad
    ]
    (app / "paid").touch()
    (app / "ledger").unlink()
    again = cli(*RUN, "--yes", "--ids-from", "failed.ndjson")
    assert again.code == 0, again.err
    assert [json.loads(line)["handler"] for line in again.out.splitlines()] == ["shop:charge"] * 2
    assert ledger(app) == []


def test_without_a_file_the_next_command_shows_an_event_that_failed(cli: Cli, log: Log) -> None:
    [bad, _] = fill(log, 2, payload={"card": "expired"})
    ended = cli(*RUN, "--yes", "-o", "json")
    assert ended.code == 3
    assert ended.err.splitlines()[-1] == f"next: craft-events show {bad.event_id}"


def test_ids_that_are_not_in_the_log_are_named_and_end_with_3(cli: Cli, log: Log, app: Path) -> None:
    [event] = fill(log, 1)
    (app / "ids").write_text(f"{event.event_id}\nunknown\x1b\n")
    for args in (("--yes",), ("--dry-run",)):
        ended = cli(*RUN, *args, "--ids-from", "ids")
        assert ended.code == 3
        assert r"not in the log: unknown\x1b" in ended.err
    assert ledger(app) == [event.event_id]


def test_an_empty_file_of_ids_has_nothing_to_run(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 1)
    (app / "ids").touch()
    ended = cli(*RUN, "--yes", "--ids-from", "ids")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[-1] == "no events in this selection"


def test_a_replay_with_nothing_to_run_reports_it_and_asks_nothing(process: Process, log: Log) -> None:
    fill(log, 1)
    with at_a_terminal(process, *RUN, "--tenant", "unknown") as person:
        assert person.ended() == (0, "")
        assert "no events in this selection" in person.said


def test_the_question_shows_the_numbers_and_yes_continues(process: Process, log: Log, app: Path) -> None:
    events = fill(log, 3)
    with at_a_terminal(process, *RUN) as person:
        person.waits_for("6 deliveries of 3 events run again; events that they publish are suppressed. Go on? [y/N] ")
        assert ledger(app) == []
        person.types("y\n")
        code, _ = person.ended()
    assert code == 0
    assert ledger(app) == ids(events)


@pytest.mark.parametrize("answer", ["\n", "n\n"])
def test_anything_but_yes_is_no_and_nothing_has_run(process: Process, log: Log, app: Path, answer: str) -> None:
    fill(log, 1)
    (app / "failed").write_text("kept")
    with at_a_terminal(process, *RUN, "--cascade", "--failures-out", "failed", "--checkpoint", "point") as person:
        person.waits_for("run again; events that they publish are stored and dispatched. Go on? [y/N] ")
        person.types(answer)
        assert person.ended() == (2, "")
        assert "nothing was done" in person.said
    assert ledger(app) == []
    assert (app / "failed").read_text() == "kept"
    assert not (app / "point").exists()


def test_a_cascade_is_stored_and_dispatched(cli: Cli, log: Log) -> None:
    fill(log, 2)
    ended = cli(*RUN, "--yes", "--cascade", "-o", "json")
    assert (ended.code, json.loads(ended.out)["suppressed"]) == (0, 0)
    assert log.events.count_documents({"event_type": "stock.reserved"}) == 2


def test_without_it_the_log_stays_byte_for_byte_as_it_was(cli: Cli, log: Log) -> None:
    fill(log, 3)
    before = [repr(one) for one in log.events.find().sort("_id")]
    cli(*RUN, "--yes")
    assert [repr(one) for one in log.events.find().sort("_id")] == before
    assert log.client[log.database].list_collection_names() == ["event_log"]


def test_a_rate_holds(cli: Cli, log: Log) -> None:
    fill(log, 6)
    ended = cli(*RUN, "--yes", "--rate", "20/s", "-o", "json")
    assert json.loads(ended.out)["elapsed_s"] >= 0.25


def test_gaps_are_kept_at_a_pace(cli: Cli, log: Log) -> None:
    fill(log, 3)
    ended = cli(*RUN, "--yes", "--pace", "original*480", "-o", "json")
    assert json.loads(ended.out)["elapsed_s"] >= 0.25


# ------------------------------------------------------------------ ids for a redispatch


@pytest.mark.slow
def test_a_redispatch_takes_the_ids_too(cli: Cli, app: Path, log: Log) -> None:
    events = [DomainEvent(event_type="order.paid", tenant_id="acme") for _ in range(205)]

    log.append(events, handlers=["shop:charge"])
    named = events[2:]
    (app / "ids").write_text("\n".join([*ids(named), "unknown"]))
    command = ("redispatch", "-m", "shop", "--ids-from", "ids")
    dry = cli(*command, "--dry-run", "-o", "json")
    assert (dry.code, json.loads(dry.out)["events"]) == (3, 203)
    limited = cli(*command, "--limit", "101", "-o", "json")
    assert (limited.code, json.loads(limited.out)["done"]) == (3, 101)
    ended = cli(*command, "-o", "json")
    assert (ended.code, json.loads(ended.out)["done"]) == (3, 102)
    assert "not in the log: unknown" in ended.err
    left = [one["event_id"] for one in log.events.find({"delivery.state": "open"})]
    assert sorted(left) == sorted(ids(events[:2]))
    assert cli("redispatch", "-m", "shop", "--ids-from", "ids", "--watch").code == 2
