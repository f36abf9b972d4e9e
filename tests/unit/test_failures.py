"""The file of failed deliveries: created at the first failure, and never the file that is being read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from craft_events_cli import event_ids
from craft_events_cli.errors import UsageError
from craft_events_cli.output import failures
from craft_events_cli.output.failures import Failures, FailuresLost

ROW = {"event_id": "a", "handler": "h", "outcome": "failed", "error": "\x1b[31m"}


def test_each_failure_is_in_the_file_at_once_and_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    with Failures(path) as file:
        file.write(ROW)
        assert event_ids.read(str(path)) == {"a": frozenset({"h"})}
    assert b"\x1b" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_run_starts_a_new_file_and_a_continued_one_appends(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    for goes_on, expected in ((False, 1), (True, 2), (False, 1)):
        with Failures(path, goes_on=goes_on) as file:
            file.write(ROW)
        assert len(path.read_text().splitlines()) == expected


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Failures(None) as file:
        file.write(ROW)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--failures-out"):
        Failures(tmp_path / "missing" / "failed")


def test_a_full_disk_ends_the_run() -> None:
    with Failures(Path("/dev/full"), goes_on=True) as file, pytest.raises(FailuresLost, match="no space left"):
        file.write(ROW)


def test_the_input_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    path.touch()
    os.link(path, tmp_path / "same")
    with pytest.raises(UsageError, match="name the same file"):
        failures.check(tmp_path / "same", path)
    for out, read in ((None, path), (path, None), (path, Path("-")), (tmp_path / "other", path)):
        failures.check(out, read)
