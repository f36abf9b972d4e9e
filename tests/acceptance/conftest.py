"""Fixtures of several modules of this folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft_easy.core.events.embedded.directory import Note
from tests.acceptance.embedded_log import is_served


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose server ends with the test."""
    path = Path(os.path.realpath(tmp_path)) / "log"
    yield path
    note = Note.read(path / "server.json")
    if note and is_served(path):
        os.kill(note.pid, signal.SIGKILL)
