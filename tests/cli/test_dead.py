"""`dead list`, `dead retry` and `dead discard`: every format, the question, and the exit codes."""

import json
import shlex
import signal
from typing import Any

import pytest

from craft_events_cli import acting
from craft_events_cli.acting import Confirmation
from tests.cli.conftest import Cli, Ended, Golden, Process
from tests.support.dead_letters import GRAVEYARD, HAUNTED, handler, id_of, states, tracked
from tests.support.history import HOSTILE, Log, record
from tests.support.terminals import at_a_terminal

FORMATS = ("table", "ndjson", "json", "csv")


@pytest.fixture
def log(log: Log) -> Log:
    """A log with four dead deliveries of four events, one of them still open."""
    log.insert(*GRAVEYARD)
    return log


def lines(ended: Ended) -> list[Any]:
    return [json.loads(line) for line in ended.out.splitlines()]


# ------------------------------------------------------------------ list


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_lists_the_same_deliveries(cli: Cli, log: Log, golden: Golden, output: str) -> None:
    ended = cli("dead", "list", "-o", output)
    assert ended.code == 0
    golden(f"dead-list.{output}", ended.out)
    assert "4 dead deliveries of 4 events" in ended.err
    assert [one.partition(": ")[2] for one in ended.err.splitlines()[1:]] == [
        f"craft-events show {id_of(4)}",
        "craft-events dead retry",
    ]


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_has_the_same_groups(cli: Cli, log: Log, golden: Golden, output: str) -> None:
    ended = cli("dead", "list", "--by", "error", "-o", output)
    assert ended.code == 0
    golden(f"dead-by-error.{output}", ended.out)
    assert "3 groups" in ended.err
    assert [one.partition(": ")[2] for one in ended.err.splitlines()[1:]] == [
        f"craft-events show {id_of(2)}",
        "craft-events dead retry --handler shop.billing:charge",
    ]


@pytest.mark.parametrize(
    ("by", "again"),
    [
        ("handler", "--handler shop.billing:charge"),
        ("type", "--type order.placed"),
        ("tenant", "--tenant acme"),
    ],
)
def test_each_grouping_suggests_the_retry_of_its_largest_group(
    cli: Cli, log: Log, golden: Golden, by: str, again: str
) -> None:
    ended = cli("dead", "list", "--by", by, "-o", "table")
    golden(f"dead-by-{by}.table", ended.out)
    assert ended.err.rstrip().endswith(f"the largest group again: craft-events dead retry {again}")


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("by", [(), ("--by", "error"), ("--by", "tenant")])
def test_no_line_is_wider_than_the_terminal_and_handler_and_error_stay_longest(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, columns: int, by: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("dead", "list", *by, "-o", "table").out.splitlines()
    assert len(shown) == {0: 5, 2: 4}[len(by)]
    assert max(map(len, shown)) <= columns
    assert by or columns < 80 or all(id_of(number) in shown[number] for number in (1, 2, 3, 4))
    assert by == ("--by", "tenant") or ("Handler" in shown[0] and "Error" in shown[0])


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("by", [(), ("--by", "error"), ("--by", "tenant")])
def test_no_format_prints_a_raw_character(cli: Cli, log: Log, output: str, by: tuple[str, ...]) -> None:
    log.insert(HAUNTED)
    ended = cli("dead", "list", *by, "--tenant", HOSTILE, "-o", output)
    assert ended.code == 0
    assert "[31mred" in ended.out
    for text in (ended.out, ended.err):
        assert text.replace("\r\n", "\n").replace("\n", "").isprintable()
    if output == "ndjson" and not by:
        [row] = lines(ended)
        assert (row["tenant_id"], row["error_message"]) == (HOSTILE, HOSTILE)
    if output == "csv" and not by:
        assert ended.out.splitlines()[1].startswith("\"'=")  # quoted, because it holds a semicolon
    if output == "table":
        assert "[red]x[/bold]" in ended.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--handler", "shop.mail:send"], [3]),
        (["--tenant", "acme", "--limit", "1", "--reverse"], [2]),
        (["--no-tenant"], [4]),
        (["--type", "order.*", "--handler", "shop.billing:charge", "--handler", "shop.mail:send"], [1, 2]),
        (["--since", "2020-01-31T13:00:00Z"], [3, 4]),
    ],
)
def test_filters_are_kept_and_repeated_in_the_next_command(
    cli: Cli, log: Log, arguments: list[str], expected: list[int]
) -> None:
    ended = cli("dead", "list", *arguments)
    assert [row["event_id"] for row in lines(ended)] == [id_of(number) for number in expected]
    again = ended.err.rstrip().partition("all again: craft-events dead retry ")[2]
    assert sorted(again.replace("'", "").split()) == sorted(arguments)


def test_the_next_command_leads_to_the_same_log(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAFT_EVENTS_URI")
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", "another")
    ended = cli("dead", "list", "--by", "error", *log.where)
    flags = f"--uri {shlex.quote(log.uri)} --database {log.database}"
    assert [one.partition(": ")[2] for one in ended.err.splitlines()[1:]] == [
        f"craft-events show {id_of(2)} {flags}",
        f"craft-events dead retry --handler shop.billing:charge {flags}",
    ]
    retried = cli("dead", "retry", "--yes", *log.where)
    assert retried.err.splitlines()[-1].endswith(f"-m shop.video {flags}")


def test_a_strange_name_in_the_next_command_is_one_word_of_the_shell(cli: Cli, log: Log) -> None:
    log.insert(record(9, tenant_id="a; rm -rf ~", delivery=tracked(handler("h"))))
    ended = cli("dead", "list", "--by", "tenant", "--handler", "h")
    assert ended.err.rstrip().endswith("craft-events dead retry --tenant 'a; rm -rf ~' --handler h")


@pytest.mark.parametrize("output", FORMATS)
def test_a_log_without_dead_deliveries_is_reported_with_exit_0(cli: Cli, log: Log, output: str) -> None:
    ended = cli("dead", "list", "--tenant", "unknown", "-o", output)
    assert ended.code == 0
    assert "selection" in ended.err
    header = (
        "event_id,event_type,timestamp,tenant_id,handler,attempts,crashes,finished_at,"
        "error_type,error_message,where,reason"
    )
    assert ended.out.replace("\r\n", "\n") == {"json": "[]\n", "csv": f"{header}\n"}.get(output, "")
    log.events.delete_many({})
    empty = cli("dead", "list", "-o", output).err
    assert "no dead deliveries" in empty
    assert "selection" not in empty


def test_a_long_list_is_written_as_it_comes(cli: Cli, log: Log) -> None:
    log.events.delete_many({})
    log.insert(*(record(number, delivery=tracked(handler("h" * (1 + number % 50)))) for number in range(1, 1_201)))
    shown = cli("dead", "list", "-o", "table").out.splitlines()
    assert len(shown) == 1_201
    assert max(map(len, shown)) <= 120
    assert len(json.loads(cli("dead", "list", "-o", "json").out)) == 1_200


# ------------------------------------------------------------------ retry


def test_a_retry_writes_a_row_for_each_delivery_and_the_next_command(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", "--handler", "shop.billing:charge", "--yes")
    assert ended.code == 0
    assert lines(ended) == [
        {
            "event_id": id_of(number),
            "event_type": "order.placed",
            "tenant_id": "acme",
            "handler": "shop.billing:charge",
            "outcome": "retried",
            "attempt": 20,
            "error": "CardExpired: card of c_204 expired 2026-09",
        }
        for number in (1, 2)
    ]
    assert "2 deliveries of 2 events" in ended.err
    assert ended.err.splitlines()[-1].endswith("craft-events redispatch -m shop.billing")
    assert states(log, 1) == ["done", "pending"]
    assert states(log, 3) == ["dead"]


def test_a_retry_as_json_is_one_object_with_all_keys_always(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", id_of(1), id_of(6), "no-such", "--yes", "-o", "json")
    summary = json.loads(ended.out)
    assert summary.pop("elapsed_s") > 0
    assert summary == {
        "skipped": 0,
        "dry_run": False,
        "retried": 1,
        "events": 1,
        "deliveries": 1,
        "moved_by_others": 0,
        "not_found": ["no-such"],
        "not_dead": [id_of(6)],
    }


def test_a_retry_as_csv_has_a_header_and_as_a_table_nothing_on_stdout(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", id_of(3), "--yes", "-o", "csv")
    assert ended.out.splitlines()[0] == "event_id,event_type,tenant_id,handler,outcome,attempt,error"
    assert ended.out.splitlines()[1].startswith(f"{id_of(3)},payment.completed,globex,shop.mail:send,retried,20,")
    assert cli("dead", "retry", id_of(4), "--yes", "-o", "table").out == ""
    assert states(log, 4) == ["pending"]


def test_without_ids_and_filters_all_are_meant(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", "--yes", "-o", "json")
    assert (ended.code, json.loads(ended.out)["retried"]) == (0, 4)
    assert ended.err.rstrip().endswith("craft-events redispatch -m shop.billing -m shop.mail -m shop.video")
    assert cli("dead", "list").out == ""


def test_an_event_that_is_not_there_or_has_nothing_dead_is_named_and_ends_with_3(cli: Cli, log: Log) -> None:
    for act in (["--dry-run"], ["--yes"]):
        ended = cli("dead", "retry", id_of(1), "no-such\x1b[31m", id_of(6), *act)
        assert ended.code == 3
        assert r"no-such\x1b[31m is not in the log" in ended.err
        assert f"{id_of(6)} has no dead delivery" in ended.err
    assert states(log, 1) == ["done", "pending"]


def test_many_events_that_are_not_there_do_not_fill_the_screen(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", *(f"no-{number}" for number in range(25)), "--yes")
    assert ended.code == 3
    assert "and 15 more" in ended.err
    assert len(ended.err.splitlines()) == 12


@pytest.mark.parametrize("command", [("retry",), ("discard", "--reason", "r")])
def test_a_dry_run_counts_and_writes_nothing(cli: Cli, log: Log, golden: Golden, command: tuple[str, ...]) -> None:
    before = list(log.events.find({}).sort("_id"))
    ended = cli("dead", *command, "--dry-run", "-o", "json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "dry_run": True,
        "events": 4,
        "deliveries": 4,
        "by_type": {"order.placed": 2, "payment.completed": 2},
        "by_tenant": {"acme": 2, "globex": 1, "null": 1},
        "by_handler": {"shop.billing:charge": 2, "shop.mail:send": 1, "shop.video:cut": 1},
    }
    assert "4 deliveries of 4 events" in ended.err
    golden("dead-dry-run.table", cli("dead", *command, "--dry-run", "-o", "table").out)
    assert list(log.events.find({}).sort("_id")) == before


# ------------------------------------------------------------------ discard


def test_a_discard_keeps_its_reason_and_who_gave_it(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    ended = cli("dead", "discard", id_of(3), "--reason", f"paid {HOSTILE}", "--yes")
    assert ended.code == 0
    [line] = lines(ended)
    assert (line["outcome"], line["attempt"]) == ("skipped", 20)
    assert "1 delivery of 1 event" in ended.err
    [entry] = log.events.find_one({"event_id": id_of(3)})["delivery"]["handlers"]
    assert (entry["state"], entry["reason"]) == ("skipped", f"paid {HOSTILE}")
    assert entry["by"].startswith("ada@")
    ended = cli("dead", "discard", id_of(4), "--reason", "r", "--yes", "-o", "json")
    assert (json.loads(ended.out)["skipped"], json.loads(ended.out)["retried"]) == (1, 0)


def test_pending_deliveries_of_a_removed_handler_can_be_discarded(cli: Cli, log: Log) -> None:
    ended = cli("dead", "discard", "--handler", "shop.legacy:sync", "--reason", "removed", "--yes")
    assert (ended.code, ended.out) == (0, "")
    assert states(log, 5) == ["pending"]
    gone = ("dead", "discard", "--handler", "shop.legacy:sync", "--pending", "--reason", "removed")
    assert json.loads(cli(*gone, "--dry-run").out)["by_handler"] == {"shop.legacy:sync": 1}
    assert "1 delivery of 1 event" in cli(*gone, "--yes").err
    assert states(log, 5) == ["skipped"]
    assert "no dead or pending deliveries" in cli(*gone, "--yes").err


def test_a_user_without_a_name_is_an_operator(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_user() -> str:
        raise KeyError("uid not found: 1000")

    monkeypatch.setattr("craft_events_cli.acting.getuser", no_user)
    assert cli("dead", "discard", id_of(3), "--reason", "r", "--yes").code == 0
    [entry] = log.events.find_one({"event_id": id_of(3)})["delivery"]["handlers"]
    assert entry["by"].startswith("operator@")


# ------------------------------------------------------------------ the question


@pytest.mark.parametrize("command", [("retry",), ("retry", "x"), ("discard", "--reason", "r")])
def test_without_a_terminal_and_without_yes_it_ends_with_2_and_does_not_hang(
    cli: Cli, log: Log, command: tuple[str, ...]
) -> None:
    ended = cli("dead", *command)
    assert (ended.code, ended.out) == (2, "")
    assert "terminal" in ended.err
    assert "--yes" in ended.err
    assert "--dry-run" in ended.err
    assert states(log, 1) == ["done", "dead"]


@pytest.mark.parametrize(
    ("command", "question"),
    [
        (
            ("retry",),
            "4 deliveries of 4 events get a fresh budget, by their handlers' retry policies. Go on? [y/N] ",
        ),
        (
            ("retry", id_of(1)),
            "1 delivery of 1 event gets a fresh budget, by its handler's retry policy. Go on? [y/N] ",
        ),
        (("discard", "--reason", "r"), "4 deliveries of 4 events are skipped and never delivered. Go on? [y/N] "),
        (("discard", "--reason", "r", id_of(1)), "1 delivery of 1 event is skipped and never delivered. Go on?"),
    ],
)
def test_the_question_shows_the_number_and_yes_continues(
    process: Process, log: Log, command: tuple[str, ...], question: str
) -> None:
    with at_a_terminal(process, "dead", *command) as person:
        person.waits_for(f"{log.database}.event_log at 127.0.0.1:")
        person.waits_for(question)
        assert states(log, 1) == ["done", "dead"]
        person.types("y\n")
        code, out = person.ended()
    assert code == 0
    assert id_of(1) in out
    assert states(log, 1)[1] in ("pending", "skipped")


@pytest.mark.parametrize("answer", ["\n", "n\n", "no\n", "what?\n", "\x04"])
def test_anything_but_yes_is_no(process: Process, log: Log, answer: str) -> None:
    with at_a_terminal(process, "dead", "retry") as person:
        person.waits_for("[y/N] ")
        person.types(answer)
        assert person.ended() == (2, "")
        assert "nothing was done" in person.said
    assert states(log, 1) == ["done", "dead"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_question(process: Process, log: Log, number: signal.Signals, code: int) -> None:
    with at_a_terminal(process, "dead", "retry") as person:
        person.waits_for("[y/N] ")
        person.process.send_signal(number)
        assert person.ended() == (code, "")
        assert "Traceback" not in person.said
    assert states(log, 1) == ["done", "dead"]


def test_without_dead_deliveries_no_question_is_asked(process: Process, log: Log) -> None:
    with at_a_terminal(process, "dead", "retry", "--tenant", "unknown") as person:
        assert person.ended() == (0, "")
        assert "no dead deliveries in this selection" in person.said


def test_a_delivery_that_dies_during_the_question_is_not_touched(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def agree(question: Confirmation, log_name: str) -> bool:
        asked.append(f"{log_name}: {question.text}")
        log.insert(record(9, delivery=tracked(handler("shop.billing:charge", hours=9))))
        return True

    monkeypatch.setattr(acting, "is_anybody_there", lambda: True)
    monkeypatch.setattr(acting, "ask", agree)
    assert json.loads(cli("dead", "retry", "-o", "json").out)["retried"] == 4
    [question] = asked
    assert question.startswith(f"{log.database}.event_log at 127.0.0.1:")
    assert "4 deliveries of 4 events" in question
    assert states(log, 9) == ["dead"]


# ------------------------------------------------------------------ errors


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["discard", "x", "--yes"], 2, "missing option '--reason'"),
        (["discard", "x", "--yes", "--reason", " "], 2, "--reason: the reason is empty"),
        (["discard", "--pending", "--yes", "--reason", "r"], 2, "needs --handler"),
        (["list", "--by", "colour"], 2, "--by: 'colour' is not one of 'error', 'handler', 'type'"),
        (["list", "--limit", "0"], 2, "--limit"),
        (["list", "--state", "dead"], 2, "no such option: --state"),
        (["retry", "--since", "someday"], 2, "--since"),
        (["retry", "--since", "1h", "--until", "2h"], 2, "the window is empty"),
        (["retry", "--yes", "--database", "$shop"], 2, "database"),
        (["retry", "--yes", "--uri", "mongodb://127.0.0.1:9/"], 4, "127.0.0.1:9"),
        (["list", "--uri", "mongodb://127.0.0.1:9/"], 4, "127.0.0.1:9"),
        ([], 2, "missing command"),
        (["revive"], 2, "no such command 'revive'"),
    ],
)
def test_an_impossible_request_is_an_error_of_one_to_three_lines(
    cli: Cli, log: Log, arguments: list[str], code: int, said: str
) -> None:
    ended = cli("dead", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert 1 <= len(ended.err.splitlines()) <= 3
    assert states(log, 1) == ["done", "dead"]


def test_a_reader_that_goes_away_does_not_stop_what_acts(process: Process, log: Log) -> None:
    running = process("dead", "retry", "--yes", "-o", "ndjson")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 0
    assert b"4 deliveries of 4 events have a fresh budget" in said
