"""The handler module: one handler of each kind, and one that is slow enough to be caught in the middle."""

import asyncio

from craft_easy.core.events import DomainEvent, event_handler
from tests.acceptance.warehouse import ledger


@event_handler("item.*")
async def stow(event: DomainEvent) -> None:
    """Await nothing in between."""
    ledger.enter()


@event_handler("item.*")
def label(event: DomainEvent) -> None:
    """Run inline."""
    ledger.enter()


@event_handler("item.received", background=True)
async def announce(event: DomainEvent) -> None:
    """Be under way for a while."""
    await asyncio.sleep(0.05)
    ledger.enter()


@event_handler("*", background=True)
def file_papers(event: DomainEvent) -> None:
    """Run in a thread."""
    ledger.enter()
