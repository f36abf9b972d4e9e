"""Eight workers, ten thousand events with three handlers each, no kills: each delivery runs once.

    python -m tests.proof.crowd [--workers N] [--events N]

This module is a handler module, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from craft_easy.core.events import DomainEvent, current_delivery, event_handler
from craft_easy.core.events.store import EventStore
from tests.proof.processes import ROOT
from tests.proof.servers import Server
from tests.support import surroundings

MODULE: Final = "tests.proof.crowd"
LEDGER: Final = "CROWD_LEDGER"
TENANTS: Final = 40
LONGEST_S: Final = 30 * 60
HANDLERS: Final = tuple(f"{MODULE}:{name}" for name in ("pick", "pack", "send"))


def enter() -> None:
    """Record the start of the running delivery: the time, the worker and the delivery."""
    delivery = current_delivery()
    event = delivery.event
    line = f"{time.monotonic_ns()} {event.tenant_id} {event.payload['number']} {delivery.handler_id}\n"
    file = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@event_handler("crowd.order")
async def pick(event: DomainEvent) -> None:
    """Await nothing."""
    enter()


@event_handler("crowd.order")
def pack(event: DomainEvent) -> None:
    """Run inline."""
    enter()


@event_handler("crowd.order", background=True)
async def send(event: DomainEvent) -> None:
    """Take a moment."""
    enter()
    await asyncio.sleep(0.001)


async def store(uri: str, events: int) -> None:
    """Store undelivered events of many tenants; every tenth has no tenant."""
    began = datetime(2026, 1, 31, tzinfo=UTC)
    async with EventStore("craft_crowd", uri=uri) as log:
        await log.append_many(
            [
                DomainEvent(
                    event_type="crowd.order",
                    timestamp=began + timedelta(milliseconds=number),
                    tenant_id=f"t_{number % TENANTS}" if number % 10 else None,
                    payload={"number": number},
                )
                for number in range(events)
            ],
            handlers=HANDLERS,
        )


def work(uri: str, ledger: Path, workers: int) -> list[int]:
    """Run the workers at the same time, and return their exit codes."""
    program = [str(Path(sys.executable).with_name("craft-events")), "redispatch", "-m", MODULE, "-o", "json"]
    environment = {**os.environ, "CRAFT_EVENTS_URI": uri, "CRAFT_EVENTS_DATABASE": "craft_crowd", LEDGER: str(ledger)}
    running = [subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) for _ in range(workers)]
    try:
        return [process.wait(LONGEST_S) for process in running]
    finally:
        for process in running:
            process.kill()


def findings(lines: Sequence[Sequence[str]], events: int) -> list[str]:
    """Return the deliveries that did not run exactly once."""
    runs = Counter((number, handler) for _, _, number, handler in lines)
    found = [f"{events * len(HANDLERS) - len(runs)} deliveries never ran"] if len(runs) < events * len(HANDLERS) else []
    found += [f"{times} runs of {key}" for key, times in runs.items() if times > 1]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workers, print the figures, and return 0 if each delivery ran once."""
    parser = argparse.ArgumentParser("python -m tests.proof.crowd", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workers", type=int, default=8, help="number of workers (%(default)s)")
    parser.add_argument("--events", type=int, default=10_000, help="number of events (%(default)s)")
    given = parser.parse_args(arguments)
    surroundings.clear()
    with tempfile.TemporaryDirectory(prefix="craft-crowd-") as folder, Server(Path(folder) / "server") as server:
        asyncio.run(store(server.uri, given.events))
        ledger, began = Path(folder) / "ledger", time.monotonic()
        codes = work(server.uri, ledger, given.workers)
        took = time.monotonic() - began
        lines = [line.split(" ") for line in ledger.read_text().splitlines()]
    found = findings(lines, given.events)
    found += [f"a worker ended with {code}" for code in codes if code]
    print(f"{given.workers} workers, {given.events:,} events: {len(lines):,} handler runs in {took:.0f} s")
    print("\n".join(found) or "each delivery ran once")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
