"""`import`: hostile input line by line, the question, the output in each format, and exit codes."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Ended, Process
from tests.cli.hostile_lines import FINE, HOSTILE_INPUT, line
from tests.support.conditions import until
from tests.support.history import Log
from tests.support.terminals import at_a_terminal


def import_file(cli: Cli, data: bytes, *options: str, name: str = "events.ndjson") -> Ended:
    Path(name).write_bytes(data)
    return cli("import", name, "--yes", *options)


def rows(text: str) -> list[Any]:
    return [json.loads(one) for one in text.splitlines()]


@pytest.mark.parametrize("name", HOSTILE_INPUT)
def test_a_bad_line_is_reported_by_its_number_and_the_others_are_imported(cli: Cli, log: Log, name: str) -> None:
    data, stored, bad = HOSTILE_INPUT[name]
    ended = import_file(cli, data, "--rejects", "rejects.ndjson")
    assert ended.code == (3 if bad else 0)
    assert log.events.count_documents({}) == stored
    rejects = {one["line"]: one["error"] for one in rows(Path("rejects.ndjson").read_text())}
    assert rejects.keys() == bad.keys()
    for number, reason in bad.items():
        assert reason in rejects[number]
    assert {one["line"]: one["error"] for one in rows(ended.out)} == rejects
    assert ended.err.isascii() or "·" in ended.err
    assert "\x1b" not in ended.err + ended.out
    assert "Traceback" not in ended.err


def test_a_line_of_50_mb_is_reported_by_its_number(cli: Cli, log: Log) -> None:
    ended = import_file(cli, FINE + b'{"a":"' + b"x" * 50_000_000 + b'"\n' + line(1))
    assert (ended.code, log.events.count_documents({})) == (3, 2)
    assert rows(ended.out)[0]["line"] == 2


def test_rejected_lines_are_kept_whole_and_can_be_corrected_and_imported(cli: Cli, log: Log) -> None:
    bad = line(1, tenant_id=["acme"], payload={"é": "\x1b"})
    import_file(cli, b"\xff\xfe\n" + bad + b"\n" + FINE, "--rejects", "rejects.ndjson")
    kept = rows(Path("rejects.ndjson").read_text())
    assert [one["text"].encode(errors="surrogateescape") for one in kept] == [b"\xff\xfe", bad]
    ended = import_file(cli, kept[1]["text"].replace('["acme"]', '"acme"').encode(), name="mended.ndjson")
    assert (ended.code, log.events.count_documents({"tenant_id": "acme"})) == (0, 1)


def test_the_first_lines_are_shown_and_the_others_counted(cli: Cli, log: Log) -> None:
    ended = import_file(cli, b"x\n" * 8 + line(1) + b"\n" + line(1, payload={"a": 1}))
    *first, rest, summary, advice = ended.err.splitlines()
    assert [one.partition(": ")[0] for one in first] == [f"line {number}" for number in range(1, 6)]
    assert "4 more" in rest
    assert summary.startswith("10 lines · 1 stored · 1 in conflict with a stored event · 8 bad lines · ")
    assert "--rejects" in advice


def test_a_conflict_is_named_and_ends_with_3(cli: Cli, log: Log) -> None:
    import_file(cli, line(1))
    ended = import_file(cli, line(1, payload={"a": 1}), "--rejects", "rejects.ndjson")
    assert ended.code == 3
    error = "event 'e1' is stored already with other content"
    assert rows(ended.out) == [{"line": 1, "event_id": "e1", "outcome": "conflict", "error": error}]
    assert rows(Path("rejects.ndjson").read_text())[0]["error"] == error


@pytest.mark.parametrize(
    ("output", "out"),
    [("table", ""), ("csv", "line,event_id,outcome,error\r\n2,,bad,JSON: expecting value at character 1\r\n")],
)
def test_other_formats_hold_the_same_lines(cli: Cli, log: Log, output: str, out: str) -> None:
    assert import_file(cli, line(1) + b"\nx\n", "-o", output).out == out


def test_json_is_one_object(cli: Cli, log: Log) -> None:
    summary = rows(import_file(cli, line(1) + b"\nx\n" + line(1), "-o", "json").out)[0]
    elapsed = summary.pop("elapsed_s")
    assert summary == {"lines": 3, "stored": 1, "present": 1, "conflicts": 0, "bad": 1, "dry_run": False}
    assert elapsed >= 0


def test_a_dry_run_shows_what_would_be_done_and_writes_nothing(cli: Cli, log: Log) -> None:
    Path("events.ndjson").write_bytes(line(1) + b"\n" + line(2, tenant_id="acme") + b"\nx\n")
    ended = cli("import", "events.ndjson", "--dry-run")
    assert ended.code == 3
    assert rows(ended.out) == [
        {
            "dry_run": True,
            "events": 2,
            "deliveries": 0,
            "by_type": {"order.placed": 2},
            "by_tenant": {"null": 1, "acme": 1},
            "by_handler": {},
        }
    ]
    assert "3 lines · 2 new · 1 bad line · nothing was written" in ended.err
    assert log.client[log.database].list_collection_names() == ["event_log"]
    assert log.events.count_documents({}) == 0


def test_open_events_are_reported_with_the_next_command(cli: Cli, log: Log) -> None:
    delivery = {"handlers": [{"id": "shop:mail", "state": "pending"}]}
    untracked = import_file(cli, line(1, delivery=delivery))
    assert "stored untracked; to run handlers for them: craft-events redispatch" in untracked.err
    taken_over = import_file(cli, line(2, delivery=delivery), "--with-delivery")
    assert taken_over.err.rstrip().endswith("craft-events redispatch -m MODULE")


def test_standard_input_is_read_but_never_used_for_a_question(cli: Cli, log: Log, process: Process) -> None:
    ended = cli("import", "-")
    assert ended.code == 2
    assert "standard input holds the events" in ended.err
    running = process("import", "-", "--yes", "-o", "json", stdin=-1)
    out, _ = running.communicate(gzip.compress(line(1) + b"\n" + line(2)))
    assert (running.returncode, json.loads(out)["stored"]) == (0, 2)


def test_without_a_terminal_and_without_yes_nothing_is_done(cli: Cli, log: Log) -> None:
    Path("events.ndjson").write_bytes(line(1))
    assert cli("import", "events.ndjson").code == 2
    assert log.events.count_documents({}) == 0


@pytest.mark.parametrize(("answer", "code", "stored"), [("n", 2, 0), ("", 2, 0), ("y", 0, 2)])
def test_the_question_shows_the_number_of_lines(
    cli: Cli, log: Log, process: Process, tmp_path: Path, answer: str, code: int, stored: int
) -> None:
    (tmp_path / "events.ndjson").write_bytes(line(1) + b"\n\n" + line(2))
    with at_a_terminal(process, "import", "events.ndjson") as person:
        person.waits_for("Go on? [y/N]")
        assert f"{log.database}.event_log at 127.0.0.1:" in person.said
        assert "2 lines of events.ndjson are imported. Go on? [y/N]" in person.said
        person.types(f"{answer}\n")
        assert person.ended()[0] == code
    assert log.events.count_documents({}) == stored


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["nothing"], "error: nothing: cannot be read: no such file or directory"),
        (["."], "error: .: is a directory, not a file of events"),
        (["events.ndjson", "--rejects", "events.ndjson"], "error: --rejects: this is the file that is imported"),
        (["events.ndjson", "--rejects", "."], "error: --rejects: . cannot be written: is a directory"),
        (["events.ndjson", "--rejects", "other"], "error: --rejects: other exists and is not a file of rejects"),
        (["events.ndjson", "--rejects", "/dev/full"], "error: --rejects: /dev/full cannot be written: no space left"),
        ([], "error: missing argument 'FILE|-'"),
    ],
)
def test_an_unreadable_or_unwritable_file_is_a_usage_error(cli: Cli, log: Log, args: list[str], reason: str) -> None:
    Path("events.ndjson").write_bytes(b"x\n" + line(1))
    Path("other").write_bytes(b"precious")
    ended = cli("import", *args, "--yes")
    assert ended.code == 2
    assert ended.err.startswith(reason)
    assert Path("other").read_bytes() == b"precious"


def test_rejects_of_an_earlier_run_are_replaced(cli: Cli, log: Log) -> None:
    for data in (b"x\ny\n", b"z\n"):
        import_file(cli, data, "--rejects", "rejects.ndjson")
    assert [one["text"] for one in rows(Path("rejects.ndjson").read_text())] == ["z"]
    import_file(cli, line(1), "--rejects", "rejects.ndjson")
    assert Path("rejects.ndjson").read_text() == ""


def test_a_closed_stdout_changes_neither_the_work_nor_the_code(
    cli: Cli, log: Log, process: Process, tmp_path: Path
) -> None:
    (tmp_path / "events.ndjson").write_bytes(b"x\n" * 100 + line(1))
    reading, writing = os.pipe()
    os.close(reading)
    running = process("import", "events.ndjson", "--yes", stdout=writing)
    os.close(writing)
    running.communicate()
    assert (running.returncode, log.events.count_documents({})) == (3, 1)


def test_an_import_that_is_killed_is_run_again(cli: Cli, log: Log, process: Process, tmp_path: Path) -> None:
    running = process("import", "-", "--yes", stdin=-1)
    assert running.stdin is not None
    running.stdin.write(b"".join(line(number) + b"\n" for number in range(100)))
    running.stdin.flush()
    until(lambda: log.events.count_documents({}) == 100)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    ended = import_file(cli, b"".join(line(number) + b"\n" for number in range(150)), "-o", "json")
    summary = rows(ended.out)[0]
    assert (summary["stored"], summary["present"]) == (50, 100)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_while_it_waits_for_lines(log: Log, process: Process, number: int, code: int) -> None:
    running = process("import", "-", "--yes", stdin=-1)
    assert running.stdin is not None
    running.stdin.write(line(1) + b"\n")
    running.stdin.flush()
    until(lambda: log.events.count_documents({}) == 1)
    running.send_signal(number)
    assert running.wait(10) == code
    assert b" the interruption: run the same command again to continue" in running.communicate()[1]
