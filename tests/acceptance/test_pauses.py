"""A handler is paused while a publisher and a watch run as processes of their own; both learn of it by a heartbeat."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from tests.support.conditions import until

pytestmark = pytest.mark.slow

LEASE: Final = 3.0
MAIL, STOCK = "shop:mail", "shop:stock"
SLACK: Final = 2.0
"""Seconds for a busy machine."""
SHOP: Final = """
import os, time
from craft_easy.core.events import event_handler

def note(name, event):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{name} {event.event_id} {time.time()}\\n")

@event_handler("*")
async def mail(event):
    note("mail", event)

@event_handler("*")
async def stock(event):
    note("stock", event)
"""
PUBLISHER: Final = f"""
import asyncio
import shop
from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.store import EventStore

async def main():
    async with EventStore() as store, get_event_bus() as bus:
        bus.configure_store(store, lease={LEASE})
        while True:
            await bus.publish(DomainEvent(event_type="order.placed"))
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


class Site:
    """One database, one ledger of the runs of handlers, and the processes that work on them."""

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        (directory / "shop.py").write_text(SHOP)
        (directory / "publisher.py").write_text(PUBLISHER)
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self.events = self.client[database]["event_log"]
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self._directory = directory
        self._environment = {
            **os.environ,
            "CRAFT_EVENTS_URI": uri,
            "CRAFT_EVENTS_DATABASE": database,
            "CRAFT_EVENTS_HANDLERS": "shop",
            "LEDGER": str(self.ledger),
        }
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started = subprocess.Popen([sys.executable, *command], cwd=self._directory, env=self._environment, **pipes)  # type: ignore[call-overload]
        self._processes.append(started)
        return started  # type: ignore[no-any-return]

    def craft_events(self, *words: str) -> str:
        """Run a command to its end and return what it wrote to stderr."""
        _, err = (ended := self.start("-m", "craft_events_cli", *words)).communicate(timeout=60)
        assert ended.returncode == 0, err
        return err

    def runs(self, handler: str) -> dict[str, list[float]]:
        """Return when each event was handled."""
        found: dict[str, list[float]] = {}
        for line in self.ledger.read_text().splitlines():
            name, event_id, at = line.split()
            if name == handler:
                found.setdefault(event_id, []).append(float(at))
        return found

    def last_run(self, handler: str) -> float:
        return max(at for times in self.runs(handler).values() for at in times)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        self.client.close()


@pytest.fixture
def site(embedded_uri: str, database_name: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(embedded_uri, database_name, tmp_path)
    try:
        yield site
    finally:
        site.close()


def test_a_publisher_and_a_watch_leave_a_paused_handler_alone_within_a_heartbeat(site: Site) -> None:
    publisher = site.start("publisher.py")
    watch = site.start("-m", "craft_events_cli", "redispatch", "--watch", "--lease", f"{LEASE:g}s")
    until(lambda: len(site.runs("mail")) > 20, seconds=60)

    site.craft_events("handlers", "pause", MAIL, "--reason", "the mail server is down", "--yes")
    paused_at = time.time()
    until(lambda: time.time() > paused_at + LEASE / 3 + SLACK)
    until(lambda: len(site.runs("stock")) > len(site.runs("mail")) + 50, seconds=60)
    assert site.last_run("mail") < paused_at + LEASE / 3 + SLACK
    assert publisher.poll() is None
    waiting = list(site.events.find({"delivery.handlers": {"$elemMatch": {"id": MAIL, "state": "pending"}}}))
    assert len(waiting) > 20
    entries = [one for record in waiting for one in record["delivery"]["handlers"] if one["id"] == MAIL]
    assert {(one["attempts"], one["crashes"]) for one in entries} == {(0, 0)}

    resumed_at = time.time()
    site.craft_events("handlers", "resume", MAIL, "--yes")
    publisher.kill()
    published = {record["event_id"] for record in site.events.find()}
    until(lambda: set(site.runs("mail")) == published, seconds=60)
    assert site.last_run("mail") > resumed_at
    watch.terminate()
    _, said = watch.communicate(timeout=60)
    assert f"{MAIL} is paused" in said
    assert "(the mail server is down)" in said
    assert f"{MAIL} is resumed" in said
    killed = {event_id for event_id, times in site.runs("mail").items() if len(times) > 1}
    assert len(killed) <= 1, "only the one whose publisher was killed may have run twice"


def test_a_run_after_an_outage_delivers_what_waited(site: Site) -> None:
    publisher = site.start("publisher.py")
    until(lambda: len(site.runs("mail")) > 5, seconds=60)
    site.craft_events("handlers", "pause", MAIL, "--yes")
    until(lambda: len(site.runs("stock")) > len(site.runs("mail")) + 20, seconds=60)
    publisher.kill()
    said = site.craft_events("redispatch", "--lease", f"{LEASE:g}s")
    assert f"for {MAIL}, paused" in said
    assert len(site.runs("stock")) == site.events.count_documents({})
    site.craft_events("handlers", "resume", MAIL, "--yes")
    site.craft_events("redispatch", "--now", "--lease", f"{LEASE:g}s")
    assert len(site.runs("mail")) == site.events.count_documents({"delivery.state": "done"})
    assert site.events.count_documents({"delivery.state": {"$ne": "done"}}) == 0
