"""The ledger: a file in which every handling of an event leaves a line, whatever the event log says of it.

It is the witness of the demo's last count, and so it knows nothing of the log: a handler's line is on the disk before
the handler returns, and a process that is killed takes no line with it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

from craft_easy.core.events import current_delivery

VARIABLE: Final = "CRAFT_EVENTS_DEMO_LEDGER"
"""Names the file; where it is not set, nothing is written."""


def enter() -> None:
    """Write down that the handler that runs has handled its event."""
    path = os.environ.get(VARIABLE)
    if path:
        write(Path(path), current_delivery().idempotency_key)


def write(path: Path, key: str) -> None:
    """Add one line with one write, which no other process can cut in two, and wait until the disk has it."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{key}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)


def read(path: Path) -> Counter[str]:
    """Return how often each delivery, by its idempotency key, was handled."""
    return Counter(path.read_text().splitlines() if path.exists() else ())
