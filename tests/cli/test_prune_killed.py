"""A pruning that is killed with `kill -9`: every record is in the archive or the log, and the next run continues."""

import gzip
import json
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.conftest import Process
from tests.support import kill
from tests.support.conditions import until
from tests.support.history import BEGAN, Log, delivery, record

pytestmark = pytest.mark.slow

RECORDS = 60
SMALL_PAGES = "from craft_easy.core.events.store.queries import prune; prune.PRUNE_PAGE = 7"
FILES = ("old.ndjson", "old.ndjson.gz")


@pytest.fixture
def log(log: Log) -> Log:
    ended = delivery("done") | {"finished_at": BEGAN}
    log.insert(*(record(number, delivery=ended) for number in range(1, RECORDS + 1)))
    return log


def prune(process: Process, place: str, *, kill_at: str = "") -> subprocess.Popen[bytes]:
    arguments = ("prune", "--older-than", "90d", "--archive", place, "--yes", "-o", "json")
    return process(*arguments, before=SMALL_PAGES, env=kill.armed(kill_at) if kill_at else {})


def ended(running: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=60)
    return running.returncode, out.decode(), err.decode()


def in_log(log: Log) -> set[str]:
    return {one["event_id"] for one in log.events.find({}, {"event_id": 1})}


def archived(log: Log, folder: Path, place: str) -> Counter[str]:
    """Count the archived events by id; an incomplete line of a killed run is not counted."""
    if place not in FILES:
        events = log.client[log.database]["old_events"]
        return Counter(one["event_id"] for one in events.find({}, {"event_id": 1}))
    path = folder / place
    if not path.exists():
        return Counter()
    whole = whole_lines(path)
    return Counter(json.loads(line)["event_id"] for line in whole)


def whole_lines(path: Path) -> list[bytes]:
    if path.suffix != ".gz":
        return path.read_bytes().splitlines(keepends=True)[: path.read_bytes().count(b"\n")]
    found: list[bytes] = []
    try:
        with gzip.open(path) as lines:
            found += lines
    except EOFError:
        pass
    return found


def check(log: Log, folder: Path, place: str) -> None:
    assert in_log(log) | set(archived(log, folder, place)) == {
        record(number)["event_id"] for number in range(1, RECORDS + 1)
    }


@pytest.mark.parametrize(
    ("point", "place"),
    [
        ("prune.copied", "old.ndjson"),
        ("prune.copied", "collection:old_events"),
        ("prune.verified", "old.ndjson.gz"),
        ("prune.removed", "old.ndjson"),
    ],
)
def test_a_killed_run_loses_nothing_and_the_next_one_continues(
    process: Process, log: Log, tmp_path: Path, point: str, place: str
) -> None:
    assert ended(prune(process, place, kill_at=f"{point}:3"))[0] == -signal.SIGKILL
    check(log, tmp_path, place)
    removed = RECORDS - len(in_log(log))
    assert removed == (21 if point == "prune.removed" else 14)

    code, out, _ = ended(prune(process, place))
    assert (code, json.loads(out)["events"]) == (0, RECORDS - removed)
    assert in_log(log) == set()
    found = archived(log, tmp_path, place)
    assert len(found) == RECORDS
    again = 0 if point == "prune.removed" or place not in FILES else 7
    assert found.total() == RECORDS + again


@pytest.mark.parametrize("place", FILES)
def test_whenever_it_is_killed_nothing_is_lost(process: Process, log: Log, tmp_path: Path, place: str) -> None:
    chance, path = random.Random(20_26), tmp_path / place
    for _ in range(3):
        running = prune(process, place)
        enough = (path.stat().st_size if path.exists() else 0) + chance.randrange(2_000)
        until(lambda: running.poll() is not None or (path.exists() and path.stat().st_size > enough))  # noqa: B023
        running.kill()
        running.communicate()
        check(log, tmp_path, place)
    assert ended(prune(process, place))[0] == 0
    check(log, tmp_path, place)
    assert in_log(log) == set()


def test_a_stop_ends_running_deliveries_and_reports_the_position(process: Process, log: Log, tmp_path: Path) -> None:
    slow = (
        f"{SMALL_PAGES}\nimport os, signal\nremove = prune.remove\n"
        "async def then_stop(*args):\n    left = await remove(*args)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    return left\n"
        "prune.remove = then_stop"
    )
    arguments = ("prune", "--older-than", "90d", "--archive", "old.ndjson", "--yes")
    code, _, err = ended(process(*arguments, before=slow))
    assert code == 130
    assert "7 events removed before the interruption" in err
    check(log, tmp_path, "old.ndjson")
