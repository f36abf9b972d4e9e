"""A process is killed with SIGKILL while handlers run, and one `redispatch --wait` finishes its events.

Real processes on a real server. The runs of handlers are read from their own ledger, not from the log.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.store import EventStore
from tests.acceptance.warehouse import ledger
from tests.support.conditions import until
from tests.support.kill import armed

pytestmark = pytest.mark.slow

MODULE: Final = "tests.acceptance.warehouse.handlers"
ROOT: Final = Path(__file__).parents[2]
SEED: Final = 20_26
KILLS: Final = 3
UNPROCESSED: Final = 500
Document = dict[str, Any]


class Site:
    """One database, one ledger, and the processes that work on them."""

    def __init__(self, uri: str, directory: Path) -> None:
        self.uri = uri
        self.database = f"craft_test_{secrets.token_hex(6)}"
        self.ledger = directory / f"{self.database}.ledger"
        self._client: MongoClient[Document] = MongoClient(uri)
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        self._client.drop_database(self.database)
        self._client.close()

    def start(self, *command: str, kill_at: str = "") -> subprocess.Popen[str]:
        """Start a process with this database and this ledger; it may kill itself at a point."""
        environment = {
            **os.environ,
            **(armed(kill_at) if kill_at else {}),
            "CRAFT_EVENTS_URI": self.uri,
            "CRAFT_EVENTS_DATABASE": self.database,
            ledger.VARIABLE: str(self.ledger),
        }
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._processes.append(process)
        return process

    def redispatch(self, *, kill_at: str = "") -> subprocess.Popen[str]:
        """Start the repair, as an operator does."""
        program = str(Path(sys.executable).with_name("craft-events"))
        command = (program, "redispatch", "--wait", "--now", "--lease", "3", "-m", MODULE, "-o", "json")
        return self.start(*command, kill_at=kill_at)

    def handled(self) -> Counter[str]:
        """Return how often each delivery is in the ledger."""
        return ledger.read(self.ledger)

    def lines(self) -> int:
        """Return the number of lines of the ledger, quickly, because it is polled."""
        return self.ledger.read_bytes().count(b"\n") if self.ledger.exists() else 0

    def deliveries(self, *states: str) -> set[str]:
        """Return the deliveries that are in these states in the log; without states all of them."""
        return {
            f"{record['event_id']} {handler['id']}"
            for record in self.records()
            for handler in record["delivery"]["handlers"]
            if not states or handler["state"] in states
        }

    def records(self) -> list[Document]:
        """Return the log."""
        return list(self._client[self.database]["event_log"].find())


class Published:
    """Reads the ids of the publishes that have returned."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.ids: list[str] = []
        self._lines = process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._lines is not None
        self.ids += (line.strip() for line in self._lines if line.endswith("\n"))

    def join(self) -> list[str]:
        """Return all of them, after the end of the process."""
        self._thread.join(60)
        return self.ids


@pytest.fixture
def new_site(embedded_uri: str, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Create sites, and remove them."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Site(embedded_uri, tmp_path))


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, with SIGKILL."""
    assert process.poll() is None, f"it ended before: {process.communicate()}"
    process.kill()
    process.wait()


def test_a_publisher_killed_at_any_moment_leaves_nothing_undone_after_one_redispatch(
    new_site: Callable[[], Site],
) -> None:
    moments = random.Random(SEED).sample(range(1, 200), KILLS)
    sites = [new_site() for _ in moments]
    returned = [killed_at(moment, site) for moment, site in zip(moments, sites, strict=True)]
    in_flight = [site.deliveries("pending") for site in sites]
    repairs = [site.redispatch() for site in sites]
    for repair in repairs:
        out, err = repair.communicate(timeout=120)
        assert repair.returncode == 0, out + err

    assert any(in_flight), "no handler ran at the kill, so nothing was tested"
    for site, ids, unfinished in zip(sites, returned, in_flight, strict=True):
        check(site, ids, unfinished)


def killed_at(moment: int, site: Site) -> list[str]:
    """Publish until this number of deliveries was handled, kill, and return the events whose publish had returned."""
    process = site.start(sys.executable, "-m", "tests.acceptance.warehouse.publisher")
    published = Published(process)
    until(lambda: process.poll() is not None or site.lines() >= moment)
    kill(process)
    return published.join()


def check(site: Site, returned: list[str], in_flight: set[str]) -> None:
    """Compare the log with the ledger."""
    records, handled = site.records(), site.handled()
    repeated = {key for key, times in handled.items() if times > 1}

    assert set(returned) <= {record["event_id"] for record in records}, "a publish returned and its event is lost"
    assert {record["delivery"]["state"] for record in records} == {"done"}
    assert site.deliveries() == site.deliveries("done") == set(handled), "a delivery is missing"
    assert repeated <= in_flight, "a delivery ran again that was not in flight"
    assert all(times <= 2 for times in handled.values())


def test_a_redispatch_killed_in_the_middle_is_finished_by_the_next(new_site: Callable[[], Site]) -> None:
    site = new_site()
    asyncio.run(store_unprocessed(site))
    middle = random.Random(SEED).randrange(UNPROCESSED // 4, UNPROCESSED // 2)
    first = site.redispatch(kill_at=f"handler.returned:{middle}")
    out, err = first.communicate(timeout=120)
    assert first.returncode == -signal.SIGKILL, out + err
    left = site.deliveries("pending")
    assert 0 < len(left) < UNPROCESSED, "it was not killed in the middle"

    second = site.redispatch()
    out, err = second.communicate(timeout=120)

    assert second.returncode == 0, out + err
    assert len(site.records()) == UNPROCESSED
    check(site, [], left)


async def store_unprocessed(site: Site) -> None:
    """Store undelivered events."""
    events = [DomainEvent(event_type="item.stored", payload={"number": number}) for number in range(UNPROCESSED)]
    async with EventStore(site.database, uri=site.uri) as store:
        result = await store.append_many(events, handlers=[f"{MODULE}:stow"])
    assert result.stored == UNPROCESSED
