"""A replay that is killed repeatedly: each event handled, in order, few of them twice, and the log unchanged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.store import EventStore

pytestmark = pytest.mark.slow

EVENTS = 900
WINDOW = 300
"""For the killed replays; the real interval is longer."""
TENANTS = ("a", "b", "c", "d", None)
KILLED_AT = (150, 420, 720)
"""The number of lines in the ledger at which each run kills itself, over all runs."""

BOOKS = f"""
import asyncio, os, signal
from craft_easy.core.events import DomainEvent, event_handler, get_event_bus
from craft_easy.core.events.history import progress

progress.WINDOW = {WINDOW}

ledger = os.open("ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@event_handler("order.*")
async def book(event):
    slow = 4 if event.tenant_id == "a" else int(event.event_id[-1], 16) % 4 / 2
    await asyncio.sleep(slow / 1000)
    await get_event_bus().publish(DomainEvent(event_type="order.booked"))
    os.write(ledger, f"{{os.getpid()}} {{event.tenant_id}} {{event.event_id}}\\n".encode())
    if open("ledger").read().count("\\n") == int(os.environ["KILLED_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


async def fill(uri: str, database: str) -> list[DomainEvent]:
    began = datetime(2026, 1, 31, tzinfo=UTC)
    events = [
        DomainEvent(
            event_type="order.placed",
            tenant_id=TENANTS[number % len(TENANTS)],
            timestamp=began + timedelta(seconds=number // 3),
        )
        for number in range(EVENTS)
    ]
    async with EventStore(database, uri=uri) as store:
        await store.append_many(events, handlers=["books:book"])
    return sorted(events, key=lambda one: (one.timestamp, one.event_id))


def state(uri: str, name: str) -> str:
    """Return a hash of every byte of the log and the other collections."""
    digest = hashlib.sha256()
    with MongoClient[dict[str, Any]](uri) as client:
        for collection in sorted(client[name].list_collection_names()):
            digest.update(collection.encode())
            for document in client[name][collection].find().sort("_id", 1):
                digest.update(bson.encode(document))
    return digest.hexdigest()


def lines(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


def replay(
    directory: Path, uri: str, database: str, root: Path, *, killed_at: int = 0
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "craft_events_cli", "replay", "-m", "books", "--all-handlers", "--yes"]
    return subprocess.run(
        [*command, "--checkpoint", "point", "-o", "table"],
        cwd=directory,
        stderr=subprocess.PIPE,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "KILLED_AT": str(killed_at),
            "PYTHONPATH": str(root),
            "CRAFT_EVENTS_URI": uri,
            "CRAFT_EVENTS_DATABASE": database,
        },
    )


def test_a_replay_that_is_killed_three_times_handles_every_event(
    tmp_path: Path, embedded_uri: str, database_name: str, repository: Path
) -> None:
    (tmp_path / "books.py").write_text(BOOKS)
    ledger = tmp_path / "ledger"
    events = asyncio.run(fill(embedded_uri, database_name))
    before = state(embedded_uri, database_name)

    for number in KILLED_AT:
        killed = replay(tmp_path, embedded_uri, database_name, repository, killed_at=number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = replay(tmp_path, embedded_uri, database_name, repository)

    assert last.returncode == 0, last.stderr
    assert b"continuing from point" in last.stderr
    assert state(embedded_uri, database_name) == before
    check_ledger(lines(ledger), events)


def check_ledger(booked: list[list[str]], events: list[DomainEvent]) -> None:
    assert {event_id for _, _, event_id in booked} == {event.event_id for event in events}
    place = {event.event_id: number for number, event in enumerate(events)}
    by_run: defaultdict[str, list[str]] = defaultdict(list)
    by_lane: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for run, tenant, event_id in booked:
        by_run[run].append(event_id)
        by_lane[run, tenant].append(place[event_id])
    assert len(by_run) == len(KILLED_AT) + 1
    for numbers in by_lane.values():
        assert numbers == sorted(set(numbers))
    seen: set[str] = set()
    for handled in by_run.values():
        assert len(seen.intersection(handled)) <= WINDOW
        seen.update(handled)
