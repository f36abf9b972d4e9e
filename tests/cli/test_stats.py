"""`stats`: the backlog, its age and its owners; events and failures over time."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyte
import pytest

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.operations import stats as library
from craft_easy.core.events.operations.stats import Bar, Oldest, Stats, StatsGroup
from craft_easy.core.events.operations.workers import RunningNow
from tests.cli.conftest import Cli, Golden, Process
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import HOSTILE, Log, delivery, record

FORMATS = ("table", "ndjson", "json", "csv")
NOW = datetime(2026, 1, 31, 17, 44, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
COURSE = (2, 2, 1, 1, 1, 2, 3, 5, 7, 18, 15, 12, 13, 14, 15, 11, 10, 9, 8, 6, 4, 3, 2, 2, 1)
HANDLERS = (
    StatsGroup("shop.mail:send_confirmation", open=988, waiting=18, failed=1_302, events=170_000, median_ms=41.0),
    StatsGroup("shop.billing:charge", open=253, dead=3, failed=8, events=14_220, median_ms=1_250.0),
    StatsGroup("shop.audit:write", events=184_220, median_ms=0.41),
)


def bars() -> list[Bar]:
    first = NOW.replace(minute=0, second=0) - 24 * HOUR
    return [
        Bar(first + number * HOUR, first + (number + 1) * HOUR, events * 1_024, 655 * (number >= 23))
        for number, events in enumerate(COURSE)
    ]


def figures(**changes: Any) -> Stats:
    some = Stats(
        at=NOW,
        open=1_241,
        owned=12,
        waiting=18,
        dead=3,
        oldest=Oldest("019abf3e-1", "order.placed", "acme", NOW - timedelta(seconds=11_534), 11_534.0),
        since=NOW - 24 * HOUR,
        until=NOW,
        bar=HOUR,
        events=sum(COURSE) * 1_024,
        failed=1_310,
        bars=bars(),
        by="handler",
        groups=HANDLERS,
        workers=2,
    )
    return replace(some, **changes)


pytestmark = pytest.mark.usefixtures("log")


@dataclass
class Canned:
    """The figures of the next round."""

    found: Stats


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Canned:
    """Set the figures of a round."""
    canned = Canned(figures())

    async def read(*_: Any) -> Stats:
        return canned.found

    monkeypatch.setattr(library.Meter, "read", read)
    monkeypatch.setattr("craft_easy.core.events.clock.now", lambda: NOW)
    return canned


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_shows_the_same_figures(cli: Cli, canned: Canned, golden: Golden, output: str) -> None:
    ended = cli("stats", "-o", output)
    assert ended.code == 0
    golden(f"stats.{output}", ended.out)
    assert ended.err == ("next: craft-events dead list --by error\n")


@pytest.mark.parametrize("by", ["type", "tenant", "error"])
def test_each_kind_of_group_has_its_columns(cli: Cli, canned: Canned, golden: Golden, by: Any) -> None:
    groups = [replace(one, median_ms=None, events=None if by == "error" else one.events) for one in HANDLERS]
    canned.found = figures(by=by, groups=[*groups, StatsGroup(None, open=3, events=None if by == "error" else 5)])
    golden(f"stats.by-{by}", cli("stats", "-o", "table", "--by", by).out)


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120, 200])
def test_a_screen_keeps_to_its_width(
    cli: Cli, canned: Canned, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("stats", "-o", "table").out
    assert max(map(len, shown.splitlines())) <= max(columns, 40)
    if columns in (40, 200):
        golden(f"stats.{columns}", shown)


def test_one_event_is_not_a_peak_of_zero(cli: Cli, canned: Canned) -> None:
    half = timedelta(minutes=30)
    some = [Bar(NOW - half * (number + 1), NOW - half * number, events, 0) for number, events in enumerate((0, 1))]
    canned.found = figures(bars=some, bar=half, events=1, failed=0)
    shown = cli("stats", "-o", "table").out
    assert re.search(r"peak 2/h$", shown, re.MULTILINE)
    canned.found = figures(bars=[replace(one, events=0) for one in some], bar=half, events=0, failed=0)
    assert "peak" not in cli("stats", "-o", "table").out


def test_bars_that_do_not_fit_on_a_line_are_merged(cli: Cli, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = cli("stats", "-o", "table").out
    assert "24 h, 2 h a bar" in shown
    events = next(line for line in shown.splitlines() if "events" in line)
    assert len(re.findall("[▁-█]", events)) == 13


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_of_plain_letters_gets_them(
    cli: Cli, canned: Canned, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("COLUMNS", str(width))
    drawn = cli("stats", "-o", "table").out
    assert not re.search("[▁-▏]", drawn)
    assert "#" in drawn


def test_colour_adds_no_information(cli: Cli, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cli("stats", "-o", "table").out
    assert "\x1b" not in plain
    colored = cli("stats", "-o", "table", "--color", "always").out
    assert "\x1b[31mdead 3\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@pytest.mark.parametrize("output", FORMATS)
def test_no_format_prints_a_raw_character(cli: Cli, canned: Canned, output: str) -> None:
    hostile = [StatsGroup(HOSTILE, open=3, events=1), StatsGroup("", dead=1, events=0)]
    oldest = Oldest(HOSTILE, HOSTILE, HOSTILE, NOW, 1.0)
    canned.found = figures(by="tenant", groups=hostile, oldest=oldest, orphaned=[HOSTILE])
    ended = cli("stats", "-o", output, "--by", "tenant", "--tenant", HOSTILE)
    assert ended.code == 3
    assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "next: craft-events dead list --by error"),
        ({"dead": 0}, "next: craft-events redispatch -m MODULE"),
        ({"dead": 0, "open": 30, "owned": 12}, "next: craft-events workers"),
        ({"dead": 0, "open": 18, "owned": 0}, "next: nothing, 18 wait for their next attempt"),
        ({"dead": 0, "open": 0, "owned": 0, "waiting": 0}, "nothing is stuck"),
    ],
)
def test_the_last_line_is_the_next_command(cli: Cli, canned: Canned, changes: dict[str, int], said: str) -> None:
    canned.found = figures(**changes)
    assert cli("stats").err.splitlines()[-1] == said


def test_the_next_command_selects_the_same_events(cli: Cli, canned: Canned) -> None:
    said = cli("stats", "--tenant", "a b", "--no-tenant", "--type", "order.*", "--since", "2h").err.splitlines()[-1]
    assert said.endswith("craft-events dead list --by error --tenant 'a b' --type 'order.*' --no-tenant")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-backlog", "1240"], ["over --max-backlog 1,240: there are 1,241 open events"]),
        (["--max-age", "3h"], ["over --max-age 3 h: the oldest open event is 3 h 12 min old"]),
        (["--max-dead", "0"], ["over --max-dead 0: there are 3 dead deliveries"]),
        (["--max-backlog", "1241", "--max-age", "4h", "--max-dead", "3"], []),
        (
            ["--max-backlog", "0", "--max-dead", "2"],
            ["over --max-backlog 0: there are 1,241 open events", "over --max-dead 2: there are 3 dead deliveries"],
        ),
    ],
)
@pytest.mark.parametrize("output", FORMATS)
def test_a_threshold_that_is_crossed_is_named_and_ends_with_3(
    cli: Cli, canned: Canned, output: str, options: list[str], said: list[str]
) -> None:
    ended = cli("stats", "-o", output, *options)
    assert ended.code == (3 if said else 0)
    assert [line for line in ended.err.splitlines() if line.startswith("warning: ")] == [
        f"warning: {one}" for one in said
    ]
    if output == "json":
        assert len(json.loads(ended.out)["crossed"]) == len(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "actor"], "--by: 'actor' is not one of 'handler', 'type', 'tenant'"),
        (["--max-dead", "-1"], '"-1" is not a whole number of at least 0'),
        (["--max-dead", "٣"], "is not a whole number of at least 0"),
        (["--max-age", "old"], '--max-age: "old" is not a valid duration'),
        (["--watch", "0"], '"0" is too short'),
        (["--watch", "2s", "-o", "json"], "-o json is one array, and this command does not end"),
        (["--bar", "0"], "the minimum is a second"),
        (["--bar", "1s"], "86,40"),
        (["--bar", "9" * 15], "is not a valid width"),
        (["--limit", "3"], "no such option: --limit"),
        (["--since", "1h", "--until", "2h"], "the window is empty"),
        (["--since", "2999-01-01"], "the window is empty"),
        (["--until", "0001-01-01"], "the window is empty"),
    ],
)
def test_contradicting_options_are_refused(cli: Cli, arguments: list[str], said: str) -> None:
    ended = cli("stats", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize("output", FORMATS)
def test_an_empty_log_has_figures(cli: Cli, output: str) -> None:
    ended = cli("stats", "-o", output)
    assert (ended.code, ended.err) == (0, "nothing is stuck\n")
    zeros = {"table": "open 0   owned 0   waiting 0   dead 0", "csv": ",all,,0,0,0,0,0,,"}
    assert zeros.get(output, '"open":0,"owned":0,"waiting":0,"due":0,"dead":0,') in ended.out


def test_it_counts_what_the_log_holds(cli: Cli, log: Log) -> None:
    log.insert(record(1, delivery=delivery("open")), record(2, delivery=delivery("dead")), record(3))
    ended = cli("stats", "-o", "json", "--since", "2020-01-31T10:00:00Z", "--until", "2020-01-31T11:00:00Z")
    found = json.loads(ended.out)
    assert {name: found[name] for name in ("open", "owned", "waiting", "due", "dead", "events", "failed")} == {
        "open": 1,
        "owned": 0,
        "waiting": 0,
        "due": 1,
        "dead": 1,
        "events": 3,
        "failed": 1,
    }
    assert found["oldest"]["event_id"] == record(1)["event_id"]
    assert found["groups"] == [
        {
            "group": "shop.mail:send",
            "open": 1,
            "waiting": 0,
            "dead": 1,
            "failed": 1,
            "events": 2,
            "median_ms": None,
            "mean_ms": None,
        }
    ]
    assert ended.err.splitlines()[0] == "2020-01-31 10:00:00 … 2020-01-31 11:00:00 UTC"


def test_a_window_is_printed_as_typed(cli: Cli, canned: Canned) -> None:
    assert "last 24 h, an hour a bar" in cli("stats", "-o", "table").out
    since = cli("stats", "-o", "table", "--since", "2026-01-30T17:44:02Z").out
    assert "since 01-30 17:44, an hour a bar" in since
    until = cli("stats", "-o", "table", "--since", "2026-01-30T17:44:02Z", "--until", "2026-01-31T17:44:02Z").out
    assert "01-30 17:44 … 01-31 17:44, an hour a bar" in until


@pytest.fixture
def shop(tmp_path: Any) -> Iterator[None]:
    source = (
        "from craft_easy.core.events import event_handler\n"
        "@event_handler('*', id='shop.stock:reserve', aliases=('old',))\ndef reserve(event): ...\n"
    )
    with application(tmp_path, {"stats_shop.py": source}):
        yield


def test_named_handlers_that_are_not_loaded_are_reported(cli: Cli, log: Log, shop: None) -> None:
    log.insert(record(1, delivery=delivery("open")))
    ended = cli("stats", "-m", "stats_shop")
    assert ended.code == 3
    assert json.loads(ended.out)["orphaned_handlers"] == ["shop.mail:send"]
    assert "warning: shop.mail:send is named by open events and is not loaded" in ended.err


def test_a_variable_loads_no_module_to_look_at_figures(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_HANDLERS", "no_such_module")
    ended = cli("stats")
    assert ended.code == 0
    assert json.loads(ended.out)["orphaned_handlers"] is None


# ---------------------------------------------------------------------- repeated rounds


def test_watching_writes_an_object_for_each_look_until_the_reader_goes(process: Process, log: Log) -> None:
    with process("stats", "--watch", "0.2") as running:
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        log.insert(record(1, delivery=delivery("open")))
        until(lambda: json.loads(running.stdout.readline())["open"] == 1)  # type: ignore[union-attr]
        running.stdout.close()
        assert (first["open"], running.wait(60)) == (0, 0)


def test_watching_has_one_heading_in_csv(process: Process) -> None:
    with process("stats", "--watch", "0.2", "-o", "csv") as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(3)]
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    assert [line.startswith(b"at,by,group") for line in lines] == [True, False, False]


def test_a_failed_round_is_reported_and_retried(cli: Cli, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: Iterator[Stats | BaseException] = iter(
        [figures(), StoreUnavailable("db-9: no answer"), figures(open=7), KeyboardInterrupt()]
    )

    async def read(*_: Any) -> Stats:
        found = next(looks)
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(library.Meter, "read", read)
    ended = cli("stats", "--watch", "0.2", "-o", "ndjson")
    assert ended.code == 130
    assert "db-9: no answer; trying again" in ended.err


class Terminal:
    """A terminal of 80 by 24 with a command on it."""

    def __init__(self, process: Process, *args: str, **env: str) -> None:
        self._ours, theirs = pty.openpty()
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        termios.tcsetwinsize(theirs, (24, 80))
        self.process: subprocess.Popen[bytes] = process(*args, start_new_session=True, env=env, **streams)
        os.close(theirs)

    def shows(self, text: str) -> bool:
        while select.select([self._ours], [], [], 0.01)[0]:
            try:
                some = os.read(self._ours, 65_536)
            except OSError:
                break
            self.raw += some
            self._stream.feed(some)
        return any(text in line for line in self.screen.display)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminals(process: Process) -> Iterator[Any]:
    """Open terminals; each is closed at the end."""
    some: list[Terminal] = []

    def start(*args: str, **env: str) -> Terminal:
        some.append(Terminal(process, *args, **env))
        return some[-1]

    yield start
    for one in some:
        one.close()


def test_a_terminal_gets_a_live_screen_and_is_restored(terminals: Any, log: Log) -> None:
    live = terminals("stats", "--watch", "0.2", "--max-backlog", "0", "--tenant", HOSTILE)
    until(lambda: live.shows("open 0"))
    log.insert(record(1, delivery=delivery("open"), tenant_id=HOSTILE))
    until(lambda: live.shows("open 1 "))
    assert live.shows("over --max-backlog 0: there are 1 open events")
    assert live.shows(r"of \x1b[31mred")
    assert live.shows(r"next: craft-events redispatch --tenant '\x1b[31mred")
    assert any("next: " in line and line.rstrip().endswith("…") for line in live.screen.display)
    assert HOSTILE[:8].encode() not in live.raw
    assert live.shows("Ctrl-C to stop")
    live.process.send_signal(signal.SIGINT)
    assert live.process.wait(60) == 130
    live.shows("")
    assert b"\x1b[?1049h" in live.raw
    assert live.raw.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))


def test_a_terminal_that_cannot_draw_gets_one_look_after_the_other(terminals: Any) -> None:
    dumb = terminals("stats", "--watch", "0.2", TERM="dumb")
    until(lambda: dumb.shows("open 0") and dumb.raw.count(b"open 0") > 2)
    assert b"\x1b" not in dumb.raw
    dumb.process.send_signal(signal.SIGTERM)
    assert dumb.process.wait(60) == 143


def test_what_is_due_while_no_worker_runs_is_said_and_what_to_run_before_what_is_dead(cli: Cli, log: Log) -> None:
    log.insert(record(1, delivery=delivery("open")), record(2, delivery=delivery("dead")))
    ended = cli("stats", "-o", "table")
    assert "1 due · no worker is running" in ended.err
    assert ended.err.rstrip().endswith("next: craft-events redispatch -m MODULE")


def test_what_the_workers_run_now_is_shown_for_how_long_and_on_which_event(cli: Cli, canned: Canned) -> None:
    running = RunningNow("api-3:4121:ab", "shop.video:cut", "019abf3e-1", NOW - timedelta(minutes=3), 180.0)
    canned.found = figures(workers=1, running=(running,))
    shown = cli("stats", "-o", "table").out.splitlines()
    assert shown[-2].split() == ["Running", "now", "For", "Event", "Worker"]
    assert shown[-1].split() == ["shop.video:cut", "3", "min", "019abf3e-1", "api-3:4121:ab"]
    found = json.loads(cli("stats", "-o", "json").out)
    assert (found["workers"], found["running"][0]["event_id"]) == (1, "019abf3e-1")


def test_an_error_that_nobody_expects_is_not_called_wrong_usage(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("of our own")

    monkeypatch.setattr(library.Meter, "read", broken)
    ended = cli("stats")
    assert (ended.code, ended.out) == (1, "")
    assert "unexpected ValueError: of our own" in ended.err
