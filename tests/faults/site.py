"""One log, one ledger, and the real processes that work on them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.store import EventStore
from tests.faults import workshop
from tests.support.conditions import until

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = workshop.__name__
Document = dict[str, Any]
Process = subprocess.Popen[str]

_COMMON: Final = ("stow", "label", "announce")
HANDLERS: Final = {
    "plain.made": _COMMON,
    "deadly.made": ("stow", "kill", "label", "announce"),
    "clinging.made": ("stow", "cling", "label", "announce"),
    "blocking.made": ("stow", "block", "label"),
    "patient.made": ("wait",),
    "endless.made": ("never", "stall"),
    "interrupted.made": ("interrupt",),
    "ordered.made": ("follow",),
}
"""The workshop's handlers of each event type, in the order that makes a test strict."""


class Site:
    """A database, a ledger, and processes; it ends the processes that are left.

    Args:
        uri: the server.
        database: its name.
        directory: for the ledger.
    """

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        self.uri = uri
        self.database = database
        self._ledger = directory / f"{database}.ledger"
        self._ledger.touch()
        self.go = directory / f"{database}.go"
        self._client: MongoClient[Document] = MongoClient(uri)
        self._processes: list[Process] = []

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        self._client.drop_database(self.database)
        self._client.close()

    def fill(self, event_type: str, count: int = 1, **values: Any) -> list[DomainEvent]:
        """Store undelivered events."""
        payload = values.pop("payload", {})
        events = [
            DomainEvent(event_type=event_type, payload={"number": number, **payload}, **values)
            for number in range(count)
        ]
        self.store(events, HANDLERS[event_type])
        return events

    def store(self, events: list[DomainEvent], handlers: Iterable[str]) -> None:
        """Store these events for handlers of the workshop."""

        async def append() -> None:
            async with EventStore(self.database, uri=self.uri) as store:
                await store.append_many(events, handlers=[f"{MODULE}:{handler}" for handler in handlers])

        asyncio.run(append())

    def redispatch(self, *options: str, lease: int = 30) -> Process:
        """Start the command; with a lease of 1, the shortest, the next one takes over soon."""
        back_off = () if "--watch" in options else ("--now",)  # a watch honours back-off
        command = ("redispatch", "-m", MODULE, "--lease", str(lease), "-o", "ndjson", *back_off, *options)
        return self.python("-m", "craft_events_cli", *command)

    def python(self, *arguments: str) -> Process:
        """Start a process with this database and this ledger."""
        environment = {
            **os.environ,
            "CRAFT_EVENTS_URI": self.uri,
            "CRAFT_EVENTS_DATABASE": self.database,
            workshop.LEDGER: str(self._ledger),
            workshop.GO: str(self.go),
        }
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    def lines(self, word: str | None = None) -> list[tuple[str, str]]:
        """Return the event × handler pairs of the ledger, in order, of one word or of all.

        An incomplete line is left out.
        """
        split = (line.split(" ") for line in self._ledger.read_text().split("\n")[:-1])
        return [(event, handler) for said, event, handler in split if word in (None, said)]

    def ran(self, word: str = "ran") -> Counter[tuple[str, str]]:
        """Return how often each event × handler is in the ledger."""
        return Counter(self.lines(word))

    def until_in_ledger(self, word: str, count: int = 1, *, seconds: float = 180) -> None:
        """Return when the ledger has this number of lines of a word."""
        until(lambda: len(self.lines(word)) >= count, seconds=seconds)

    def have_been_taken_over(self, times: int) -> None:
        """Set the number of take-overs of all records."""
        self._client[self.database]["event_log"].update_many({}, {"$set": {"delivery.takeovers": times}})

    def records(self) -> list[Document]:
        """Return the log."""
        return list(self._client[self.database]["event_log"].find())

    def delivery(self, event: DomainEvent) -> Document:
        """Return the record of an event."""
        [record] = self._client[self.database]["event_log"].find({"event_id": event.event_id})
        delivery: Document = record["delivery"]
        return delivery

    def workers(self) -> list[Document]:
        """Return the registry."""
        return list(self._client[self.database]["event_log_workers"].find())


def entries(delivery: Document) -> dict[str, Document]:
    """Return the handler entries of a record, by their names in the workshop."""
    return {one["id"].partition(":")[2]: one for one in delivery["handlers"]}


def said_until(process: Process, part: str) -> None:
    """Read the errors of a process up to a line that has this part."""
    assert process.stderr is not None
    for line in process.stderr:
        if part in line:
            return
    raise AssertionError(f"it ended without {part!r}")


def ended(process: Process, *, seconds: float = 180) -> tuple[int, str, str]:
    """Wait for a process to end; return its exit code and output."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err
