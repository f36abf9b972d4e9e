"""The cost of starting a command, as ratios to the imports that it cannot do without, in one run.

    python benchmarks/bench_startup.py [--rounds N]

<<<<<<< HEAD
Each row starts a process of the command and one of its floor, in turn; a cell is the median of the rounds. A floor is a
bare interpreter that imports what the command needs, and no more; that of a help page is a plain Typer application with
the same commands, options and texts. The commands that read the log do so on an embedded one, which is started before
and has one event in it.
=======
Each row starts a process of the command and one of its floor alternately; a cell is the median of the rounds. A floor
is a bare interpreter with the imports that the command needs. Commands that read the log use an embedded one, which is
started before and contains one event.
>>>>>>> 83c7235 (benchmarks, examples, Makefile: plain words for what is measured, stored and built)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.core import TyperCommand, TyperGroup, TyperOption

from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.store import EventStore
from craft_events_cli import app as application

MODULE = "from craft_easy.core.events import event_handler\n@event_handler('*')\nasync def react(event): ...\n"
READ_ONE = (
    "import os, typer, asyncio; from pymongo import AsyncMongoClient; import craft_easy.core.events.store.event_store\n"
    "async def main():\n"
    "    client = AsyncMongoClient(os.environ['SERVER_URI'])\n"
    "    await client.craft_easy.event_log.find().to_list(1)\n"
    "    await client.close()\n"
    "asyncio.run(main())"
)


PLAIN = "import plain; plain.app()"
"""Runs what `plain_application` wrote, with the arguments of the row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A command, the Python code that it is compared with, and the highest allowed ratio."""

    command: tuple[str, ...]
    floor: str
    limit: float | None


ROWS = (
    Row(("--version",), "import typer, rich", 1.5),
    Row(("--help",), PLAIN, 1.2),
    Row(("replay", "--help"), PLAIN, 1.2),
    Row(("redispatch", "--help"), PLAIN, 1.2),
    Row(("handlers", "list", "-m", "app"), "import typer, pydantic, asyncio, app", 1.25),
    Row(("replay", "--limit", "1"), READ_ONE, 1.25),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each pair is started (15)")
    rounds = parser.parse_args(argv).rounds
    is_good = True
    print(f"{'':42}{'floor ms':>9}{'ms':>9}{'ratio':>9}{'limit':>8}")
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        Path(folder, "app.py").write_text(MODULE)
        asyncio.run(_store_one(log.uri))
        environment = {**os.environ, "CRAFT_EVENTS_URI": log.uri, "SERVER_URI": log.uri, "PYTHONPATH": folder}
        for row in ROWS:
            floor, candidate = _measure(row, rounds, Path(folder), environment)
            ratio = candidate / floor
            limit = "" if row.limit is None else f"{row.limit:8.2f}"
            print(f"craft-events {' '.join(row.command):29}{floor:9.1f}{candidate:9.1f}{ratio:9.2f}{limit}")
            is_good = is_good and (row.limit is None or ratio <= row.limit)
    return 0 if is_good else 1


def plain_application(whole: str) -> str:
    """Return the code of a plain Typer application with our commands, one of them with all its options."""
    lines = ["import typer", "from typing import Annotated", "app = typer.Typer(add_completion=False)"]
    for number, (name, entry) in enumerate(application.COMMANDS.items()):
        page, options = entry.help, ""
        if name == whole:
            command = application.StandIn(name, entry).load()
            page, options = command.help or "", ", ".join(_options_of(command))
        lines += [f"@app.command({name!r})", f"def command{number}({options}) -> None:", f"    {page!r}"]
    return "\n".join(lines)


def _options_of(command: TyperCommand | TyperGroup) -> list[str]:
    return [
        f"option{number}: Annotated[str, typer.Option(*{option.opts!r}, help={option.help!r})] = ''"
        for number, option in enumerate(command.params)
        if isinstance(option, TyperOption)
    ]


async def _store_one(uri: str) -> None:
    async with EventStore(uri=uri) as store:
        await store.append(DomainEvent(event_type="bench.started"))


def _measure(row: Row, rounds: int, folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    script = str(Path(sys.executable).with_name("craft-events"))
    is_page = row.floor == PLAIN
    Path(folder, "plain.py").write_text(plain_application(row.command[0]))
    commands = ([sys.executable, "-c", row.floor, *(row.command if is_page else [])], [script, *row.command])
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for command, measured in zip(commands, times, strict=True):
            began = time.perf_counter()
            subprocess.run(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
            )
            measured.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


if __name__ == "__main__":
    sys.exit(main())
