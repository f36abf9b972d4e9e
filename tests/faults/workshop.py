"""A handler module for processes that fail; the runs of its handlers are read from a ledger, not from the log."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

from craft_easy.core.events import DomainEvent, current_delivery, event_handler

LEDGER: Final = "CRAFT_FAULTS_LEDGER"
"""Environment variable: the file to which every handler appends a line."""
GO: Final = "CRAFT_FAULTS_GO"
"""Environment variable: the file that `patient` handlers wait for."""


def enter(word: str = "ran") -> None:
    """Record the progress of the running delivery: word, event, handler."""
    delivery = current_delivery()
    assert delivery is not None
    line = f"{word} {delivery.event.event_id} {delivery.handler_id.partition(':')[2]}\n"
    file = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@event_handler("*.made")
async def stow(event: DomainEvent) -> None:
    """Return at once."""
    enter()


@event_handler("*.made")
def label(event: DomainEvent) -> None:
    """Run inline."""
    enter()


@event_handler("*.made", background=True)
async def announce(event: DomainEvent) -> None:
    """Run in the background."""
    await asyncio.sleep(0)
    enter()


@event_handler("deadly.made", background=True)
async def kill(event: DomainEvent) -> None:
    """End the process, every time."""
    enter()
    os.kill(os.getpid(), signal.SIGKILL)


@event_handler("clinging.made", timeout=0.2)
async def cling(event: DomainEvent) -> None:
    """Swallow every cancellation."""
    enter()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            enter("clung")


@event_handler("blocking.made", timeout=0.5)
def block(event: DomainEvent) -> None:
    """Block the loop for ever, in the first process that runs it."""
    is_first = f"blocks {event.event_id}" not in Path(os.environ[LEDGER]).read_text()
    enter("blocks" if is_first else "ran")
    while is_first:
        time.sleep(0.01)


@event_handler("patient.made")
async def wait(event: DomainEvent) -> None:
    """Continue when a file exists."""
    enter("waits")
    while not os.path.exists(os.environ[GO]):  # noqa: ASYNC110, ASYNC240 - other processes create it
        await asyncio.sleep(0.01)
    enter()


@event_handler("endless.made")
async def never(event: DomainEvent) -> None:
    """Wait for ever."""
    enter("waits")
    await asyncio.Event().wait()


@event_handler("endless.made", background=True)
def stall(event: DomainEvent) -> None:
    """Wait for ever, in a thread."""
    enter("waits")
    threading.Event().wait()


@event_handler("interrupted.made")
async def interrupt(event: DomainEvent) -> None:
    """Do the same as Ctrl-C."""
    enter()
    raise KeyboardInterrupt


@event_handler("ordered.*")
async def follow(event: DomainEvent) -> None:
    """Take a moment, in which another event of the tenant could run."""
    enter("begins")
    await asyncio.sleep(0.02)
    enter("ends")
