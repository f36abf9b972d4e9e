"""What a feed says on stderr beside its events."""

from __future__ import annotations

from datetime import timedelta

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.feed import Observer
from craft_events_cli import terminal


class Notes(Observer):
    """Notes on stderr.

    Args:
        log: the name of what is followed.
    """

    def __init__(self, log: str) -> None:
        self._log = log

    def following(self) -> None:
        terminal.note(f"following {self._log} · times are UTC · Ctrl-C ends it")

    def polling(self, reach: timedelta) -> None:
        minutes = int(reach.total_seconds() // 60)
        terminal.warn(
            f"this server has no change streams: it is asked every second, and only events whose time lies within the "
            f"last {minutes} minutes are shown"
        )

    def lost(self, error: StoreUnavailable) -> None:
        terminal.note("connection lost, resuming …")

    def resumed(self, seconds: float) -> None:
        terminal.note(f"resumed after {seconds:.1f} s, nothing missed")
