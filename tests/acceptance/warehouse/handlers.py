"""The handler module: one handler of each kind, and a slow one that can be killed while it runs."""

import asyncio

from craft_easy.core.events import DomainEvent, event_handler
from tests.acceptance.warehouse import ledger


@event_handler("item.*")
async def stow(event: DomainEvent) -> None:
    """Return without a wait."""
    ledger.enter()


@event_handler("item.*")
def label(event: DomainEvent) -> None:
    """Run inline."""
    ledger.enter()


@event_handler("item.received", background=True)
async def announce(event: DomainEvent) -> None:
    """Take a while."""
    await asyncio.sleep(0.05)
    ledger.enter()


@event_handler("*", background=True)
def file_papers(event: DomainEvent) -> None:
    """Run in a thread."""
    ledger.enter()
