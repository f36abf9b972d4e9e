"""Fixtures of several modules of this folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from craft_easy.core.events.embedded.directory import Note
from tests.acceptance.embedded_log import is_served

HERE: Final = Path(__file__).parent
COVERED: Final = "test_embedded.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of processes, whose lines no coverage sees."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.name != COVERED:
            item.add_marker(pytest.mark.waiting)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose server ends with the test."""
    path = Path(os.path.realpath(tmp_path)) / "log"
    yield path
    note = Note.read(path / "server.json")
    if note and is_served(path):
        os.kill(note.pid, signal.SIGKILL)
