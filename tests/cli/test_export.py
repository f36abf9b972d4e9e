"""`export`: the file and the lines that it writes, refusals, and messages."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Process
from tests.support.history import HISTORY, Log, record


@pytest.fixture
def log(log: Log) -> Log:
    """A small history in the default log."""
    log.insert(*HISTORY)
    return log


def rows(text: str | bytes) -> list[Any]:
    return [json.loads(one) for one in text.splitlines()]


def test_every_record_is_a_line_in_order_without_its_id_and_with_its_delivery(cli: Cli, log: Log) -> None:
    ended = cli("export")
    assert ended.code == 0
    lines = rows(ended.out)
    assert len(lines) == len(HISTORY)
    assert not any("_id" in one for one in lines)
    assert [one["event_id"][-1] for one in lines[1:]] == list("12345678a")
    assert lines[2]["delivery"]["state"] == "done"
    assert "event_id" not in lines[0]
    assert "timestamp" not in lines[0]
    assert ended.out.isascii()
    assert "\x1b" not in ended.out
    assert ended.err.startswith("10 events · ")


def test_standard_output_is_a_dash_or_nothing(cli: Cli, log: Log) -> None:
    assert cli("export", "-").out == cli("export").out


def test_canonical_lines_keep_the_types_of_numbers(cli: Cli, log: Log) -> None:
    first = rows(cli("export", "--json-format", "canonical", "--limit", "1", "--type", "payment.completed").out)[0]
    assert first["payload"]["amount"] == {"$numberDouble": "12.5"}
    assert first["timestamp"] == {"$date": {"$numberLong": "1580464860000"}}
    assert cli("export", "--json-format", "plain").code == 2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--tenant", "globex"], 1),
        (["--no-tenant"], 1),
        (["--state", "open", "--state", "dead"], 2),
        (["--limit", "3"], 3),
        (["--since", "2020-01-31T10:04:00Z", "--until", "2020-01-31T10:06:00Z"], 2),
        (["--tenant", "unknown"], 0),
    ],
)
def test_a_selection_is_made_as_everywhere(cli: Cli, log: Log, options: list[str], count: int) -> None:
    ended = cli("export", *options)
    assert (ended.code, len(rows(ended.out))) == (0, count)
    assert "no events in this selection" in ended.err or count


def test_reversed_the_newest_is_first(cli: Cli, log: Log) -> None:
    assert rows(cli("export", "--reverse").out) == rows(cli("export").out)[::-1]


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_a_file_holds_the_same_and_is_packed_by_its_name(cli: Cli, log: Log, name: str) -> None:
    ended = cli("export", name)
    assert (ended.code, ended.out) == (0, "")
    data = Path(name).read_bytes()
    assert (gzip.decompress(data) if name.endswith(".gz") else data).decode() == cli("export").out
    last = ended.err.splitlines()[-1]
    assert last == f"written to {name} · what an import would do: craft-events import {name} --dry-run"
    assert os.listdir() == [name]


def test_an_existing_file_is_overwritten_only_with_force(cli: Cli, log: Log) -> None:
    Path("events.ndjson").write_text("precious")
    ended = cli("export", "events.ndjson")
    assert (ended.code, Path("events.ndjson").read_text()) == (2, "precious")
    assert "events.ndjson" in ended.err
    assert "--force" in ended.err
    assert cli("export", "events.ndjson", "--force").code == 0
    assert len(rows(Path("events.ndjson").read_text())) == len(HISTORY)


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (["."], 2, "error: .: is a directory, not a file to write"),
        (["nowhere/events.ndjson"], 2, "error: nowhere/events.ndjson: cannot be written: the directory does not exist"),
        (["a/\0"], 2, "error: FILE: embedded null byte"),
        (["/dev/full"], 1, "error: /dev/full cannot be written: no space left on device"),
        (["--checkpoint", "c"], 2, "error: --checkpoint: a run cannot continue standard output"),
        (["-", "--checkpoint", "c"], 2, "error: --checkpoint: a run cannot continue standard output"),
        (["f", "--checkpoint", "c", "--reverse"], 2, "error: --checkpoint: its position moves forward in time"),
        (["f", "--checkpoint", "."], 6, "error: "),
        (["f", "--limit", "0"], 2, "error: --limit"),
    ],
)
def test_an_unwritable_file_is_reported(cli: Cli, log: Log, args: list[str], code: int, reason: str) -> None:
    ended = cli("export", *args)
    assert ended.code == code
    assert ended.err.startswith(reason)
    assert os.listdir() == []


def test_a_device_needs_no_force(cli: Cli, log: Log) -> None:
    assert cli("export", "/dev/null").code == 0


def test_a_full_disk_under_stdout_is_reported(log: Log, process: Process) -> None:
    with open("/dev/full", "wb") as full:
        running = process("export", stdout=full)
        _, err = running.communicate()
    assert running.returncode == 1
    assert b"cannot write to standard output" in err


def test_a_reader_that_goes_away_ends_it_without_an_error(log: Log, process: Process) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = process("export", stdout=writing)
    os.close(writing)
    _, err = running.communicate()
    assert (running.returncode, err) == (0, b"")


def test_with_a_checkpoint_the_next_run_adds_what_is_new(cli: Cli, log: Log) -> None:
    command = ("export", "events.ndjson.gz", "--checkpoint", "checkpoint", "--until", "2100-01-01")
    assert cli(*command).code == 0
    log.insert(record(20))
    with open("events.ndjson.gz", "ab") as torn:
        torn.write(b"what a kill left behind" * 1_000)
    ended = cli(*command)
    assert ended.code == 0
    assert ended.err.splitlines()[-2].startswith("1 event · 9 with those of earlier runs · ")
    lines = rows(gzip.decompress(Path("events.ndjson.gz").read_bytes()))
    assert len(lines) == 9, "a window contains no record without a date"
    assert cli(*command[:-2]).code == 6


def test_a_part_file_of_a_killed_run_is_replaced(cli: Cli, log: Log) -> None:
    Path("events.ndjson.part").write_bytes(b"of a run that was killed" * 1_000)
    assert cli("export", "events.ndjson").code == 0
    assert Path("events.ndjson").read_text() == cli("export").out
    assert os.listdir() == ["events.ndjson"]


def test_an_event_that_cannot_be_exported_exactly_is_named_and_ends_with_3(cli: Cli, log: Log) -> None:
    log.insert(record(30, payload={"query": {"$date": "yesterday"}}))
    ended = cli("export")
    assert (ended.code, len(rows(ended.out))) == (3, 11)
    assert "1 event cannot be exported exactly" in ended.err
    assert record(30)["event_id"] in ended.err


def test_the_log_is_byte_for_byte_as_it_was(cli: Cli, log: Log) -> None:
    before = list(log.events.find())
    cli("export", "events.ndjson", "--checkpoint", "checkpoint")
    assert repr(list(log.events.find())) == repr(before)
    assert log.client[log.database].list_collection_names() == ["event_log"]
