"""The ledger: a file to which each handler appends a line for each event, independently of the event log.

The demo compares it with the log at the end. A line is on the disk before the handler returns, and a process that is
killed takes no line with it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

from craft_easy.core.events import current_delivery

VARIABLE: Final = "CRAFT_EVENTS_DEMO_LEDGER"
"""The environment variable with the file's name; without it nothing is written."""


def enter() -> None:
    """Record that the running handler has handled its event."""
    path = os.environ.get(VARIABLE)
    if path:
        write(Path(path), current_delivery().idempotency_key)


def write(path: Path, key: str) -> None:
    """Append one line with a single write, so that no other process can split it, and sync it to the disk."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{key}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)


def read(path: Path) -> Counter[str]:
    """Return how often each delivery was handled, by its idempotency key."""
    return Counter(path.read_text().splitlines() if path.exists() else ())
