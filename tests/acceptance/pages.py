"""The pages of the documentation: their blocks, and their commands, run as a reader types them.

    python -m tests.acceptance.pages docs/howto/history.md

runs a page's commands and replaces outputs in the page that differ.
"""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fcntl import ioctl
from itertools import groupby
from pathlib import Path
from typing import Final

from craft_easy.core.events import embedded

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
PAGES: Final = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
COLUMNS: Final = 100
ID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
HANDLERS_PRINT: Final = ("reserved ", "mailed ")
"""The beginnings of the lines that the shop's handlers print: several events are delivered in any order."""
_BAR: Final = "▁▂▃▄▅▆▇█▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line where the text begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file to save a Python block as."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else None

    @property
    def is_excerpt(self) -> bool:
        """True if it shows lines of `examples/`, which `test_example` compares."""
        return self.text.startswith("# examples/")


@dataclass(frozen=True)
class Command:
    """A command of a console block and its output."""

    words: str
    shown: str
    line: int


@dataclass(frozen=True)
class Ran:
    """A command that ran, and its output with the page's event ids in place of its own."""

    command: Command
    printed: str


def name_of(page: Path) -> str:
    """Return a page's path inside the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return a page's fenced blocks in these languages."""
    text = page.read_text()
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    every = [Block(one[1], one[2], text.count("\n", 0, one.start(2)) + 1) for one in found]
    return [block for block in every if block.language in languages]


def commands(page: Path) -> list[Command]:
    """Return the commands of a page's console blocks."""
    return [command for block in blocks(page, "console") for command in _commands_of(block)]


def _commands_of(block: Block) -> Iterator[Command]:
    for one in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        yield Command(one[1], one[2], block.line + block.text.count("\n", 0, one.start()))


def write_files(page: Path, directory: Path) -> None:
    """Save the files of the README's quick start, and the page's own, into a directory."""
    for block in [*blocks(README, "python"), *blocks(page, "python")]:
        if block.file:
            (directory / block.file).write_text(block.text)


def run(page: Path, directory: Path) -> Iterator[Ran]:
    """Run a page's commands in a directory, one after another, with the embedded log of the page."""
    write_files(page, directory)
    exports: list[str] = []
    ids: dict[str, str] = {}
    with ExitStack() as stack:
        for command in commands(page):
            if command.words.startswith("export "):
                exports.append(command.words)
                for name in re.findall(r"embedded:(\S+)", command.words):
                    stack.enter_context(embedded.join(directory / name, timeout=60))
                continue
            printed = on_a_terminal("\n".join([*exports, _replace(command.words, ids)]), directory)
            pairs = zip(ID.findall(command.shown), ID.findall(printed), strict=False)
            ids |= {shown: new for shown, new in pairs if shown not in ids}
            yield Ran(command, _replace(printed, {new: shown for shown, new in ids.items()}))


def _replace(text: str, ids: dict[str, str]) -> str:
    return ID.sub(lambda found: ids.get(found[0], found[0]), text)


def on_a_terminal(command: str, directory: Path) -> str:
    """Run a command in a shell on a terminal of 100 columns and return its output."""
    reader, descriptor = pty.openpty()
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRAFT_EVENTS_")}
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=descriptor,
        cwd=directory,
        env={**environment, "PATH": path, "NO_COLOR": "1", "TERM": "xterm-256color"},
    ):
        os.close(descriptor)
        text = b""
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            while select.select([reader], [], [], 60)[0] and (some := os.read(reader, 1 << 16)):
                text += some
    os.close(reader)
    return _as_lines(text.decode()).replace(str(directory), "/srv/shop")


def _as_lines(text: str) -> str:
    text = re.sub(r"[^\n]*\x1b\[K", "", text).replace("\r\n", "\n")
    text = re.sub(r"\r?delivering +[\d,]+ +[\d.,]+/s", "", text)  # a handler prints after it
    return re.sub(r" +$", "", text, flags=re.MULTILINE).rstrip("\n") + "\n" if text.strip() else ""


def matches(printed: str, shown: str) -> bool:
    """Return whether an output matches that of a page; a line "…" of the page matches any number of lines."""
    parts = [r"(.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in plain(shown)]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in plain(printed))) is not None


def plain(text: str) -> list[str]:
    """Return the lines of an output without ids, times, durations, bars and gaps, which differ from run to run."""
    for what, pattern in (
        ("ID", rf"{ID.pattern}|[0-9a-f]{{8}}[0-9a-f-]*(?=…)"),
        ("DATE", r"\b(\d{4}-)?\d\d-\d\d\b(?=[T ])"),
        ("TIME", r"(DATE)?[T ]?\d\d:\d\d:\d\d(\.\d+)?Z?|\d\d:\d\d\b"),
        ("HOST", r"[\w.-]+:\d+(?=: taking over)"),
        ("OPERATOR", r"(?<=\bby )[\w.-]+@[\w.-]+"),
        ("SERVER", r"127\.0\.0\.1:\d+|SecantusDB [\w.]+"),
        ("BAR", rf"[{_BAR}]+( *[{_BAR}]+)*"),
        ("PEAK", r"peak \S+"),
        ("SPAN", r"<?\b\d+(\.\d+)? (ms|s|min)\b"),
        ("N", r"\d+\.\d+(e-?\d+)?"),
        ("TICKS", r"^\s*((DATE|TIME)\s*)+$"),
        (" ", r"[ \t]+"),
    ):
        text = re.sub(pattern, what, text, flags=re.MULTILINE)
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    groups = groupby(lines, key=lambda line: line.startswith(HANDLERS_PRINT))
    return [line for is_theirs, group in groups for line in (sorted(group) if is_theirs else group)]


def main(names: Sequence[str]) -> None:
    """Write the current outputs of the commands of pages into the pages."""
    for page in [ROOT / name for name in names] or PAGES:
        lines = page.read_text().splitlines(keepends=True)
        with tempfile.TemporaryDirectory() as directory:
            ran = [one for one in run(page, Path(directory)) if not matches(one.printed, one.command.shown)]
        for one in reversed(ran):
            if "Traceback" in one.printed:
                raise SystemExit(f"{name_of(page)}:{one.command.line}: {one.command.words}\n{one.printed}")
            start = one.command.line - 1 + one.command.words.count("\n") + 1
            lines[start : start + one.command.shown.count("\n")] = [one.printed]
            print(f"{name_of(page)}:{one.command.line}: {one.command.words}")
        page.write_text("".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
