"""replay and tail as processes: pipes, terminals, signals, and a server that is stopped and restarted."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyte
import pytest

from craft_easy.core.events import embedded
from tests.support.conditions import until
from tests.support.history import HISTORY, Log, opened, record
from tests.support.processes import FOLLOWING, PROGRAM, Run, number

pytestmark = pytest.mark.slow


@pytest.fixture
def log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    with opened(embedded_uri, database_name) as log:
        log.insert(*HISTORY)
        yield log


def test_a_reader_of_one_line_gets_it_and_the_run_ends_with_0(log: Log) -> None:
    log.insert(*(record(number) for number in range(100, 3_000)))
    command = f'"{PROGRAM}" replay --uri "$0" --database "$1" | head -1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command, log.uri, log.database], capture_output=True, text=True, timeout=60)
    line, code = done.stdout.splitlines()
    assert json.loads(line)["payload"] == {"value": [1, 2]}
    assert (code, done.stderr) == ("0", "")


def test_ndjson_imports_no_rich_and_help_imports_no_driver(log: Log) -> None:
    program = "import sys; from craft_events_cli.app import run; run(sys.argv[1:]); print(*sys.modules)"
    for args, forbidden in (
        (["replay", *log.where], {"rich"}),
        (["tail", "--no-follow", *log.where], {"rich"}),
        (["replay", "--help"], {"pymongo", "bson"}),
        (["tail", "--help"], {"pymongo", "bson"}),
    ):
        done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60)
        imported = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
        assert imported & {"rich", "pymongo", "bson", "craft_easy"} & forbidden == set()
        assert "craft_easy" in imported


@pytest.mark.parametrize("command", ["replay", "tail"])
def test_a_closed_port_is_exit_4(command: str) -> None:
    with Run(command, "--uri", "mongodb://app:secret@127.0.0.1:1/?directConnection=true") as run:
        assert run.ended() == 4
        lines = run.err.rest()
    assert lines[0].startswith("error: 127.0.0.1:1")
    assert len(lines) <= 3
    assert "secret" not in "".join(lines)


def test_tail_prints_a_stored_event_at_once(log: Log) -> None:
    with Run("tail", "-n", "2", *log.where) as tail:
        assert [number(tail.out.event()) for _ in range(2)] == [8, 10]
        tail.err.until(FOLLOWING)
        for one in (20, 21):
            log.insert(record(one))
            assert number(tail.out.event()) == one


def test_tail_prints_selected_events_only(log: Log) -> None:
    selecting = ["--tenant", "acme", "--no-tenant", "--type", "order.*", "--type", "system.up"]
    with Run("tail", "-n", "0", *selecting, *log.where) as tail:
        tail.err.until(FOLLOWING)
        log.insert(
            record(20, event_type="order.placed", tenant_id="globex"),
            record(21, event_type="order.placed"),
            record(22, event_type="payment.completed"),
            record(23, event_type="system.up", tenant_id=None),
            record(24, event_type="xorder.placed"),
            record(25, event_type="order.paid"),
        )
        assert [number(tail.out.event()) for _ in range(3)] == [21, 23, 25]


def test_a_limit_ends_tail(log: Log) -> None:
    with Run("tail", "-n", "1", "--limit", "3", *log.where) as tail:
        tail.err.until(FOLLOWING)
        log.insert(record(20), record(21), record(22))
        assert tail.ended() == 0
        assert [number(json.loads(line)) for line in tail.out.rest()] == [10, 20, 21]
        assert tail.err.rest() == ["3 events"]


@pytest.mark.parametrize(("one", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_tail_without_a_word(log: Log, one: signal.Signals, code: int) -> None:
    with Run("tail", "-n", "1", *log.where) as tail:
        tail.err.until(FOLLOWING)
        tail.process.send_signal(one)
        assert tail.ended() == code
        assert tail.err.rest() == []


def test_tail_ends_with_its_reader_though_nothing_comes(log: Log) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [PROGRAM, "tail", "-n", "0", *log.where], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert process.stderr is not None
    with process.stderr as err:
        assert FOLLOWING in err.readline()
        os.close(reading)
        assert process.wait(60) == 0
        assert err.read() == ""


def test_a_dropped_collection_ends_tail_with_a_message(log: Log) -> None:
    with Run("tail", "-n", "0", *log.where) as tail:
        tail.err.until(FOLLOWING)
        log.events.drop()
        assert "was dropped" in tail.err.next()
        assert tail.ended() == 0


def test_tail_survives_a_killed_server_without_a_gap_or_a_repeat(tmp_path: Path) -> None:
    first = embedded.join(tmp_path / "log", timeout=60)
    port = int(first.uri.rpartition(":")[2].partition("/")[0])
    with opened(first.uri, "shop") as log:
        log.insert(record(1))
        with Run("tail", *log.where) as tail:
            assert number(tail.out.event()) == 1
            tail.err.until(FOLLOWING)
            log.insert(record(2))
            assert number(tail.out.event()) == 2
            tail.process.send_signal(signal.SIGSTOP)
            log.insert(record(3))
            os.kill(first.pid, signal.SIGKILL)
            until(lambda: not first.is_running())
            tail.process.send_signal(signal.SIGCONT)
            assert tail.err.next() == "connection lost, resuming …"
            with embedded.join(tmp_path / "log", port=port, timeout=60):
                assert tail.err.until("resumed after").endswith("s, nothing missed")
                log.insert(record(4))
                assert [number(tail.out.event()) for _ in range(2)] == [3, 4]
                tail.process.send_signal(signal.SIGINT)
                assert tail.ended() == 130
                assert tail.out.rest() == []
    first.leave()


# A terminal


def on_a_terminal(args: Sequence[str], *, columns: int, environ: dict[str, str] | None = None) -> tuple[list[str], str]:
    """Run the script on a terminal of this width; return the lines of its screen, and the raw output."""
    master, slave = pty.openpty()
    settings = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"} | (environ or {})
    process = subprocess.Popen([PROGRAM, *args], stdin=slave, stdout=slave, stderr=slave, env=settings)
    os.close(slave)
    sent = b""
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while data := os.read(master, 4096):
            sent += data
    os.close(master)
    assert process.wait(60) == 0
    screen = pyte.Screen(columns, 40)
    pyte.ByteStream(screen).feed(sent)
    return [line.rstrip() for line in screen.display if line.strip()], sent.decode()


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_on_a_terminal_each_event_is_one_coloured_line(log: Log, columns: int) -> None:
    lines, sent = on_a_terminal(["replay", *log.where, "--tenant", "acme"], columns=columns)
    assert [line[:10] for line in lines[:4]] == ["2020-01-31"] * 4
    assert "".join(lines[5:]).startswith("5 events · times are UTC · one in full: craft-events show ")
    assert "\x1b[38;5;31mpayment.compl" in sent


def test_no_color_is_honoured(log: Log) -> None:
    _, sent = on_a_terminal(["replay", *log.where], columns=80, environ={"NO_COLOR": "1"})
    assert "\x1b" not in sent


def test_no_text_of_the_log_reaches_a_terminal_raw(log: Log) -> None:
    for command in (["replay"], ["tail", "--no-follow"]):
        _, sent = on_a_terminal([*command, *log.where, "--color", "never"], columns=200)
        assert "\x1b" not in sent
        assert r"\x1b[31mred" in sent
