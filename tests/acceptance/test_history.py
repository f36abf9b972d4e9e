"""A long history through the log and the command line, and back, compared event by event.

CRAFT_EVENTS_TEST_HISTORY names a file of NDJSON, gzipped or not, with `event_id, event_type, timestamp, tenant_id,
actor_id, payload` on each line, ascending by time. Without it a history of the same shape is generated: skewed
tenants, many events at one time, odd names. Expected values are counted from the file.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.store import AppendResult, EventStore

GIVEN = os.environ.get("CRAFT_EVENTS_TEST_HISTORY", "")
PROGRAM = shutil.which("craft-events", path=str(Path(sys.executable).parent)) or "craft-events"
TYPES = ("resource.created", "resource.updated", "resource.deleted")
ODD_NAMES = (
    "docs/été.rst",
    "t/ spaced name.py",
    'quo"ted.txt',
    "tab\there",
    "=1+1",
    "-rf",
    "日本語.md",
    "\u202egpj.exe",
    "a\x1b[31mb",
)

pytestmark = pytest.mark.slow
Event = dict[str, Any]


def events_of_file(path: Path) -> list[Event]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.splitlines()]


def made_up(count: int = 5_000) -> list[Event]:
    """Return a history of files that are created, changed and removed; it is always the same."""
    chance = random.Random(7)
    tenants = ["celery"] * 60 + ["docs"] * 16 + [None] * 10 + ["t"] * 8 + ["funtests", "extra", "=odd", "requirements"]
    at, events = datetime(2009, 4, 24, 11, 30, tzinfo=UTC), []
    for _ in range(count):
        if chance.random() < 0.3:
            at += timedelta(seconds=chance.randrange(1, 50_000))
        events.append(_event(chance, at, chance.choice(tenants)))
    return events


def _event(chance: random.Random, at: datetime, tenant: str | None) -> Event:
    (kind,) = chance.choices(TYPES, [1, 14, 1])
    name = chance.choice(ODD_NAMES) if chance.random() < 0.02 else f"{tenant}/{chance.randrange(400)}.py"
    payload: Event = {"resource": "file", "item_id": name}
    if kind == "resource.updated":
        payload["changes"] = {"added": chance.randrange(90), "removed": chance.randrange(90)}
    return {
        "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "event_type": kind,
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "tenant_id": tenant,
        "actor_id": f"u_{chance.randrange(40):02x}",
        "payload": payload,
    }


def in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event["timestamp"], event["event_id"]))


@dataclass(frozen=True, slots=True)
class History:
    """A stored history, and the command line over it."""

    events: list[Event]
    stored: AppendResult
    where: list[str]

    def replay(self, *args: str) -> list[Event]:
        done = subprocess.run(
            [PROGRAM, "replay", *self.where, "-o", "ndjson", *args], capture_output=True, check=True, timeout=300
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def expected(self, **fields: Any) -> list[Event]:
        return [event for event in self.events if all(event[name] == value for name, value in fields.items())]


@pytest.fixture(scope="module")
def history(embedded_uri: str) -> Iterator[History]:
    events = events_of_file(Path(GIVEN)) if GIVEN else made_up()
    name = f"craft_test_history_{uuid.uuid4().hex[:8]}"

    async def load() -> AppendResult:
        async with EventStore(name, uri=embedded_uri) as store:
            return await store.append_many(
                DomainEvent(**event | {"timestamp": datetime.fromisoformat(event["timestamp"])}) for event in events
            )

    stored = asyncio.run(load())
    yield History(in_order(events), stored, ["--uri", embedded_uri, "--database", name])
    with MongoClient[Event](embedded_uri) as client:
        client.drop_database(name)


def plain(event: Event) -> Event:
    """Return the fields of an event in the file; the others are null."""
    assert (event["causation_id"], event["correlation_id"], event["delivery"]) == (None, None, None)
    return {name: event[name] for name in ("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload")}


def test_every_event_is_stored(history: History) -> None:
    assert history.stored == AppendResult(stored=len(history.events), present=0)


def test_the_whole_history_decoded_again_equals_the_file_event_by_event(history: History) -> None:
    printed = history.replay()
    assert len(printed) == len(history.events)
    for event, expected in zip(printed, history.events, strict=True):
        assert plain(event) == expected


@pytest.mark.parametrize("tenant", ["docs", "celery"])
def test_a_tenant_s_history_is_exactly_its_events_in_order(history: History, tenant: str) -> None:
    expected = history.expected(tenant_id=tenant)
    assert expected
    assert [plain(event) for event in history.replay("--tenant", tenant)] == expected


def test_events_without_a_tenant_are_exactly_those(history: History) -> None:
    expected = history.expected(tenant_id=None)
    assert [plain(event) for event in history.replay("--no-tenant")] == expected


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_is_as_often_there_as_in_the_file(history: History, kind: str) -> None:
    assert len(history.replay("--type", kind)) == len(history.expected(event_type=kind))


def test_a_window_of_time_holds_what_the_file_has_in_it(history: History) -> None:
    times = [event["timestamp"] for event in history.events]
    since, until = times[len(times) // 3], times[len(times) // 2]
    expected = [event for event in history.events if since <= event["timestamp"] < until]
    assert [plain(event) for event in history.replay("--since", since, "--until", until)] == expected


def test_a_window_that_begins_and_ends_within_many_events_of_one_time_cuts_between_times(history: History) -> None:
    (crowded, count), *_ = Counter(event["timestamp"] for event in history.events).most_common(1)
    assert count > 1
    after = (datetime.fromisoformat(crowded) + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
    assert len(history.replay("--since", crowded, "--until", after)) == count


def test_the_newest_come_first_in_reverse(history: History) -> None:
    printed = history.replay("--reverse", "--limit", "25")
    assert [plain(event) for event in printed] == history.events[:-26:-1]


def test_tail_begins_with_the_last(history: History) -> None:
    done = subprocess.run(
        [PROGRAM, "tail", "--no-follow", "-n", "25", *history.where], capture_output=True, check=True, timeout=60
    )
    assert [plain(json.loads(line)) for line in done.stdout.splitlines()] == history.events[-25:]
