"""`craft-events serve`: its address, its signals, and a server that it shares or loses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from pymongo import MongoClient

from craft_easy.core.events import embedded
from craft_easy.core.events.embedded import server
from craft_easy.core.events.embedded.directory import Note
from tests.acceptance.embedded_log import is_served, numbers_in

pytestmark = pytest.mark.slow


class Serving:
    """`craft-events serve` in its own process group, as a terminal starts it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "craft_events_cli", "serve", str(directory), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def address(self) -> str:
        """Return the line on stdout."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal to the whole group, as Ctrl-C does; return the exit code and stderr."""
        os.killpg(self.process.pid, number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and stderr."""
        rest, said = self.process.communicate(timeout=60)
        assert rest == "", "the address is the only line of data"
        return self.process.returncode, said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_serve_prints_its_address_and_a_signal_stops_it(directory: Path, number: signal.Signals, code: int) -> None:
    with Serving(directory) as serving:
        uri = serving.address().strip()
        with MongoClient[dict[str, Any]](uri) as client:
            client.test.numbers.insert_one({"n": 1})
        ended, said = serving.end(number)
    assert ended == code
    assert f"craft-events tail --uri embedded:{directory}" in said
    assert said.endswith(f"stopped; the events stay in {directory}\n")
    assert not is_served(directory)
    with embedded.join(directory) as log:
        assert numbers_in(log) == {1}


def test_serve_listens_on_the_given_port(directory: Path) -> None:
    port = server._free_port()
    with Serving(directory, "--port", str(port)) as serving:
        assert f":{port}/" in serving.address()
        assert serving.end(signal.SIGINT)[0] == 130


def test_serve_does_not_stop_a_log_that_others_use(directory: Path) -> None:
    with Serving(directory) as serving:
        uri = serving.address().strip()
        with embedded.join(directory) as log:
            assert log.uri == uri
            code, said = serving.end(signal.SIGINT)
            assert code == 130
            assert said.endswith("other processes use it: it runs until the last of them ends\n")
            assert numbers_in(log) == set()
    assert not is_served(directory)


def test_serve_reports_that_its_server_was_killed(directory: Path) -> None:
    with Serving(directory) as serving:
        serving.address()
        note = Note.read(directory / "server.json")
        assert note
        os.kill(note.pid, signal.SIGKILL)
        code, said = serving.ended()
    assert code == 4
    assert "was ended by another process" in said
    assert "Traceback" not in said


def test_serve_refuses_a_directory_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with Serving(tmp_path) as serving:
        code, said = serving.ended()
    assert code == 4
    assert said.splitlines() == [
        f"error: {os.path.realpath(tmp_path)} holds other files and is not an embedded event log",
        "name a new or an empty directory",
    ]


@pytest.mark.parametrize("port", ["0", "-1", "65536", "x", "８０"])
def test_serve_refuses_an_invalid_port(directory: Path, port: str) -> None:
    with Serving(directory, f"--port={port}") as serving:
        code, said = serving.ended()
    assert code == 2
    assert "--port" in said
    assert not directory.exists()
