"""`craft-events demo` as a process: its output, its comparison, and no leftovers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Final

import pytest

from craft_events_cli import app
from craft_events_cli.demo import story
from tests.support.conditions import until

pytestmark = pytest.mark.slow

SHOP: Final = "craft_events_cli.demo.shop"
"""Not imported here: it subscribes its handlers on the bus of the process and claims `order.placed`."""
PROGRAM: Final = str(Path(sys.executable).with_name("craft-events"))
LIMIT: Final = 240.0
"""The time limit of a demo in seconds."""
COLUMNS: Final = 60


@dataclass
class Run:
    """A demo that has ended."""

    directory: Path
    code: int = -1
    text: str = ""
    seconds: float = 0.0
    servers: set[int] = field(default_factory=set)

    def number(self, text: str) -> int:
        """Return the number before a text in the comparison."""
        [found] = re.findall(rf" ([0-9,]+) {re.escape(text)}", self.words)
        return int(found.replace(",", ""))

    @property
    def words(self) -> str:
        """The output, without colours and line breaks."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", self.text).split())


def environment(directory: Path) -> dict[str, str]:
    """Return an environment with a directory for temporary files, where they can be counted."""
    return {**os.environ, "TMPDIR": str(directory), "TERM": "xterm-256color"}


def play(directory: Path, *args: str, descriptor: int = subprocess.PIPE) -> Run:
    """Run a demo to its end and record the servers that it started."""
    run, began = Run(directory), time.monotonic()
    with subprocess.Popen(
        [PROGRAM, "demo", *args],
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=subprocess.STDOUT if descriptor == subprocess.PIPE else descriptor,
        env=environment(directory),
        cwd=directory,
    ) as process:
        while process.poll() is None and time.monotonic() - began < 2 * LIMIT:
            run.servers |= servers_of(directory)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.kill()
        run.text = process.stdout.read().decode() if process.stdout else ""
    run.code, run.seconds = process.returncode, time.monotonic() - began
    return run


def play_on_a_terminal(directory: Path, *args: str) -> Run:
    """Run a demo on a narrow terminal."""
    reader, descriptor = pty.openpty()
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(read_all, reader)
        try:
            run = play(directory, *args, descriptor=descriptor)
        finally:
            os.close(descriptor)
        run.text = text.result(10)
    os.close(reader)
    return run


def read_all(descriptor: int) -> str:
    """Read a terminal until its end."""
    text = b""
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while select.select([descriptor], [], [], 2 * LIMIT)[0] and (some := os.read(descriptor, 1 << 16)):
            text += some
    return text.decode()


def servers_of(directory: Path) -> set[int]:
    """Return the process ids of embedded logs below a directory."""
    found = set()
    for file in directory.glob("**/server.json"):
        with suppress(OSError, ValueError):
            found.add(json.loads(file.read_text())["pid"])
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not reaped, as in some containers, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Two demos, run at the same time: one into a pipe, and one on a narrow terminal that keeps its log."""
    piped, kept = tmp_path_factory.mktemp("piped"), tmp_path_factory.mktemp("kept")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(play, piped), pool.submit(play_on_a_terminal, kept, "--dir", "shop")
        yield {"piped": first.result(), "kept": second.result()}


@pytest.fixture(params=["piped", "kept"])
def run(request: pytest.FixtureRequest, played: dict[str, Run]) -> Run:
    """Each of the two in turn."""
    found: Run = played[request.param]
    return found


def test_it_ends_well_and_in_time(run: Run) -> None:
    assert run.code == 0, run.text
    assert run.seconds < LIMIT
    assert "Nothing is missing." in run.words


def test_each_of_the_four_commands_is_shown_as_one_would_type_it(run: Run) -> None:
    for command in ("handlers list", "tail", "replay", "redispatch --wait"):
        assert re.search(rf"^(\x1b\[[0-9;]*m)?\$ craft-events {command}", run.text, re.MULTILINE), command
    assert "taking over in" in run.words


def test_the_handlers_are_those_of_the_shop(played: dict[str, Run]) -> None:
    for handler in ("reserve_stock", "book_payment", "send_mail", "write_audit"):
        assert f"{SHOP}:{handler}" in played["piped"].text


def test_its_numbers_are_those_of_a_repair(run: Run) -> None:
    published, stored = run.number("publishes had returned"), run.number("events are in the log: none")
    assert story.EVENTS <= published <= stored
    assert run.number("deliveries belong to them") == run.number("of them are in the ledger: none is missing")
    assert run.number("were in flight at the kill") > 0
    assert run.number("of these ran twice") <= run.number("were in flight at the kill")
    assert run.number("others ran twice") == 0


def test_it_suggests_the_next_command(run: Run) -> None:
    _, _, next_steps = run.text.partition("What to type next")
    assert next_steps.count("craft-events ") >= 2


def test_no_process_is_left(run: Run) -> None:
    [publisher] = re.findall(r"Process ([0-9]+)", run.text)
    assert run.servers, "no server was found, so nothing was tested"
    assert [pid for pid in (int(publisher), *run.servers) if is_alive(pid)] == []


def test_a_pipe_gets_plain_text(played: dict[str, Run]) -> None:
    assert "\x1b" not in played["piped"].text


def test_a_terminal_gets_colours_and_the_story_fits_a_narrow_one(played: dict[str, Run]) -> None:
    text = played["kept"].text
    assert "\x1b[1m1  An event log of its own\x1b[0m" in text
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.startswith("   ")]
    assert len(lines) > 20
    assert max(map(len, lines)) <= COLUMNS


def test_the_temporary_directory_is_removed(played: dict[str, Run]) -> None:
    assert list(played["piped"].directory.iterdir()) == []


def test_a_given_directory_is_kept_with_its_log(played: dict[str, Run]) -> None:
    run = played["kept"]
    log = f"embedded:{run.directory / 'shop' / 'events'}"
    printed = subprocess.run([PROGRAM, "replay", "--uri", log, "-o", "ndjson"], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert len(printed.stdout.splitlines()) == run.number("events are in the log")
    assert [path.name for path in run.directory.iterdir()] == ["shop"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_demo_that_is_broken_off_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [PROGRAM, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        text = ""
        while "craft-events tail" not in text and (line := process.stdout.readline()):
            text += line
        servers = servers_of(tmp_path)
        os.killpg(process.pid, number)
        rest, errors = process.communicate(timeout=LIMIT)
    [publisher] = re.findall(r"Process ([0-9]+)", text)
    assert servers
    assert process.returncode == code, rest + errors
    assert "Traceback" not in rest + errors
    until(lambda: not any(is_alive(pid) for pid in (int(publisher), *servers)))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert app.run(["demo", "--dir", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_the_extra_the_error_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib.metadata import PackageNotFoundError

    from craft_easy.core.events.embedded import server

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(server, "distribution", missing)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert app.run(["demo"]) == 4
    assert app.run(["demo", "--dir", str(tmp_path / "kept")]) == 4
    errors = capsys.readouterr().err
    assert "needs SecantusDB" in errors
    assert "pip install 'craft-events[embedded]'" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_count_that_is_wrong_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "tell", lambda *_args, **_options: False)
    assert app.run(["demo"]) == 3
