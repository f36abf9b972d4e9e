"""How soon the events of a killed worker are delivered, how fast ten thousand of them, and in how much memory.

    python benchmarks/bench_recovery.py [--leases S,S,S] [--events N] [--memory N] [--quick]

All of it with real processes. A publisher with a hundred deliveries in flight is killed beside a `craft-events
redispatch --watch`: the seconds count from `kill -9` to the last delivery. A worker counts as gone when its beat has
been the same for its whole lease, so the limit is the lease and two seconds.

A publisher is killed with ten thousand deliveries in flight, whose handlers wait 50 ms; a redispatch with
`--concurrency 100` repairs that. Its rate, from the first delivery to the last, stands beside that over the same
backlog without a crash. Both on an embedded log. Memory is the peak of a redispatch over the canned server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import memory
from benchmarks.canned import Canned
from benchmarks.recovery_app import PAGE, TYPE
from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.store import EventStore

HERE: Final = Path(__file__).resolve().parent
HANDLER: Final = "recovery_app:deliver"
IN_FLIGHT: Final = 100
LOOK_S: Final = 2.0
"""Seconds over the lease that the other worker gets to look, to take over and to deliver."""
RATE_LIMIT: Final = 0.8
MEMORY_LIMIT: Final = 16 << 20
FEW: Final = 10_000
PATIENCE_S: Final = 600.0
CRAFT_EVENTS: Final = (sys.executable, "-m", "craft_events_cli")
SHOP: Final = "from craft_easy.core.events import event_handler\n@event_handler('*')\nasync def handler_0(event): ...\n"


@dataclass(frozen=True, slots=True)
class Scene:
    """An embedded log, a ledger, and what the process that was started last said on stderr."""

    uri: str
    ledger: Path
    said: Path

    def environment(self, *, wait: float) -> dict[str, str]:
        """Return the variables of a process whose deliveries wait so long."""
        ours = {"CRAFT_EVENTS_URI": self.uri, "BENCH_LEDGER": str(self.ledger), "BENCH_WAIT": str(wait)}
        return {**os.environ, **ours, "PYTHONPATH": str(HERE.parent)}

    def delivered(self) -> dict[str, float]:
        """Return when each event was first delivered."""
        if not self.ledger.exists():
            return {}
        lines = [line.split() for line in self.ledger.read_text().splitlines()]
        first: dict[str, float] = {}
        for at, event_id in lines:
            first.setdefault(event_id, float(at))
        return first


@contextmanager
def scene() -> Iterator[Scene]:
    """Set up a log of its own."""
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        yield Scene(log.uri, Path(folder) / "ledger", Path(folder) / "said")


@contextmanager
def running(command: Sequence[str], there: Scene, *, wait: float) -> Iterator[subprocess.Popen[str]]:
    """Run a process while the block runs; it is killed at the end, if it is still there."""
    environment = there.environment(wait=wait)
    with (
        there.said.open("w") as said,
        subprocess.Popen(command, env=environment, cwd=HERE, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def publishing(there: Scene, events: int, lease: float) -> Iterator[subprocess.Popen[str]]:
    """Run a publisher while the block runs, from when all its deliveries are in flight, where they stay."""
    command = [sys.executable, str(HERE / "recovery_app.py"), str(events), str(lease)]
    with running(command, there, wait=86_400) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n", there.said.read_text()
        yield process


def kill(process: subprocess.Popen[str]) -> float:
    """Kill a process at once and return when."""
    at = time.monotonic()
    process.kill()
    process.wait()
    return at


# How soon


def report_lease(lease: float) -> bool:
    """Print the seconds from the kill to the last delivery; tell whether the limit is kept."""
    watching = [*CRAFT_EVENTS, "redispatch", "--watch", "--handlers", "recovery_app", "--concurrency", "100"]
    with scene() as there, publishing(there, IN_FLIGHT, lease) as victim, running(watching, there, wait=0) as watcher:
        time.sleep(min(lease, LOOK_S))  # it has looked by then, as a worker that was there all along has
        killed = kill(victim)
        seconds = when_all(there, IN_FLIGHT, watcher) - killed
    limit = lease + LOOK_S
    is_kept = seconds <= limit
    print(f"lease of {lease:4.0f} s{'':18}{seconds:10.2f} s{limit:12.2f} s{'' if is_kept else '  missed'}", flush=True)
    return is_kept


def when_all(there: Scene, events: int, watcher: subprocess.Popen[str]) -> float:
    """Wait until so many events are delivered and return when the last one was."""
    deadline = time.monotonic() + PATIENCE_S
    while len(delivered := there.delivered()) < events:
        assert watcher.poll() is None, there.said.read_text()
        assert time.monotonic() < deadline, f"{len(delivered)} of {events} events were delivered in {PATIENCE_S} s"
        time.sleep(0.02)  # the ledger is a file, which tells nobody that it has grown
    return max(delivered.values())


# How fast


@dataclass(frozen=True, slots=True)
class Repair:
    """Events a second from the first delivery to the last, and the seconds before the first."""

    rate: float
    before: float


def crashed(events: int, lease: float) -> Repair:
    """Kill a publisher that has so many deliveries in flight, and deliver them."""
    with scene() as there:
        with publishing(there, events, lease) as victim:
            kill(victim)
        return repaired(there, events)


def untouched(events: int) -> Repair:
    """Deliver a backlog that nobody owned."""
    with scene() as there:
        asyncio.run(_append(there.uri, events))
        return repaired(there, events)


async def _append(uri: str, events: int) -> None:
    async with EventStore(uri=uri) as store:
        for _ in range(0, events, PAGE):
            await store.append_many([DomainEvent(event_type=TYPE) for _ in range(PAGE)], handlers=[HANDLER])


def repaired(there: Scene, events: int) -> Repair:
    """Run a redispatch to its end and return how it went."""
    command = [*CRAFT_EVENTS, "redispatch", "--handlers", "recovery_app", "--concurrency", "100", "-o", "json"]
    began = time.monotonic()
    environment = there.environment(wait=0.05)
    done = subprocess.run(command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    times = sorted(there.delivered().values())
    assert len(times) == events, f"{len(times)} of {events} events were delivered"
    return Repair((events - 1) / (times[-1] - times[0]), times[0] - began)


def report_rate(events: int, lease: float = 3.0) -> bool:
    """Print both rates; tell whether the limit is kept."""
    calm, repair = untouched(events), crashed(events, lease)
    ratio = repair.rate / calm.rate
    is_kept = ratio >= RATE_LIMIT
    print(
        f"\n{events:,} deliveries of a killed publisher: {repair.rate:.0f}/s, {repair.before:.1f} s after the command "
        f"began (its lease was {lease:.0f} s);\nthe same backlog without a crash: {calm.rate:.0f}/s; "
        f"ratio {ratio:.2f}, limit ≥ {RATE_LIMIT:.2f}{'' if is_kept else '  missed'}",
        flush=True,
    )
    return is_kept


# In how much memory


def peak(events: int) -> int:
    """Return the peak of the resident memory, in bytes, of a redispatch over so many open events."""
    with tempfile.TemporaryDirectory() as folder, Canned(records=events, handlers=1, backlog=True) as server:
        Path(folder, "shop").mkdir()
        Path(folder, "shop", "handlers.py").write_text(SHOP)
        command = [*CRAFT_EVENTS, "redispatch", "--no-wait", "--uri", server.uri, "--app-dir", folder]
        return memory.peak([*command, "--handlers", "shop.handlers", "-o", "json"])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--leases", default="3,10,30", help="seconds, apart by commas (3,10,30)")
    parser.add_argument("--events", type=int, default=10_000, help="deliveries in flight, whole thousands (10,000)")
    parser.add_argument("--memory", type=int, default=100_000, help="open events of the longer run (100,000)")
    parser.add_argument("--quick", action="store_true", help="one lease, a thousand deliveries, a short backlog")
    chosen = parser.parse_args(argv)
    leases, events, many = ("3", 1_000, 2 * FEW) if chosen.quick else (chosen.leases, chosen.events, chosen.memory)
    print(f"{'killed with 100 deliveries in flight':<32}{'delivered':>10}{'limit':>14}")
    kept = [report_lease(float(lease)) for lease in leases.split(",")]
    is_good = report_rate(events) and all(kept)
    is_good &= memory.report("a redispatch", (FEW, peak(FEW)), (many, peak(many)), MEMORY_LIMIT)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
