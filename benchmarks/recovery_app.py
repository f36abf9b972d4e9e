"""What `bench_recovery` runs: a handler that notes each delivery in a ledger, and the publisher that is killed.

    python benchmarks/recovery_app.py EVENTS LEASE

The ledger's lines are `seconds event_id`, by the clock that all processes of a machine share. `BENCH_LEDGER` names the
file, `BENCH_WAIT` the seconds that a delivery waits first.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from functools import cache

from craft_easy.core.events import DomainEvent, event_handler, get_event_bus
from craft_easy.core.events.store import EventStore

TYPE = "bench.recovered"
PAGE = 1_000


@event_handler("bench.*", background=True)
async def deliver(event: DomainEvent) -> None:
    """Wait, and note the delivery."""
    await asyncio.sleep(float(os.environ.get("BENCH_WAIT", "0")))
    os.write(_ledger(), f"{time.monotonic():.6f} {event.event_id}\n".encode())


@cache
def _ledger() -> int:
    return os.open(os.environ["BENCH_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def publish(events: int, lease: float) -> None:
    """Publish so many events, say so, and wait for the end."""
    async with EventStore() as store, get_event_bus() as bus:
        bus.configure_store(store, lease=lease)
        for first in range(0, events, PAGE):
            await bus.publish_many([DomainEvent(event_type=TYPE) for _ in range(min(PAGE, events - first))])
        print("published", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(publish(int(sys.argv[1]), float(sys.argv[2])))
