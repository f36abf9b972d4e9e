"""Run the command line in process, or in a process of its own, with commands made for the tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from craft_easy.core.events.store import connection
from craft_events_cli import app
from tests.cli import stub
from tests.support.applications import REACT, application
from tests.support.history import Log

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code and output of a run."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]
Golden = Callable[[str, str], None]
Process = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def terminal_and_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A terminal with colours, and an empty directory to work in."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def log(embedded_uri: str, mongo_client: MongoClient[Any], database_name: str, monkeypatch: pytest.MonkeyPatch) -> Log:
    """An empty log, the default one."""
    log = Log(embedded_uri, database_name, mongo_client)
    mongo_client[database_name].create_collection("event_log")
    monkeypatch.setenv("CRAFT_EVENTS_URI", log.uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", log.database)
    return log


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """An application in the current directory: `shop.py`, with a handler for all events."""
    with application(tmp_path, {"shop.py": REACT}) as directory:
        yield directory


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a server that cannot be reached at once, and not after five seconds."""
    monkeypatch.setattr(connection, "CONNECT_DEADLINE", 0.2)


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the commands of `stub` to the application."""
    monkeypatch.setattr(app.app, "registered_commands", [])
    stub.register(app.app)


@pytest.fixture
def cli(stubs: None, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process."""

    def run(*args: str) -> Ended:
        capsys.readouterr()
        code = app.run(args)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Start the command line as a process, the stubs included."""

    def start(*args: str, before: str = "", **options: object) -> subprocess.Popen[bytes]:
        program = (
            f"{before}\nfrom craft_events_cli import app\nfrom tests.cli import stub\n"
            "stub.register(app.app); app.main()"
        )
        env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}  # type: ignore[dict-item]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path} | options
        command: Sequence[str] = [sys.executable, "-c", program, *args]
        return subprocess.Popen(command, env=env, **streams)  # type: ignore[call-overload,no-any-return]

    return start


@pytest.fixture
def golden() -> Golden:
    """Compare an output with the file that holds it; UPDATE_GOLDEN=1 writes the file, for review."""

    def compare(name: str, text: str) -> None:
        file = Path(__file__).parent / "golden" / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(text.encode())
        assert text.encode() == file.read_bytes()

    return compare
