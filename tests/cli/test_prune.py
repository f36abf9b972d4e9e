"""`prune` and `prune redact`: the questions, the messages, the exit codes."""

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events.operations import prune
from craft_events_cli import acting
from craft_events_cli.acting import Confirmation
from tests.cli.conftest import Cli, Golden, Process
from tests.support.history import BEGAN, HOSTILE, Log, delivery, record
from tests.support.terminals import at_a_terminal

ALL = ("prune", "--older-than", "90d")
FORMATS = ("table", "ndjson", "json", "csv")


def done(number: int, **fields: Any) -> dict[str, Any]:
    """Return a record that was done at the beginning of the history."""
    return record(number, delivery=delivery("done") | {"finished_at": BEGAN}, **fields)


@pytest.fixture
def log(log: Log) -> Log:
    """A log with three records that can be removed, and five that cannot."""
    log.insert(
        done(1),
        done(2, tenant_id="globex", event_type="order.placed"),
        record(3, delivery=delivery("open")),
        record(4, delivery=delivery("dead")),
        done(5, causation_id=record(3)["event_id"]),
        done(6, causation_id=record(4)["event_id"]),
        done(7, causation_id=record(1)["event_id"], tenant_id=None),
        record(8),
    )
    return log


def left(log: Log) -> list[int]:
    return sorted(int(one["event_id"][-12:], 16) for one in log.events.find({}))


def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]


# ------------------------------------------------------------------ prune


@pytest.mark.parametrize("name", ["./old", "old.ndjson", "old.ndjson.gz"])
def test_old_events_go_into_the_file_and_out_of_the_log(cli: Cli, log: Log, tmp_path: Path, name: str) -> None:
    ended = cli(*ALL, "--archive", name, "--yes", "-o", "table")
    assert (ended.code, ended.out) == (0, "")
    assert left(log) == [3, 4, 5, 6, 8]
    assert [one["event_id"] for one in lines(tmp_path / name)] == [record(number)["event_id"] for number in (1, 2, 7)]
    first, second, third = ended.err.splitlines()
    assert first.startswith("done before 20")
    assert second.startswith(
        f"3 events archived in {name} and removed · 2 stay: an event that caused them is open or dead · "
    )
    assert third == f"to restore them: craft-events import {name} --with-delivery"


def test_a_collection_is_an_archive_too(cli: Cli, log: Log) -> None:
    ended = cli(*ALL, "--archive", "collection:old_events", "--yes")
    assert (ended.code, left(log)) == (0, [3, 4, 5, 6, 8])
    assert ended.err.endswith("to read the archive: craft-events replay --collection old_events\n")
    assert len(cli("replay", "--collection", "old_events").out.splitlines()) == 3


def test_pruned_events_can_be_imported(cli: Cli, log: Log) -> None:
    before = {one["event_id"]: one for one in log.events.find({})}
    assert cli(*ALL, "--archive", "old.ndjson.gz", "--yes").code == 0
    assert cli("import", "old.ndjson.gz", "--with-delivery", "--yes").code == 0
    after = {one["event_id"]: one for one in log.events.find({})}
    assert after.keys() == before.keys()
    assert all(one["payload"] == before[event_id]["payload"] for event_id, one in after.items())
    assert cli(*ALL, "--archive", "old.ndjson.gz", "--yes").code == 0
    again = cli("import", "old.ndjson.gz", "--with-delivery", "--yes")
    assert (again.code, len(left(log))) == (0, 8)


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_the_summary_is_one_object_with_all_keys_always(cli: Cli, log: Log, output: str) -> None:
    summary = json.loads(cli(*ALL, "--archive", "old.ndjson", "--yes", "-o", output).out)
    assert summary.pop("elapsed_s") > 0
    assert summary == {
        "held": 2,
        "changed": 0,
        "dry_run": False,
        "events": 3,
        "deliveries": 3,
        "archive": "old.ndjson",
        "inexact": 0,
        "inexact_ids": [],
    }


def test_a_dry_run_counts_and_writes_nothing(cli: Cli, log: Log, golden: Golden, tmp_path: Path) -> None:
    before = list(log.events.find({}).sort("_id"))
    for archive in ([], ["--archive", "old.ndjson"], ["--archive", "collection:old_events"], ["--no-archive"]):
        ended = cli(*ALL, *archive, "--dry-run", "-o", "json")
        assert ended.code == 0
        assert json.loads(ended.out) == {
            "dry_run": True,
            "events": 3,
            "deliveries": 3,
            "by_type": {"payment.completed": 2, "order.placed": 1},
            "by_tenant": {"acme": 1, "globex": 1, "null": 1},
            "by_handler": {"shop.mail:send": 3},
        }
        assert ended.err.splitlines()[1:] == [
            "3 events · 2 stay: an event that caused them is open or dead · nothing was written"
        ]
    golden("prune-dry-run.table", cli(*ALL, "--dry-run", "-o", "table").out)
    assert list(log.events.find({}).sort("_id")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", FORMATS)
def test_a_run_with_nothing_to_prune_reports_it_and_leaves_no_file(
    cli: Cli, log: Log, tmp_path: Path, output: str
) -> None:
    ended = cli(*ALL, "--tenant", "unknown", "--archive", "old.ndjson", "--yes", "-o", output)
    assert (ended.code, ended.err.splitlines()[1:]) == (0, ["nothing to prune"])
    assert bool(ended.out) == (output != "table")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tenant", "acme"], [2, 3, 4, 5, 6, 7, 8]),
        (["--no-tenant"], [1, 2, 3, 4, 5, 6, 8]),
        (["--type", "order.*"], [1, 3, 4, 5, 6, 7, 8]),
        (["--limit", "2"], [3, 4, 5, 6, 7, 8]),
        (["--include-untracked"], [3, 4, 5, 6]),
    ],
)
def test_further_options_choose_among_the_old(cli: Cli, log: Log, arguments: list[str], expected: list[int]) -> None:
    assert cli(*ALL, *arguments, "--archive", "old.ndjson", "--yes").code == 0
    assert left(log) == expected


def test_younger_events_stay(cli: Cli, log: Log) -> None:
    assert cli("prune", "--older-than", "5200w", "--archive", "old.ndjson", "--yes").code == 0
    assert len(left(log)) == 8


def test_an_event_that_json_cannot_represent_stays_is_named_and_ends_with_3(cli: Cli, log: Log) -> None:
    log.insert(done(9, payload={"$oid": HOSTILE}, event_id=HOSTILE))
    ended = cli(*ALL, "--archive", "old.ndjson", "--yes", "-o", "json")
    assert ended.code == 3
    assert json.loads(ended.out)["inexact_ids"] == [HOSTILE]
    assert "was not removed: the archive has no exact copy of it" in ended.err
    assert "--archive collection:NAME" in ended.err
    assert ended.err.replace("\n", "").isprintable()
    assert log.events.count_documents({"event_id": HOSTILE}) == 1
    assert cli(*ALL, "--archive", "collection:old_events", "--yes").code == 0


def test_the_question_shows_the_number_and_yes_continues(process: Process, log: Log) -> None:
    with at_a_terminal(process, *ALL, "--archive", "old.ndjson") as person:
        person.waits_for(".event_log at 127.0.0.1:")
        person.waits_for("3 events are copied to old.ndjson and removed. ")
        person.waits_for("Go on? [y/N] ")
        assert len(left(log)) == 8
        person.types("y\n")
        assert person.ended()[0] == 0
    assert left(log) == [3, 4, 5, 6, 8]


def test_without_a_copy_the_name_of_the_log_is_typed(process: Process, log: Log) -> None:
    for answer, code, expected in (("y\n", 2, 8), ("event_log \n", 2, 8), ("\x04", 2, 8), ("event_log\n", 0, 5)):
        with at_a_terminal(process, *ALL, "--no-archive") as person:
            person.waits_for("for good, without a copy. Type event_log to go on: ")
            person.types(answer)
            assert person.ended()[0] == code
        assert len(left(log)) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_question(process: Process, log: Log, number: signal.Signals, code: int) -> None:
    with at_a_terminal(process, "prune", "redact", "--tenant", "acme") as person:
        person.waits_for("Type acme to go on: ")
        person.process.send_signal(number)
        assert person.ended() == (code, "")
        assert "Traceback" not in person.said


def test_the_work_done_before_a_failure_is_reported(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Any, __: Any, ___: Any, *, on_removed: Any) -> None:
        on_removed(1_204)
        raise OSError("the disk is gone")

    monkeypatch.setattr(prune, "prune", fail)
    ended = cli(*ALL, "--archive", "old.ndjson", "--yes")
    assert ended.code == 1
    assert (
        ended.err.splitlines()[1]
        == "1,204 events removed before the interruption: run the same command again to continue"
    )


# ------------------------------------------------------------------ redact


def test_a_redaction_keeps_events_and_reports_its_counts(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    ended = cli("prune", "redact", "--tenant", "acme", "--reason", "request 17", "--yes", "-o", "json")
    summary = json.loads(ended.out)
    assert (ended.code, summary["events"], summary["deliveries"]) == (0, 6, 2)
    assert summary["kept"] == {}
    first, second = ended.err.splitlines()
    assert first.startswith("6 events redacted · 2 deliveries skipped · ")
    assert second == "to see the redacted events: craft-events replay --tenant acme"
    assert len(left(log)) == 8
    for one in log.events.find({"tenant_id": "acme"}):
        assert one["payload"] == {}
        assert one["redacted"]["by"].startswith("ada@")
    assert log.events.find_one({"tenant_id": "globex"})["payload"]


def test_show_has_time_author_and_reason(cli: Cli, log: Log) -> None:
    cli("prune", "redact", "--tenant", "acme", "--reason", f"request {HOSTILE}", "--yes")
    event_id = record(4)["event_id"]
    shown = cli("show", event_id, "-o", "table")
    assert "  payload   removed on request 20" in shown.out
    assert "skipped" in shown.out
    assert shown.out.replace("\n", "").isprintable()
    described = json.loads(cli("show", event_id, "-o", "json").out)
    assert described["redacted"]["reason"] == f"request {HOSTILE}"
    assert json.loads(cli("replay", "--tenant", "acme", "--limit", "1").out)["payload"] == {}


def test_only_the_typed_tenant_confirms(process: Process, log: Log) -> None:
    for answer, code in (("y\n", 2), ("acm\n", 2), ("acme\n", 0)):
        with at_a_terminal(process, "prune", "redact", "--tenant", "acme") as person:
            person.waits_for("lose their payload, 2 unfinished deliveries are skipped. Type acme to go on: ")
            assert "this is the one command that changes the content of stored events" in person.said
            assert "archives, exports and backups keep what they have" in person.said
            person.types(answer)
            assert person.ended()[0] == code
    assert log.events.count_documents({"redacted.by": {"$gt": ""}}) == 6


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["--tenant", HOSTILE], "redact"),
        (["--tenant", "acme", "--tenant", "globex"], "redact"),
        (["--tenant", "acme", "--actor", "user_77"], "redact"),
        (["--tenant", "åland"], "redact"),
        (["--tenant", " acme"], "redact"),
        (["--actor", "user_77"], "user_77"),
    ],
)
def test_a_name_with_control_characters_need_not_be_typed(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, names: list[str], word: str
) -> None:
    asked: list[str] = []

    async def refuse(question: Confirmation, _: str) -> bool:
        asked.append(str(question.word))
        return False

    log.insert(*(done(20 + number, tenant_id=name) for number, name in enumerate((HOSTILE, "åland", " acme"))))
    monkeypatch.setattr(acting, "is_anybody_there", lambda: True)
    monkeypatch.setattr(acting, "ask", refuse)
    ended = cli("prune", "redact", *names)
    assert (ended.code, asked) == (2, [word])
    assert ended.err.endswith("nothing was done\n")


def test_a_dry_run_of_a_redaction_counts_what_is_skipped(cli: Cli, log: Log) -> None:
    before = list(log.events.find({}).sort("_id"))
    ended = cli("prune", "redact", "--tenant", "acme", "--dry-run", "-o", "json")
    assert (ended.code, ended.err) == (0, "6 payloads · 2 pending or dead deliveries · nothing was written\n")
    found = json.loads(ended.out)
    assert (found["events"], found["deliveries"], found["by_handler"]) == (6, 2, {"shop.mail:send": 2})
    assert list(log.events.find({}).sort("_id")) == before


@pytest.mark.parametrize("output", FORMATS)
def test_a_run_with_nothing_to_redact_reports_it(cli: Cli, log: Log, output: str) -> None:
    for act in (["--yes"], ["--dry-run"]):
        ended = cli("prune", "redact", "--tenant", "unknown", *act, "-o", output)
        assert ended.code == 0
    assert "nothing to redact" in cli("prune", "redact", "--tenant", "unknown", "--yes").err


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["prune", "--yes"], 2, "missing option '--older-than'"),
        (["prune", "--older-than", "90", "--yes"], 2, '--older-than: "90" is not a valid age. Try 90d'),
        (["prune", "--older-than", "0d", "--yes"], 2, "is not a valid age"),
        (["prune", "--older-than", "2026-01-31", "--yes"], 2, "is not a valid age"),
        (["prune", "--older-than", "9999999999w", "--yes"], 2, "is not a valid age"),
        (["prune", "--older-than", "-1d", "--yes"], 2, "is not a valid age"),
        (["prune", "--older-than", "٣d", "--yes"], 2, "is not a valid age"),
        (["prune", "--older-than", "1000000d", "--no-archive", "--yes"], 2, "before the year 1"),
        ([*ALL, "--yes"], 2, "--archive is missing: where do the copies go?"),
        ([*ALL, "--archive", "old", "--yes"], 2, 'is "old" a file or a collection?'),
        ([*ALL, "--archive", "", "--yes"], 2, "a file or a collection?"),
        ([*ALL, "--archive", "-", "--yes"], 2, "--archive: copies are read back"),
        ([*ALL, "--archive", "old/", "--yes"], 2, "--archive: copies are read back"),
        ([*ALL, "--archive", "collection:", "--yes"], 2, "--archive"),
        ([*ALL, "--archive", "collection:system.users", "--yes"], 2, "reserved"),
        ([*ALL, "--archive", "collection:$cmd", "--yes"], 2, "MongoDB forbids"),
        ([*ALL, "--archive", "collection:event_log", "--yes"], 2, "is the log itself"),
        ([*ALL, "--archive", "collection:event_log_workers", "--yes"], 2, "not an archive"),
        ([*ALL, "--archive", "old.ndjson", "--no-archive", "--yes"], 2, "contradict each other"),
        ([*ALL, "--archive", "missing/old.ndjson", "--yes"], 1, "missing/old.ndjson cannot be opened"),
        ([*ALL, "--archive", "/dev/null", "--yes"], 1, "/dev/null is not a regular file"),
        ([*ALL, "--archive", "old.ndjson"], 2, "there is no terminal to ask on"),
        ([*ALL, "--archive", "old.ndjson", "--limit", "0", "--yes"], 2, "--limit"),
        ([*ALL, "--since", "1d", "--yes"], 2, "no such option: --since"),
        (["prune", "redact"], 2, "a redaction is for a tenant or an actor"),
        (["prune", "redact", "--no-tenant", "--yes"], 2, "a redaction is for a tenant or an actor"),
        (["prune", "redact", "--tenant", "acme"], 2, "there is no terminal to ask on"),
    ],
)
def test_an_impossible_request_is_an_error_of_one_to_three_lines(
    cli: Cli, log: Log, arguments: list[str], code: int, said: str
) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert 1 <= len(ended.err.splitlines()) <= 3
    assert len(left(log)) == 8


def test_an_event_redacted_before_it_was_archived_stays_redacted_after_an_import(cli: Cli, log: Log) -> None:
    cli("prune", "redact", "--tenant", "globex", "--reason", "request 17", "--yes")
    before = log.events.find_one({"tenant_id": "globex"})
    log.events.update_one({"_id": before["_id"]}, {"$set": {"delivery.finished_at": BEGAN}})
    assert cli(*ALL, "--tenant", "globex", "--archive", "old.ndjson", "--yes").code == 0
    assert cli("import", "old.ndjson", "--with-delivery", "--yes").code == 0
    after = log.events.find_one({"tenant_id": "globex"})
    assert (after["payload"], after["redacted"]) == ({}, before["redacted"])


def test_an_import_of_what_was_redacted_since_brings_nothing_back(cli: Cli, log: Log) -> None:
    assert cli("export", "all.ndjson").code == 0
    cli("prune", "redact", "--tenant", "acme", "--yes")
    before = list(log.events.find({}).sort("_id"))
    imported = cli("import", "all.ndjson", "--with-delivery", "--yes", "-o", "json")
    assert imported.code == 0, imported.err
    assert list(log.events.find({}).sort("_id")) == before
