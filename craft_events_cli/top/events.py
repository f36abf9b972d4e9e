"""The events, live."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View


class EventsView(View):
    """The log, live."""

    MODE = "events"

    def contents(self) -> ComposeResult:
        yield Static(plain("…"))
