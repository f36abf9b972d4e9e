"""The paused handlers, as a worker knows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler
    from craft_easy.core.events.model.pause import Pause


class KnownPauses:
    """The pauses that a worker read last: before it first owned a record, and with each heartbeat since.

    Where they cannot be read, the last known ones hold. The end of a pause is judged by the database's time.

    Args:
        now: returns the database's time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.stored: tuple[Pause, ...] | None = None
        """The pauses that were read last, those that are over included; None before the first read.

        Replaced as a whole, in any thread.
        """

    def current(self) -> tuple[Pause, ...]:
        """Return the pauses that hold now."""
        if not self.stored:
            return ()
        now = self._now()
        return tuple(pause for pause in self.stored if pause.holds(now))

    def holds(self, handler: Handler) -> bool:
        """Return whether a handler is paused now, under its id or an alias."""
        return any(pause.handler == handler.id or pause.handler in handler.aliases for pause in self.current())
