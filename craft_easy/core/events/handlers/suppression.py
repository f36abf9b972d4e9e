"""Suppression: what is published while history runs again is counted, and neither stored nor dispatched.

It holds for the whole process, whoever publishes: a handler, a task or a thread that it left, another bus. What runs in
the context of such a handler stays suppressed after the block, too: a task that ends late publishes nothing then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from craft_easy.core.events.handlers import context

is_used = False
"""Whether anything was ever suppressed in this process: until then nobody pays for the question."""


class Suppression:
    """Counts the events that were published and suppressed; threads may publish, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events = 0

    def add(self, events: int) -> None:
        """Count events."""
        with self._lock:
            self.events += events


_for_all: Suppression | None = None
_here: Final[ContextVar[Suppression | None]] = ContextVar("craft_easy.core.events.handlers.suppression", default=None)


@contextmanager
def suppressing() -> Iterator[Suppression]:
    """Suppress, in the whole process, what is published until the block ends; one inside another is the same one.

    `publish`, `publish_many`, `publish_from_thread`, a transaction of a bus, and `append` of a store return as if they
    had done it; `append` says that nothing is new. What is checked before stays checked.
    """
    global _for_all, is_used
    is_used = context.is_asked = True  # every publish takes the long way from now on, on which it is asked
    outer = _for_all
    _for_all = suppression = outer or Suppression()
    token = _here.set(suppression)
    try:
        yield suppression
    finally:
        _here.reset(token)
        _for_all = outer


def suppresses(events: int = 1) -> bool:
    """Tell whether so many events that are being published are suppressed, and count them if they are."""
    suppression = _for_all or _here.get()
    if suppression is None:
        return False
    suppression.add(events)
    return True


def is_on() -> bool:
    """Tell whether what is published here and now is suppressed."""
    return (_for_all or _here.get()) is not None
