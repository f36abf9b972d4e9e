"""The embedded log without a server: the cases that it refuses, and the files that it reads."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections import namedtuple
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import embedded
from craft_easy.core.events.embedded import server
from craft_easy.core.events.embedded.directory import MARK, Directory, Note
from craft_easy.core.events.errors import EmbeddedLogError

Version = namedtuple("Version", "major minor micro releaselevel serial")


@pytest.fixture
def without_root() -> Iterator[None]:
    """Drop root's rights for a while if the tests run as root, because root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(server, "distribution", missing)
    with pytest.raises(EmbeddedLogError, match="SecantusDB") as caught:
        embedded.join(tmp_path / "log")
    assert caught.value.hint == "pip install 'craft-events[embedded]'"
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("version", [(3, 14), (3, 15), (4, 0)])
def test_a_python_that_the_server_is_not_built_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", Version(*version, 0, "final", 0))
    with pytest.raises(EmbeddedLogError, match=rf"CPython 3.10 to 3.13; this is CPython {version[0]}.{version[1]}"):
        embedded.join(tmp_path / "log")


def test_another_python_than_cpython_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(EmbeddedLogError, match="this is PyPy 3"):
        embedded.join(tmp_path / "log")


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EmbeddedLogError, match="not on Windows") as caught:
        embedded.join(tmp_path / "log")
    assert caught.value.hint


def test_the_program_is_the_one_of_this_environment() -> None:
    (program,) = server.find_program()
    assert program == os.path.realpath(Path(sys.executable).with_name("secantusd-py"))


def test_a_distribution_without_its_script_is_run_as_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Scriptless:
        files = None

    monkeypatch.setattr(server, "distribution", lambda _name: Scriptless())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert server.find_program() == [str(tmp_path / "python"), "-m", "secantus"]


def test_a_directory_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear to me")
    with pytest.raises(EmbeddedLogError, match="holds other files"):
        embedded.join(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused_as_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(EmbeddedLogError, match="is not a directory"):
            embedded.join(path)


@pytest.mark.usefixtures("without_root")
def test_a_directory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(EmbeddedLogError, match=r"cannot use /etc/events: Permission denied") as caught:
        Directory.open("/etc/events")
    assert caught.value.hint == "name a directory that you may write to"


def test_files_of_the_system_do_not_make_a_directory_foreign(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").touch()
    Directory.open(tmp_path).close()
    assert (tmp_path / MARK).exists()


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = Directory.open("~/events")
    place.close()
    assert place.path == Path(os.path.realpath(tmp_path)) / "events"


def test_a_new_directory_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    Directory.open(tmp_path / "log").close()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', '{"pid": "x", "port": 1, "nonce": ""}', "\xff"])
def test_an_invalid_note_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text, encoding="latin-1")
    assert Note.read(tmp_path / "server.json") is None


def test_the_gate_admits_one_at_a_time(tmp_path: Path) -> None:
    first, second = Directory.open(tmp_path), Directory.open(tmp_path)
    with (
        first.gate(0),
        pytest.raises(EmbeddedLogError, match="another process keeps starting or stopping"),
        second.gate(0),
    ):
        pass
    with second.gate(0):
        pass
    first.close()
    second.close()


def test_the_last_user_is_detected(tmp_path: Path) -> None:
    first, second = Directory.open(tmp_path), Directory.open(tmp_path)
    first.enter(0)
    second.enter(0)
    assert not first.is_last()
    first.close()
    assert second.is_last()
    second.close()


def test_a_file_system_without_locks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = Directory.open(tmp_path)

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        with pytest.raises(EmbeddedLogError, match="does not support locks") as caught, place.gate(0):
            pass
    assert caught.value.hint == "put the embedded event log on a local disk"
    place.close()


def test_the_server_gets_none_of_this_interpreters_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("COVERAGE_PROCESS_START", "x")
    monkeypatch.setenv("PYTHONPATH", "/kept")
    seen = server._environment()
    assert "PYTHONWARNINGS" not in seen
    assert "COVERAGE_PROCESS_START" not in seen
    assert seen["PYTHONPATH"] == "/kept"
    assert seen["PATH"] == os.environ["PATH"]
