"""Checkpoints: a position that survives, and is refused for another command, log or filter."""

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.bookmark import Bookmark
from craft_easy.core.events.history.changes import StreamPosition
from craft_easy.core.events.history.progress import Position, ProgressWriter


def made(
    path: Path, *, kind: str = "replay", log: str = "shop.event_log", filters: dict[str, Any] | None = None
) -> Checkpoint:
    return Checkpoint(path, kind=kind, log=log, filters={"type": ["payment.*"]} if filters is None else filters)


def test_a_new_checkpoint_has_no_position(tmp_path: Path) -> None:
    assert made(tmp_path / "point").read() is None
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_reads_what_was_written_last(tmp_path: Path) -> None:
    made(tmp_path / "point").write({"after": "a"})
    made(tmp_path / "point").write({"after": "b", "count": 2})
    assert made(tmp_path / "point").read() == {"after": "b", "count": 2}
    assert [one.name for one in tmp_path.iterdir()] == ["point"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    made(tmp_path / "point").write({})
    assert stat.S_IMODE((tmp_path / "point").stat().st_mode) == 0o600


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "point")
    made(tmp_path / "link").write({"after": "a"})
    assert (tmp_path / "link").is_symlink()
    assert made(tmp_path / "point").read() == {"after": "a"}


def test_an_empty_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "point").touch()
    assert made(tmp_path / "point").read() is None


def test_a_killed_write_keeps_the_former_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "point").write({"after": "a"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "point").write({"after": "b"})
    assert made(tmp_path / "point").read() == {"after": "a"}


def test_a_file_of_a_killed_write_does_not_disturb_the_next(tmp_path: Path) -> None:
    (tmp_path / ".point.new").write_bytes(b"half")
    made(tmp_path / "point").write({"after": "b"})
    assert made(tmp_path / "point").read() == {"after": "b"}
    assert [one.name for one in tmp_path.iterdir()] == ["point"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"kind": "tail"}, "the checkpoint of another command: tail, not replay"),
        ({"log": "shop.other"}, "the checkpoint of another log: shop.other, not shop.event_log"),
        ({"filters": {"type": ["order.*"]}}, 'other filters: type was ["order.*"] and is ["payment.*"]'),
        ({"filters": {}}, 'other filters: type was not given and is ["payment.*"]'),
        (
            {"filters": {"type": ["payment.*"], "since": "2h"}},
            'other filters: since was "2h" and is not given',
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_by_name(tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    made(tmp_path / "point", **other).write({"after": "a"})
    with pytest.raises(CheckpointError) as refused:
        made(tmp_path / "point").read()
    assert refused.value.message == f"{tmp_path / 'point'} {'was made with' if 'filters' in other else 'is'} {reason}"
    assert refused.value.hint


def test_filters_are_the_same_as_json_has_them(tmp_path: Path) -> None:
    made(tmp_path / "point", filters={"type": ("a", "b"), "limit": 3}).write({"after": "a"})
    assert made(tmp_path / "point", filters={"limit": 3, "type": ["a", "b"]}).read() == {"after": "a"}


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"kind": "replay"}',
        b'{"kind": "replay", "log": "shop.event_log", "filters": {"type": ["payment.*"]}, "position": "a"}',
        b'{"kind": "replay", "log": "shop.event_log", "filters": [], "position": {}}',
        b"[" * 100_000,
        b" " * 2_000_000,
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "point").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        made(tmp_path / "point").read()
    assert (tmp_path / "point").read_bytes() == content


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a directory"):
        made(tmp_path).read()


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a file on a disk"):
        made(tmp_path / "pipe").read()
    with pytest.raises(CheckpointError, match="not a file on a disk"), made(tmp_path / "pipe").lock():
        pass


@pytest.mark.parametrize("name", ["missing/point", "file/point"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot be (read|written)"):
        made(tmp_path / name).read()
    with pytest.raises(CheckpointError, match="cannot be written"), made(tmp_path / name).lock():
        pass
    with pytest.raises(CheckpointError, match="cannot be written"):
        made(tmp_path / name).write({})


def test_a_full_disk_keeps_the_former_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "point").write({"after": "a"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot be written: no space left on device"):
        made(tmp_path / "point").write({"after": "b"})
    assert made(tmp_path / "point").read() == {"after": "a"}
    assert [one.name for one in tmp_path.iterdir()] == ["point"]


def test_one_process_at_a_time_uses_it(tmp_path: Path) -> None:
    first, second = made(tmp_path / "point"), made(tmp_path / "point")
    with first.lock():
        with pytest.raises(CheckpointError, match="another process uses"), second.lock():
            pass
        first.write({"after": "a"})
        with pytest.raises(CheckpointError, match="another process uses"), second.lock():
            pass
        first.write({"after": "b"})
    with second.lock():
        assert second.read() == {"after": "b"}


def test_a_lock_that_wrote_nothing_leaves_no_file(tmp_path: Path) -> None:
    with made(tmp_path / "point").lock():
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from craft_easy.core.events.checkpoint import Checkpoint\n"
        "point = Checkpoint(sys.argv[1], kind='replay', log='shop.event_log', filters={'type': ['payment.*']})\n"
        "with point.lock():\n"
        "    point.write({'after': 'a'})\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "point")], check=False, timeout=60)
    with made(tmp_path / "point").lock():
        assert made(tmp_path / "point").read() == {"after": "a"}


def test_the_file_is_plain_json_with_its_command_and_log(tmp_path: Path) -> None:
    made(tmp_path / "point").write({"after": "a"})
    assert json.loads((tmp_path / "point").read_bytes()) == {
        "kind": "replay",
        "log": "shop.event_log",
        "filters": {"type": ["payment.*"]},
        "position": {"after": "a"},
    }


async def test_no_checkpoint_is_written_on_the_loop_of_a_replay_or_a_tail() -> None:
    on_loop: list[bool] = []

    class Threads:
        def write(self, _: object) -> None:
            on_loop.append(threading.current_thread() is threading.main_thread())

    kept = cast("Checkpoint", Threads())
    await ProgressWriter(kept, Position("r")).close(is_complete=True)
    await Bookmark(kept).begin(StreamPosition({"_data": "1"}, datetime(2026, 1, 31, tzinfo=UTC)))
    assert on_loop == [False, False]
