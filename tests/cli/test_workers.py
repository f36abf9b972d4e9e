"""`workers`: the owners of events, and silent ones."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from craft_easy.core.events import clock
from craft_easy.core.events.operations import workers as library
from craft_easy.core.events.operations.workers import WorkerStatus
from craft_easy.core.events.store.worker_registry import RunningDelivery
from tests.cli.conftest import Cli, Golden
from tests.support.history import BEGAN, HOSTILE, Log, delivery, record

FORMATS = ("table", "ndjson", "json", "csv")


def worker(owner: str, state: Any, events: int, silent_s: float) -> WorkerStatus:
    host, pid, _ = owner.rsplit(":", 2)
    beat_at = BEGAN + timedelta(days=1) - timedelta(seconds=silent_s)
    return WorkerStatus(owner, state, events, host, int(pid), BEGAN, beat_at, silent_s, 30.0)


CREW = [
    WorkerStatus("api-2:17:1f3c", "gone", 1_241),
    worker("api-3:4121:0a9b", "silent", 37, 252.5),
    worker("api-1:812:77de", "alive", 12, 3.2),
    worker("batch-1:9:c0de", "fenced", 0, 7_900.0),
]


pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> list[WorkerStatus]:
    """Set the workers."""
    found = list(CREW)

    async def workers(_: Any) -> list[WorkerStatus]:
        return found

    monkeypatch.setattr(library, "workers", workers)
    return found


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_shows_the_same_workers(cli: Cli, crew: list[WorkerStatus], golden: Golden, output: str) -> None:
    ended = cli("workers", "-o", output)
    assert ended.code == 0
    golden(f"workers.{output}", ended.out)
    assert ended.err == (
        "4 workers · 1 gone · 1 silent · 1 alive · 1 fenced"
        " · 1,278 events to be taken over: craft-events redispatch -m MODULE\n"
    )


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_columns_go_by_importance(
    cli: Cli, crew: list[WorkerStatus], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("workers", "-o", "table").out.splitlines()
    assert len(shown) == 5
    assert max(map(len, shown)) <= columns
    assert ("Last beat" in shown[0], "Lease" in shown[0]) == (columns >= 60, columns >= 80)


def test_what_runs_now_is_shown_with_its_event_and_for_how_long(cli: Cli, crew: list[WorkerStatus]) -> None:
    since = clock.now() - timedelta(minutes=3, seconds=5)
    running = (RunningDelivery("shop.video:cut", "019abf3e-0000-7000-8000-000000000001", since),)
    crew[:] = [replace(worker("api-1:812:77de", "alive", 1, 0), running=running)]
    shown = cli("workers", "-o", "table").out
    assert "Running now" in shown
    assert "3 min" in shown
    [row] = json.loads(cli("workers", "-o", "json").out)
    assert row["running"][0]["event_id"] == running[0].event_id


@pytest.mark.parametrize("output", FORMATS)
def test_no_format_prints_a_raw_character(cli: Cli, crew: list[WorkerStatus], output: str) -> None:
    crew[:] = [worker(f"{HOSTILE}:1:x", "alive", 0, 1), WorkerStatus(HOSTILE, "gone", 1)]
    ended = cli("workers", "-o", output)
    assert ended.code == 0
    assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


@pytest.mark.parametrize("output", FORMATS)
def test_a_log_without_workers_is_reported(cli: Cli, output: str) -> None:
    ended = cli("workers", "-o", output)
    assert (ended.code, ended.err) == (0, "no worker is registered, and none owns an open event\n")
    header = "owner,state,open,host,pid,started_at,beat_at,silent_s,lease,running\r\n"
    assert ended.out == {"json": "[]\n", "csv": header}.get(output, "")


def test_an_owner_that_is_not_registered_is_gone(cli: Cli, log: Log) -> None:
    log.insert(record(1, delivery=delivery("open") | {"owner": "api-2:17:1f3c"}))
    ended = cli("workers")
    assert json.loads(ended.out) == {
        "owner": "api-2:17:1f3c",
        "state": "gone",
        "open": 1,
        "host": None,
        "pid": None,
        "started_at": None,
        "beat_at": None,
        "silent_s": None,
        "lease": None,
        "running": [],
    }
    assert "1 gone · 1 event to be taken over" in ended.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["x"], 2, "unexpected extra argument(s) (x)"),
        (["--tenant", "x"], 2, "no such option: --tenant"),
        (["--uri", "mongodb://127.0.0.1:9/"], 4, "127.0.0.1:9"),
    ],
)
def test_an_impossible_request_is_an_error(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    ended = cli("workers", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
