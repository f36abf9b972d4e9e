"""A shop whose events are replayed through its handlers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from craft_easy.core.events import DomainEvent
from tests.support.history import Log

SHOP = """
    import asyncio, os, time
    from pathlib import Path
    from craft_easy.core.events import DomainEvent, current_delivery, event_handler, get_event_bus

    @event_handler("order.*")
    async def reserve(event):
        assert current_delivery().is_replay
        await get_event_bus().publish(DomainEvent(event_type="stock.reserved"))
        with open("ledger", "a") as ledger:
            ledger.write(event.event_id + "\\n")

    @event_handler("order.*", background=True)
    async def charge(event):
        if event.payload.get("card") == "expired" and not Path("paid").exists():
            raise ValueError("the \\x1b[31mcard\\x07 \\u202e of [bold]p_1[/bold]\\nexpired")

    @event_handler("order.*", replayable=False)
    async def mail(event):
        raise AssertionError("sent twice")

    @event_handler("blocked.*")
    def block(event):
        Path(f"{os.getpid()}.started").touch()
        time.sleep(600)

    @event_handler("slow.*")
    async def wait(event):
        Path(f"{os.getpid()}.started").touch()
        await asyncio.Event().wait()
"""
RUN = ("replay", "-m", "shop", "--all-handlers")
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


def fill(log: Log, count: int, *, event_type: str = "order.placed", **fields: Any) -> list[DomainEvent]:
    """Store events, a minute apart."""
    fields = {"tenant_id": "acme"} | fields
    at = [BEGAN + timedelta(minutes=number) for number in range(count)]
    events = [DomainEvent(event_type=event_type, timestamp=one, **fields) for one in at]
    log.append(events)
    return events


def ledger(app: Path) -> list[str]:
    return (app / "ledger").read_text().split() if (app / "ledger").exists() else []


def ids(events: list[DomainEvent]) -> list[str]:
    return [event.event_id for event in events]
