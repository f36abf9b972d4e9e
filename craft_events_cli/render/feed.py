"""What a feed says on stderr beside its events."""

from __future__ import annotations

from datetime import datetime, timedelta

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.tail import Observer
from craft_events_cli import terminal
from craft_events_cli.render.spans import said


class Notes(Observer):
    """Notes on stderr.

    Args:
        log: the name of what is followed.
    """

    def __init__(self, log: str) -> None:
        self._log = log

    def resuming(self, at: datetime) -> None:
        terminal.note(f"going on from {at:%Y-%m-%d %H:%M:%S}, where the checkpoint ends")

    def searched(self, events: int, found: int) -> None:
        terminal.note(f"{found or 'none'} of the last {events:,} events match · further back: --since")

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

    def quiet(self, seconds: float) -> None:
        terminal.note(f"nothing came for {said(seconds) if seconds >= 1 else f'{seconds:g} s'}")
