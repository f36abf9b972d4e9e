"""`redispatch`: the output in each format, the messages, the exit codes."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine.report import DeliveryReport
from craft_easy.core.events.redispatch import RedispatchSummary
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from craft_events_cli.output.redispatch import RedispatchView, headline, suggestion
from craft_events_cli.terminal import Output
from tests.cli.conftest import ROOT, Cli
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import Log

SHOP = """
    import asyncio, os
    from pathlib import Path
    from craft_easy.core.events import RetryPolicy, event_handler

    @event_handler("order.*")
    async def reserve(event):
        print("a handler prints")

    @event_handler("order.*", background=True, retry=RetryPolicy(max_attempts=2, delay=0))
    async def charge(event):
        if event.payload.get("card") == "expired":
            raise ValueError("the \\x1b[31mcard\\x07 \\u202e\\ud800 of [bold]p_1[/bold]\\nexpired")

    @event_handler("slow.*")
    async def wait(event):
        Path(f"{os.getpid()}.started").touch()
        await asyncio.Event().wait()
"""
HANDLERS = ("shop:reserve", "shop:charge")


@pytest.fixture(autouse=True)
def app(log: Log, tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": textwrap.dedent(SHOP)}) as directory:
        yield directory


def fill(
    log: Log, count: int, *, handlers: Sequence[str] | None = HANDLERS, event_type: str = "order.placed", **fields: Any
) -> list[DomainEvent]:
    events = [DomainEvent(event_type=event_type, **fields) for _ in range(count)]
    log.append(events, handlers=handlers)
    return events


def test_a_line_a_delivery_goes_into_a_pipe_and_the_summary_to_stderr(cli: Cli, log: Log) -> None:
    [event] = fill(log, 1, tenant_id="acme")
    ended = cli("redispatch", "-m", "shop")
    assert ended.code == 0
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
        for handler in HANDLERS
    ]
    assert "3 handlers loaded" in ended.err
    assert "1 event · 2 delivered · " in ended.err
    assert "a handler prints" in ended.err


def test_json_is_one_object_with_all_keys_always(cli: Cli, log: Log) -> None:
    fill(log, 2)
    ended = cli("redispatch", "-m", "shop", "-o", "json")
    summary = json.loads(ended.out)
    elapsed = summary.pop("elapsed_s")
    assert elapsed > 0
    assert summary == {
        "events": 2,
        "claimed": 2,
        "taken_over": 0,
        "owned": 0,
        "lost": 0,
        "done": 4,
        "failed": 0,
        "retried": 0,
        "dead": 0,
        "skipped": 0,
        "not_due": 0,
        "next_due_at": None,
        "orphaned": 0,
        "paused": 0,
        "paused_handlers": [],
        "orphaned_handlers": [],
        "uncounted": None,
        "dry_run": False,
    }
    assert list(json.loads(ended.out)) == [*summary, "elapsed_s"]


def test_csv_has_a_header_and_a_row_a_delivery(cli: Cli, log: Log) -> None:
    fill(log, 1, tenant_id="=cmd")
    ended = cli("redispatch", "-m", "shop", "-o", "csv")
    header, *rows = ended.out.splitlines()
    assert header == "event_id,event_type,tenant_id,handler,outcome,attempt,error"
    assert len(rows) == 2
    assert ",'=cmd," in rows[0]


def test_a_table_leaves_stdout_empty(cli: Cli, log: Log) -> None:
    fill(log, 1)
    ended = cli("redispatch", "-m", "shop", "-o", "table")
    assert (ended.code, ended.out) == (0, "")
    assert "1 event · 2 delivered" in ended.err


def test_a_run_with_nothing_to_do_reports_it_with_exit_0(cli: Cli, log: Log) -> None:
    fill(log, 1, handlers=())
    ended = cli("redispatch", "-m", "shop", "--since", "2h")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing is due" in ended.err
    assert "… now UTC" in ended.err


def test_failures_are_named_with_their_cause_and_end_with_3(cli: Cli, log: Log) -> None:
    fill(log, 2, payload={"card": "expired"})
    ended = cli("redispatch", "-m", "shop")
    assert ended.code == 3
    assert "2 events · 2 delivered · 2 failed, tried again from " in ended.err
    assert (
        "    2  shop:charge   ValueError: the \\x1b[31mcard\\x07 \\u202e\\ud800 of [bold]p_1[/bold]\\nexpired"
        in ended.err
    )
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith("next: craft-events ")
    failed = [json.loads(line) for line in ended.out.splitlines() if '"failed"' in line]
    assert {line["error"] for line in failed} == {
        "ValueError: the \x1b[31mcard\x07 \u202e\\ud800 of [bold]p_1[/bold]\nexpired"
    }
    assert not any(character in ended.out + ended.err for character in "\x1b\x07\u202e\x7f")
    dead = cli("redispatch", "--now", "-m", "shop", "-o", "json")
    assert (dead.code, json.loads(dead.out)["dead"]) == (3, 2)


def test_debug_shows_the_line_that_raised(log: Log, app: Path) -> None:
    fill(log, 1, payload={"card": "expired"})
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "-m", "shop", "--debug"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=app, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 3
    assert b"Traceback" in ended.stderr
    assert b"in charge" in ended.stderr
    assert b"\x1b" not in ended.stderr


def test_a_handler_that_is_not_loaded_is_named_and_ends_with_3(cli: Cli, log: Log) -> None:
    fill(log, 1, handlers=["shop:reserve", "shop:gone"])
    ended = cli("redispatch", "-m", "shop", "-o", "json")
    assert ended.code == 3
    assert "shop:gone is named by open events and is not loaded" in ended.err
    assert json.loads(ended.out)["orphaned_handlers"] == ["shop:gone"]


def test_a_handler_can_be_chosen_and_an_unknown_one_is_refused(cli: Cli, log: Log) -> None:
    fill(log, 1)
    ended = cli("redispatch", "-m", "shop", "--handler", "shop:charge")
    assert [json.loads(line)["handler"] for line in ended.out.splitlines()] == ["shop:charge"]
    refused = cli("redispatch", "-m", "shop", "--handler", "shop")
    assert refused.code == 3
    assert "'shop'" in refused.err
    assert "-m" in refused.err


def test_excluded_handlers_and_types_are_left_out_of_the_dry_run_and_of_the_run(cli: Cli, log: Log) -> None:
    fill(log, 2)
    fill(log, 1, event_type="order.paid")
    left_out = ("--exclude-handler", "shop:charge", "--exclude-type", "order.pa*", "--rate", "600/m")
    dry = json.loads(cli("redispatch", "-m", "shop", *left_out, "--dry-run", "-o", "json").out)
    assert (dry["by_handler"], dry["by_type"]) == ({"shop:reserve": 2}, {"order.placed": 2})
    ended = cli("redispatch", "-m", "shop", *left_out)
    assert ended.code == 0
    assert [json.loads(line)["handler"] for line in ended.out.splitlines()] == ["shop:reserve"] * 2
    assert json.loads(cli("redispatch", "-m", "shop", "-o", "json").out)["done"] == 2 + 2


def test_a_typo_in_an_excluded_handler_delivers_nothing(cli: Cli, log: Log) -> None:
    fill(log, 1)
    refused = cli("redispatch", "-m", "shop", "--exclude-handler", "shop:chrage")
    assert (refused.code, refused.out) == (3, "")
    assert "did you mean shop:charge?" in refused.err
    assert "--exclude-handler takes a handler id" in refused.err
    every = [word for handler in (*HANDLERS, "shop:wait") for word in ("--exclude-handler", handler)]
    nothing = cli("redispatch", "-m", "shop", *every)
    assert nothing.code == 2
    assert "every handler of this run is excluded" in nothing.err


@pytest.mark.parametrize("output", ["ndjson", "json"])
def test_a_dry_run_counts_and_writes_nothing(cli: Cli, log: Log, output: str) -> None:
    fill(log, 2, tenant_id="acme")
    fill(log, 1)
    ended = cli("redispatch", "-m", "shop", "--dry-run", "-o", output)
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "dry_run": True,
        "events": 3,
        "deliveries": 6,
        "by_type": {"order.placed": 3},
        "by_tenant": {"acme": 2, "null": 1},
        "by_handler": {"shop:charge": 3, "shop:reserve": 3},
    }
    assert "nothing was written" in ended.err
    assert json.loads(cli("redispatch", "-m", "shop", "-o", "json").out)["claimed"] == 3


def test_a_dry_run_counts_the_events_that_follow_a_take_over(
    cli: Cli, log: Log, embedded_uri: str, database_name: str
) -> None:
    fill(log, 2)

    async def die() -> None:
        async with EventStore(database_name, uri=embedded_uri) as store:
            await WorkerRegistry(store).register("elsewhere:1:dead", lease=0.2)
            await (await store.collection()).update_many({}, {"$set": {"delivery.owner": "elsewhere:1:dead"}})
        await asyncio.sleep(0.3)  # the database's clock decides which worker is silent

    asyncio.run(die())
    fill(log, 1)
    ended = cli("redispatch", "-m", "shop", "--dry-run", "-o", "ndjson")
    assert json.loads(ended.out)["events"] == 3
    assert "2 of them after a take-over" in ended.err


def test_a_dry_run_as_a_table_is_three_small_tables(cli: Cli, log: Log) -> None:
    fill(log, 2, tenant_id="[red]\x1b[31m")
    ended = cli("redispatch", "-m", "shop", "--dry-run", "-o", "table")
    lines = [line.split() for line in ended.out.splitlines() if line.strip()]
    assert ["By", "type", "Events"] in lines
    assert [r"[red]\x1b[31m", "2"] in lines
    assert ["shop:reserve", "2"] in lines


def test_a_selection_of_a_strange_tenant_is_a_text(cli: Cli, log: Log) -> None:
    fill(log, 1, tenant_id="acme")
    ended = cli("redispatch", "-m", "shop", "--tenant", '{"$ne": null}', "-o", "json")
    assert (ended.code, json.loads(ended.out)["claimed"]) == (0, 0)


def test_old_records_need_a_beginning(cli: Cli, log: Log) -> None:
    fill(log, 2, handlers=None)
    refused = cli("redispatch", "-m", "shop", "--include-untracked")
    assert (refused.code, refused.out) == (2, "")
    assert "--since" in refused.err
    ended = cli("redispatch", "-m", "shop", "--include-untracked", "--since", "1h", "-o", "json")
    assert json.loads(ended.out)["done"] == 4


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--limit", "-1"], 2),
        (["--limit", "0"], 2),
        (["--since", "someday"], 2),
        (["--concurrency", "0"], 2),
        (["--timeout", "soon"], 2),
        (["--state", "dead"], 2),
        (["-m", "no_such_shop"], 5),
        (["--uri", "mongodb://127.0.0.1:9/"], 4),
        (["--database", "$shop"], 2),
    ],
)
def test_an_impossible_request_is_an_error_of_one_to_three_lines(cli: Cli, arguments: list[str], code: int) -> None:
    modules = [] if "-m" in arguments else ["-m", "shop"]
    ended = cli("redispatch", *modules, *arguments)
    assert (ended.code, ended.out) == (code, "")
    said = [line for line in ended.err.splitlines() if "handlers loaded" not in line]
    assert 1 <= len(said) <= 3
    assert said[0].startswith("error: ")


def test_without_a_handler_module_the_error_shows_how_to_name_one(cli: Cli) -> None:
    ended = cli("redispatch")
    assert ended.code == 2
    assert "-m" in ended.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_gives_back_what_did_not_finish(
    log: Log, app: Path, embedded_uri: str, database_name: str, number: signal.Signals, code: int
) -> None:
    [event] = fill(log, 1, event_type="slow.order", handlers=["shop:wait"])
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "-m", "shop", "--grace", "0.2"]
    running = subprocess.Popen(
        command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    until(lambda: (app / f"{running.pid}.started").exists())
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (code, b"")
    assert b"stopping" in err
    assert b"Traceback" not in err

    async def look() -> Any:
        async with EventStore(database_name, uri=embedded_uri) as store:
            return await store.find_record(event.event_id)

    left = asyncio.run(look())["delivery"]
    assert (left["state"], left["owner"], left["handlers"][0]["attempts"]) == ("open", None, 0)


LEAVES_A_THREAD = """
    import asyncio, time
    from craft_easy.core.events import event_handler

    @event_handler("order.*", id="shop:charge", timeout=0.2)
    async def charge(event):
        await asyncio.to_thread(time.sleep, 600)
"""
HAS_A_CHILD = """
    import multiprocessing, os, signal, time
    from craft_easy.core.events import event_handler

    @event_handler("order.*", id="shop:charge")
    async def charge(event):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join()
        assert child.exitcode == -signal.SIGTERM, child.exitcode
"""


def redispatched(app: Path, module: str) -> subprocess.CompletedProcess[str]:
    """Run a handler module of its own in a process; fail where it stays."""
    (app / "shop.py").write_text(textwrap.dedent(module))
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "-m", "shop", "-o", "json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_ends_with_its_summary_though_a_thread_of_a_handler_never_ends(log: Log, app: Path) -> None:
    fill(log, 1, handlers=["shop:charge"])
    ended = redispatched(app, LEAVES_A_THREAD)
    assert (ended.returncode, json.loads(ended.stdout)["failed"]) == (3, 1)


def test_a_process_that_a_handler_forks_and_ends_does_not_end_the_run(log: Log, app: Path) -> None:
    fill(log, 1, handlers=["shop:charge"])
    ended = redispatched(app, HAS_A_CHILD)
    assert (ended.returncode, json.loads(ended.stdout)["done"]) == (0, 1), ended.stderr


def test_the_log_of_a_watch_has_times_levels_and_the_traceback_of_the_first_failure_of_each_kind(
    log: Log, app: Path
) -> None:
    fill(log, 3, payload={"card": "expired"})
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "-m", "shop", "--watch"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, cwd=app, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    seen = 0
    while seen < 3:  # lines of deliveries
        seen += '"failed"' in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    lines = [line for line in running.communicate(timeout=30)[1].splitlines() if line != "a handler prints"]
    assert all(re.match(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|ERROR) ", line) for line in lines), lines
    assert sum("Traceback" in line for line in lines) == 1
    assert sum("in charge" in line for line in lines if " ERROR " in line) == 1


STARTS_A_PROCESS = """
    import os, subprocess
    from craft_easy.core.events import event_handler

    @event_handler("order.*", id="shop:charge")
    def start(event):
        subprocess.run(["echo", "a child prints"], check=True)
        os.write(1, b"raw bytes")
"""


def test_what_a_process_of_a_handler_writes_does_not_reach_the_data(log: Log, app: Path) -> None:
    fill(log, 1, handlers=["shop:charge"])
    ended = redispatched(app, STARTS_A_PROCESS)
    assert json.loads(ended.stdout)["done"] == 1
    assert "a child prints" in str(ended.stderr)
    assert "raw bytes" in str(ended.stderr)


def test_a_reader_that_goes_away_does_not_stop_what_acts(log: Log, app: Path) -> None:
    fill(log, 40)
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "-m", "shop"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    err = first.stderr.read()
    first.stderr.close()
    assert first.wait(timeout=60) == 0
    assert b"40 events" in err


def test_errors_of_one_cause_with_other_texts_are_one_line() -> None:
    view = RedispatchView(Output.TABLE)
    for number in range(180):
        error = f"CardExpired: card of c_{number} expired" if number % 9 else "OSError: closed"
        view.show_delivery(DeliveryReport(f"e-{number}", "order.placed", None, "shop:charge", "failed", 1, error, None))
    assert list(view.errors()) == [
        "  160  shop:charge   CardExpired: card of c_1 expired",
        "   20  shop:charge   OSError: closed",
    ]


def test_the_headline_names_what_happened_and_nothing_else() -> None:
    summary = RedispatchSummary(events=1241, claimed=1241, done=3702, failed=18, dead=3, taken_over=37, elapsed_s=31.24)
    due = datetime(2026, 11, 23, 17, 44, 10, tzinfo=UTC)
    assert headline(summary, due) == (
        "1,241 events · 3,702 delivered · 18 failed, tried again from 2026-11-23 17:44:10"
        " · 3 dead · 37 taken over · 31.2 s"
    )
    assert headline(RedispatchSummary(owned=12), None) == (
        "nothing is due · 12 events owned by living workers (craft-events workers)"
    )
    assert headline(RedispatchSummary(orphaned=1), None) == "nothing is due · 1 delivery without a loaded handler"
    waiting = RedispatchSummary(not_due=9, next_due_at=due)
    assert headline(waiting, None) == "nothing is due · 9 are not due before 2026-11-23 17:44:10 (--now delivers them)"
    everything = RedispatchSummary(events=1, claimed=1, retried=6, skipped=2, lost=3, orphaned=4, owned=5)
    assert headline(everything, due + timedelta(1)) == (
        "1 event · 0 delivered · 6 to be retried at the request of their handlers · 2 skipped"
        " · 3 lost to another worker · 5 events owned by living workers (craft-events workers)"
        " · 4 deliveries without a loaded handler · 0.0 s"
    )


def test_the_next_command_depends_on_the_remaining_deliveries() -> None:
    assert suggestion(RedispatchSummary(claimed=1, done=1)) is None
    assert suggestion(RedispatchSummary(failed=1)) == "craft-events pending --by error"
    assert suggestion(RedispatchSummary(orphaned=1)) == "craft-events pending --by handler"
    assert suggestion(RedispatchSummary(dead=1), {"shop:charge"}) == "craft-events dead list --handler shop:charge"
    assert suggestion(RedispatchSummary(dead=1), {"a b; rm"}) == "craft-events dead list --handler 'a b; rm'"
    assert suggestion(RedispatchSummary(failed=1, dead=2), {"a", "b"}) == "craft-events dead list --by error"
