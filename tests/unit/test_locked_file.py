"""The lock that a checkpoint, an export and a file archive share, and systems without locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from craft_easy.core.events import locked_file
from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import ArchiveError, CheckpointError, InvalidSetting
from craft_easy.core.events.operations.prune import FileArchive
from craft_easy.core.events.target import Target

WITHOUT_LOCKS = """
import asyncio, sys
from craft_easy.core.events import errors
sys.platform, sys.modules["fcntl"] = "win32", None
from craft_easy.core.events import checkpoint, target
"""


def test_a_second_lock_of_the_same_file_is_refused(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert locked_file.try_lock(first)
    assert not locked_file.try_lock(second)
    os.close(first)
    assert locked_file.try_lock(second)
    os.close(second)


def test_modules_that_lock_files_can_be_imported_without_fcntl() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_LOCKS], check=True)


async def test_a_file_that_needs_a_lock_is_refused_on_windows_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(CheckpointError, match="Windows"):
        Checkpoint(tmp_path / "point", kind="tail", log="shop.event_log", filters={})
    with pytest.raises(InvalidSetting, match="Windows"):
        Target(tmp_path / "events.ndjson")
    with pytest.raises(ArchiveError, match="Windows"):
        await FileArchive(tmp_path / "archive.ndjson").__aenter__()
    assert os.listdir(tmp_path) == []
