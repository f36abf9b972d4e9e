"""The README is true: its code runs, its commands print what it shows, and what it names exists."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Final

import pytest

from craft_easy.core.events import embedded
from craft_easy.core.events.model import event_class
from craft_easy.core.events.settings import TABLE_KEYS
from craft_easy.core.events.testing import fresh_bus
from craft_events_cli import app
from craft_events_cli.demo.proof import Proof
from craft_events_cli.demo.story import _table
from craft_events_cli.errors import ExitCode
from tests.acceptance import examples
from tests.support.commands import COMMANDS

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
TEXT: Final = README.read_text()
COLUMNS: Final = 100
FOREIGN_OPTIONS: Final = {"--indent", "--see-a-loss", "--seed"}
"""Of other programs than the command line."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line where the text begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that a Python block is to be saved as."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else None


def blocks(*languages: str) -> list[Block]:
    """Return the README's fenced blocks in these languages."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    every = [Block(one[1], one[2], TEXT.count("\n", 0, one.start(2)) + 1) for one in found]
    return [block for block in every if block.language in languages]


FILES: Final = [block for block in blocks("python") if block.file]
EXAMPLES: Final = [block for block in blocks("python") if not block.file and not block.text.startswith("# examples/")]
"""What is shown of `examples/` is compared with it by `test_example`."""


# ---------------------------------------------------------------- code


@pytest.fixture
async def new_process(
    embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[None]:
    """What a new process has: an empty bus, the package's own event classes, settings in the environment."""
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)
    monkeypatch.chdir(tmp_path)
    with event_class.forgetting_classes(keep="craft_easy."), fresh_bus() as bus:
        yield
        await bus.aclose()


async def test_its_python_runs_from_top_to_bottom(new_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    with examples.module("readme", str(README)) as made:
        for block in EXAMPLES:
            await examples.run_in(made, block.text, line=block.line)
    assert capsys.readouterr().out == "receipt for p_1\nb_8 snow\nb_9 fog\n"


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the files of the quick start, and its embedded log at hand."""
    place = tmp_path_factory.mktemp("readme")
    for block in FILES:
        (place / str(block.file)).write_text(block.text)
    with embedded.join(place / "events", timeout=60):
        yield place


def test_its_commands_print_what_it_shows(shop: Path) -> None:
    exports: list[str] = []
    for block in blocks("console"):
        for command, shown in commands_of(block):
            if command.startswith("export "):
                exports.append(command)
                continue
            printed = on_a_terminal("\n".join([*exports, command]), shop)
            assert plain(printed) == plain(shown), f"README.md:{block.line}: {command}"
    assert exports, "no command was set up, so nothing was tested"


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a block and what is shown below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def on_a_terminal(command: str, directory: Path) -> str:
    """Run a command in a shell on a terminal of 100 columns and return all that it shows."""
    reader, descriptor = pty.openpty()
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=descriptor,
        cwd=directory,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "TERM": "xterm-256color"},
    ):
        os.close(descriptor)
        text = b""
        with suppress(OSError):  # on Linux the end of a terminal is an error
            while select.select([reader], [], [], 60)[0] and (some := os.read(reader, 1 << 16)):
                text += some
    os.close(reader)
    return text.decode()


def plain(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run: progress, times, durations, ids."""
    text = re.sub(r"[^\n]*\x1b\[K", "", text)
    for what, pattern in (
        ("ID", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{3,4}(?=…)"),
        ("DATE", r"\b(\d{4}-)?\d\d-\d\d\b(?=[T ])"),
        ("TIME", r"(\d{4}-\d\d-\d\d|\d\d-\d\d)?[T ]?\d\d:\d\d:\d\d(\.\d+)?Z?|\d\d:\d\d\b"),
        ("SERVER", r"127\.0\.0\.1:\d+|SecantusDB [\w.]+"),
        ("N", r"\d+\.\d+"),
    ):
        text = re.sub(pattern, what, text)
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: f"line {block.line}")
def test_its_shell_blocks_are_shell(block: Block) -> None:
    checked = subprocess.run(["/bin/sh", "-n"], input=block.text, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


# ---------------------------------------------------------------- names


def test_it_advertises_no_command_that_does_not_exist() -> None:
    named = set(re.findall(r"(?:^|[`$ (])craft-events ([a-z]+(?: list)?)", TEXT, re.MULTILINE))
    known = {*app.COMMANDS, *COMMANDS}
    assert {"replay", "tail", "redispatch", "handlers list", "serve", "completion"} <= named
    assert named - known == set()


def test_it_names_no_option_that_does_not_exist() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - FOREIGN_OPTIONS - {"--tennant", "--help"}
    known = {flag for command in COMMANDS.values() for flag in command.flags} | {"--version", "--handlers"}
    assert named - known == set()


def test_it_names_each_exit_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \| .+ \|$", TEXT, re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(",")] == [int(code) for code in ExitCode]


def test_its_settings_are_those_that_are_read() -> None:
    [block] = blocks("toml")
    assert set(tomllib.loads(block.text)["tool"]["craft-events"]) <= set(TABLE_KEYS)
    assert all(f"`{key}`" in TEXT for key in TABLE_KEYS)


def test_its_make_targets_exist() -> None:
    named = {name for block in blocks("sh") for name in re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif "://" not in link:
            assert (ROOT / link).exists(), link


def anchor(heading: str) -> str:
    """Return what a link to a heading says."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def test_the_count_of_the_demo_is_worded_as_the_demo_words_it() -> None:
    nothing = frozenset[str]()
    proof = Proof(nothing, nothing, nothing, nothing, nothing, Counter())
    for _, text in _table(proof):
        assert text in TEXT
