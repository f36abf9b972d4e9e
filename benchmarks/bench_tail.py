"""The delay between an insert and the line of `craft-events tail`, compared with a bare `watch()` loop.

    python benchmarks/bench_tail.py [--events N] [--rounds N]

Both run in their own process on the same embedded log and write a line of JSON to a pipe; they alternate. The clock
starts before the insert, so that the server's own work is in both.
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
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.store import EventStore

LIMIT_MS = 2.0
PAUSE_S = 0.02
BARE = """
import sys
import pydantic_core
from pymongo import MongoClient
INSERTS = [{"$match": {"operationType": "insert"}}]
with MongoClient(sys.argv[1]) as client, client.craft_easy.event_log.watch(INSERTS) as stream:
    print("following", file=sys.stderr, flush=True)
    for change in stream:
        sys.stdout.buffer.write(pydantic_core.to_json(change["fullDocument"], fallback=str) + b"\\n")
        sys.stdout.buffer.flush()
"""
TAIL = [sys.executable, "-m", "craft_events_cli", "tail", "-n", "0", "-o", "ndjson", "--uri"]


async def latencies(command: Sequence[str], uri: str, events: int) -> list[float]:
    """Return the milliseconds from each insert until its line could be read."""
    follower = subprocess.Popen([*command, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: ASYNC220 - it starts once, before anything is timed
    assert follower.stdout is not None
    assert follower.stderr is not None
    found = []
    with follower, follower.stdout as out, follower.stderr as err:
        while not err.readline().startswith(b"following"):
            continue
        async with EventStore(uri=uri) as store:
            for number in range(events + 10):
                began = time.perf_counter()
                await store.append(DomainEvent(event_type="bench.tick", tenant_id="acme", payload={"number": number}))
                await asyncio.to_thread(out.readline)
                found.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(PAUSE_S)
        follower.terminate()
    return found[10:]


async def measured(uri: str, events: int, rounds: int) -> tuple[list[float], list[float]]:
    """Run both alternately and return their delays."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        bare += await latencies([sys.executable, "-c", BARE], uri, events)
        ours += await latencies(TAIL, uri, events)
    return bare, ours


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=150, help="events of a round (150)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    chosen = parser.parse_args(argv)
    os.chdir(Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        bare, ours = asyncio.run(measured(log.uri, chosen.events, chosen.rounds))
    floor, median = statistics.median(bare), statistics.median(ours)
    is_kept = median <= floor + LIMIT_MS
    print(f"{'latency of tail, ms':44}{'bare':>9}{'median':>9}{'more':>9}{'limit':>8}")
    print(f"{'median':44}{floor:9.2f}{median:9.2f}{median - floor:9.2f}{LIMIT_MS:8.2f}{'' if is_kept else '  missed'}")
    late, ours_late = (statistics.quantiles(each, n=100)[98] for each in (bare, ours))
    print(f"{'99 of 100':44}{late:9.2f}{ours_late:9.2f}{ours_late - late:9.2f}")
    return int(not is_kept)


if __name__ == "__main__":
    sys.exit(main())
