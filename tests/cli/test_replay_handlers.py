"""`craft-events replay` through handlers: the question, the runs, the messages, and the unchanged log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.checkpoint import Checkpoint
from craft_events_cli.pacing import events_a_second, speed
from tests.cli.conftest import ROOT, Cli, Process
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import Log
from tests.support.terminals import at_a_terminal

SHOP = """
    import asyncio, os, time
    from pathlib import Path
    from craft_easy.core.events import DomainEvent, current_delivery, event_handler, get_event_bus

    @event_handler("order.*")
    async def reserve(event):
        assert current_delivery().is_replay
        await get_event_bus().publish(DomainEvent(event_type="stock.reserved"))
        with open("ledger", "a") as ledger:
            ledger.write(event.event_id + "\\n")

    @event_handler("order.*", background=True)
    async def charge(event):
        if event.payload.get("card") == "expired" and not Path("paid").exists():
            raise ValueError("the \\x1b[31mcard\\x07 \\u202e of [bold]p_1[/bold]\\nexpired")

    @event_handler("order.*", replayable=False)
    async def mail(event):
        raise AssertionError("sent twice")

    @event_handler("blocked.*")
    def block(event):
        Path(f"{os.getpid()}.started").touch()
        time.sleep(60)

    @event_handler("slow.*")
    async def wait(event):
        Path(f"{os.getpid()}.started").touch()
        await asyncio.Event().wait()
"""
RUN = ("replay", "-m", "shop", "--all-handlers")
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def app(log: Log, tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": textwrap.dedent(SHOP)}) as directory:
        yield directory


def fill(log: Log, count: int, *, event_type: str = "order.placed", **fields: Any) -> list[DomainEvent]:
    """Store events, a minute apart."""
    fields = {"tenant_id": "acme"} | fields
    at = [BEGAN + timedelta(minutes=number) for number in range(count)]
    events = [DomainEvent(event_type=event_type, timestamp=one, **fields) for one in at]
    log.append(events)
    return events


def ledger(app: Path) -> list[str]:
    return (app / "ledger").read_text().split() if (app / "ledger").exists() else []


def ids(events: list[DomainEvent]) -> list[str]:
    return [event.event_id for event in events]


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
    assert said[:4] == [
        "  by type     order.placed 1",
        "  by tenant   acme 1",
        "  by handler  shop:reserve 1 · shop:charge 1",
        "left out: shop:mail is not replayable (1 delivery)",
    ]
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_it_and_the_checkpoint_has_its_position(
    log: Log, app: Path, number: signal.Signals, code: int
) -> None:
    first = fill(log, 3)
    fill(log, 2, event_type="slow.order", tenant_id="slow")
    command = [sys.executable, "-m", "craft_events_cli", *RUN, "--yes", "--grace", "0.1", "--checkpoint", "point"]
    running = subprocess.Popen(
        command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    until(lambda: (app / f"{running.pid}.started").exists() and len(ledger(app)) == 3)
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == code
    said = err.decode().splitlines()
    assert "stopping: running handlers get their grace time; a second signal ends the run at once" in said
    assert "stopped early" in said[-2]
    assert said[-1] == "next: the same command continues from there (point)"
    assert b"Traceback" not in err
    position = json.loads((app / "point").read_text())["position"]
    assert position["passed"] == 1
    assert position["mark"]["event_id"] == first[0].event_id


def test_the_second_signal_ends_it_at_once(log: Log, app: Path) -> None:
    fill(log, 1, event_type="slow.order")
    command = [sys.executable, "-m", "craft_events_cli", *RUN, "--yes", "--grace", "60"]
    running = subprocess.Popen(
        command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    until(lambda: (app / f"{running.pid}.started").exists())
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    while b"stopping" not in running.stderr.readline():
        pass
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == -signal.SIGINT


def test_the_second_signal_ends_a_handler_that_blocks_the_loop_too(log: Log, app: Path) -> None:
    fill(log, 1, event_type="blocked.order")
    command = [sys.executable, "-m", "craft_events_cli", *RUN, "--yes"]
    running = subprocess.Popen(
        command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    until(lambda: (app / f"{running.pid}.started").exists())
    running.send_signal(signal.SIGTERM)
    until(lambda: _ends_at(running.pid, signal.SIGTERM))
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=20)
    assert running.returncode == -signal.SIGTERM


def _ends_at(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has no handler for a signal any more; see proc(5)."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return not int(caught.split()[1], 16) >> (number - 1) & 1


def test_fail_fast_stops_and_the_next_run_begins_with_what_failed(cli: Cli, log: Log, app: Path) -> None:
    good = fill(log, 1)
    bad = [
        *fill(log, 1, payload={"card": "expired"}, tenant_id="acme"),
    ]
    args = (*RUN, "--yes", "--fail-fast", "--checkpoint", "point", "--concurrency", "1", "--tenant", "acme")
    ended = cli(*args)
    assert ended.code == 3
    assert "next: the same command continues from there (point)" in ended.err
    (app / "paid").touch()
    again = cli(*args)
    assert again.code == 0
    assert "continuing from point" in again.err
    assert ledger(app)[-1] == bad[0].event_id
    assert set(ledger(app)) == {*ids(good), *ids(bad)}


def test_a_complete_checkpoint_is_reported_and_runs_nothing(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2)
    args = (*RUN, "--yes", "--checkpoint", "point", "--since", "5000d")
    assert cli(*args).code == 0
    (app / "ledger").unlink()
    again = cli(*args)
    assert (again.code, again.out, ledger(app)) == (0, "", [])
    assert "point: this replay is complete" in again.err


def test_a_checkpoint_of_other_filters_is_exit_6_by_name(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2)
    assert cli(*RUN, "--yes", "--checkpoint", "point", "--tenant", "acme").code == 0
    ended = cli(*RUN, "--yes", "--checkpoint", "point", "--tenant", "globex")
    assert (ended.code, ended.out) == (6, "")
    assert 'other filters: --tenant was ["acme"] and is ["globex"]' in ended.err
    other = ("replay", "-m", "shop", "--handler", "shop:charge", "--yes", "--tenant", "acme")
    assert '--handler was not given and is ["shop:charge"]' in cli(*other, "--checkpoint", "point").err
    (app / "other").write_text("{")
    assert cli(*RUN, "--yes", "--checkpoint", "other").code == 6
    assert cli(*RUN, "--yes", "--checkpoint", ".").code == 6


def test_a_checkpoint_that_another_process_uses_is_exit_6(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 1)
    with Checkpoint(app / "point", kind="replay", log="l", filters={}).lock():
        ended = cli(*RUN, "--yes", "--checkpoint", "point")
    assert ended.code == 6
    assert "another process uses the checkpoint" in ended.err
    assert ledger(app) == []


def test_a_continued_run_keeps_the_failures_of_the_earlier_one(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2, payload={"card": "expired"})
    args = (*RUN, "--yes", "--checkpoint", "point", "--failures-out", "failed", "--limit", "2", "--concurrency", "1")
    cli(*args)
    point = json.loads((app / "point").read_text())
    point["position"] |= {"is_complete": False, "passed": 1}
    (app / "point").write_text(json.dumps(point))
    cli(*args)
    assert len((app / "failed").read_text().splitlines()) == 2


def test_a_dry_run_leaves_the_checkpoint_as_it_is(cli: Cli, log: Log, app: Path) -> None:
    fill(log, 2)
    assert cli(*RUN, "--dry-run", "--checkpoint", "point", "--failures-out", "failed").code == 0
    assert {one.name for one in app.iterdir()} & {"point", "failed", ".point.new"} == set()


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
