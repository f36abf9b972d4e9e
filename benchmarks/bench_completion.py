"""The cost of a TAB compared with the shell itself, in real shells, and the time until values arrive.

    python benchmarks/bench_completion.py [--rounds N]

A TAB is timed on a terminal, from the key to the completed line. The floor is the same shell completing the same word
from a fixed list; both alternate. Values come from the hidden command and are timed from the start of its process to
its end, with an embedded log of a thousand events, and without a server.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.store import EventStore
from tests.support import shells
from tests.support.shells import Shell

TAB_LIMIT_MS = 5.0
VALUES_LIMIT_MS = 300.0
WORDS = "replay redispatch tail serve --tenant --no-tenant --type --since --until"
FLOOR = {
    "bash": f"complete -W '{WORDS}' floor",
    "zsh": f"_floor() {{ compadd -- {WORDS} }}; compdef _floor floor",
    "fish": f"complete -c floor -f -a '{WORDS}'",
}
ROWS = (("a command", "redis", "redispatch"), ("a flag", "replay --ten", "--tenant"))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=25, help="how often each is measured (25)")
    rounds = parser.parse_args(argv).rounds
    is_good = True
    print(f"{'TAB':28}{'floor ms':>9}{'ms':>9}{'over':>9}{'limit':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(shells.is_installed, shells.NAMES):
            for what, floor, own in _tabs(name, Path(folder), rounds):
                print(f"{name + ', ' + what:28}{floor:9.1f}{own:9.1f}{own - floor:9.1f}{TAB_LIMIT_MS:8.1f}")
                is_good = is_good and own - floor <= TAB_LIMIT_MS
        print(f"\n{'values':28}{'':9}{'ms':>9}{'':9}{'limit':>8}")
        for what, own in _values(Path(folder), rounds):
            print(f"{what:28}{'':9}{own:9.1f}{'':9}{VALUES_LIMIT_MS:8.1f}")
            is_good = is_good and own <= VALUES_LIMIT_MS
    return 0 if is_good else 1


def _tabs(name: str, folder: Path, rounds: int) -> list[tuple[str, float, float]]:
    """Return the completed line, and the medians of the floor and of our completion."""
    found = []
    with Shell(name, folder, columns=80) as shell:
        shell.press(f"{FLOOR[name]}; clear\n")
        shell.wait_for(lambda screen: screen.strip() == shells.PROMPT.strip())
        for what, typed, completed in ROWS:
            times: dict[str, list[float]] = {"floor": [], "craft-events": []}
            for _ in range(rounds + 1):
                for program, measured in times.items():
                    measured.append(_time_tab(shell, f"{program} {typed}", completed))
            floor, own = (statistics.median(measured[1:]) for measured in times.values())
            found.append((what, floor, own))
    return found


def _time_tab(shell: Shell, typed: str, completed: str) -> float:
    shell.clear()
    shell.press(typed)
    shell.wait_for(lambda screen: screen.endswith(typed))
    began = time.perf_counter()
    shell.press("\t")
    shell.wait_for(lambda screen: screen.rstrip("= ").endswith(completed))
    return (time.perf_counter() - began) * 1000


def _values(folder: Path, rounds: int) -> list[tuple[str, float]]:
    with embedded.join(folder / "log") as log:
        asyncio.run(_store(log.uri))
        script = str(Path(sys.executable).with_name("craft-events"))
        command = [script, "completion-values", "tenant", "", f"craft-events replay --uri {log.uri}"]
        return [
            ("from a log", _time_process(command, os.environ, rounds, b"tenant-0\n")),
            (
                "without a server",
                _time_process([*command[:-1], "--uri mongodb://127.0.0.1:1"], os.environ, rounds, b""),
            ),
        ]


async def _store(uri: str) -> None:
    async with EventStore(uri=uri) as store:
        await store.append_many(
            [DomainEvent(event_type="bench.stored", tenant_id=f"tenant-{number % 20}") for number in range(1_000)]
        )


def _time_process(command: Sequence[str], environment: Mapping[str, str], rounds: int, begins: bytes) -> float:
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        ended = subprocess.run(command, env=environment, capture_output=True, check=True)
        times.append((time.perf_counter() - began) * 1000)
        if not ended.stdout.startswith(begins):
            print(f"no values in time, after {times[-1]:.0f} ms", file=sys.stderr)
    return statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
