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
        self._stored: tuple[Pause, ...] | None = None

    @property
    def are_known(self) -> bool:
        """True if they were read once."""
        return self._stored is not None

    def update(self, stored: tuple[Pause, ...]) -> None:
        """Replace the pauses by those that were just read, in any thread."""
        self._stored = stored

    def current(self) -> tuple[Pause, ...]:
        """Return the pauses that hold now."""
        if not self._stored:
            return ()
        now = self._now()
        return tuple(pause for pause in self._stored if pause.holds(now))

    def holds(self, handler: Handler) -> bool:
        """Return whether a handler is paused now, under its id or an alias."""
        if not self._stored:
            return False
        return any(pause.handler == handler.id or pause.handler in handler.aliases for pause in self.current())
