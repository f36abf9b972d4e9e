"""The ledger: what each process did, one line for each step, synced to the disk before the process continues.

Each process writes its own file; times are those of the system's steady clock, which all processes share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = "CRAFT_PROOF_LEDGER"
NAME: Final = "CRAFT_PROOF_NAME"
"""Environment variables: the directory of the ledger, and the name of the process in it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a process.

    Args:
        at: nanoseconds of the steady clock.
        name: the process.
        kind: intends, acknowledged, rolled back; began, ended, failed, broken off; published; holds a session.
        facts: details of the step.
    """

    at: int
    name: str
    kind: str
    facts: dict[str, Any]


def now() -> int:
    """Return the time in the form of the ledger."""
    return time.monotonic_ns()


def enter(kind: str, **facts: Any) -> None:
    """Write a line and return when it is on the disk."""
    line = {"at": now(), "kind": kind, **facts}
    file = _open(os.getpid())
    os.write(file, json.dumps(line).encode() + b"\n")
    os.fsync(file)


@cache
def _open(pid: int) -> int:
    path = Path(os.environ[DIRECTORY]) / f"{os.environ[NAME]}.{pid}"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def read(directory: Path) -> list[Line]:
    """Return the lines of all processes, in order of time; an incomplete line is left out."""
    return sorted((line for path in directory.iterdir() for line in _lines(path)), key=lambda line: line.at)


def _lines(path: Path) -> Iterator[Line]:
    for text in path.read_bytes().split(b"\n")[:-1]:
        facts = json.loads(text)
        yield Line(facts.pop("at"), path.stem, facts.pop("kind"), facts)


def of(directory: Path, name: str) -> list[Line]:
    """Return the lines of one process."""
    return [line for path in directory.glob(f"{name}.*") for line in _lines(path)]


def count(directory: Path, name: str, kind: str) -> int:
    """Return the number of lines of a kind that a process has written so far."""
    paths = directory.glob(f"{name}.*")
    return sum(path.read_bytes().count(f'"kind": "{kind}"'.encode()) for path in paths)
