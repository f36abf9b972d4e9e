"""The server on the directory of an embedded log, and the numbers that the tests store in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo import MongoClient

from craft_easy.core.events import embedded
from craft_easy.core.events.embedded.directory import Directory


def is_served(path: Path) -> bool:
    """Return whether a server runs on the directory."""
    if not path.exists():
        return False
    place = Directory.open(path)
    try:
        return place.is_served()
    finally:
        place.close()


def client_of(log: embedded.EmbeddedLog) -> MongoClient[dict[str, Any]]:
    return MongoClient(log.uri, serverSelectionTimeoutMS=5_000)


def numbers_in(log: embedded.EmbeddedLog) -> set[int]:
    with client_of(log) as client:
        return {found["n"] for found in client.test.numbers.find()}
