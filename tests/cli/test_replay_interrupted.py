"""A replay through handlers that a signal or a failure ends, and that goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft_easy.core.events.checkpoint import Checkpoint
from tests.cli.conftest import ROOT, Cli
from tests.cli.replay_shop import RUN, SHOP, fill, ids, ledger
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import Log


@pytest.fixture(autouse=True)
def app(log: Log, tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": textwrap.dedent(SHOP)}) as directory:
        yield directory


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
    _, err = running.communicate(timeout=60)
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
    running.communicate(timeout=60)
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
    running.communicate(timeout=60)
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
