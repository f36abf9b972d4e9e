"""The pending deliveries, in groups."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View


class PendingView(View):
    """The view of pending deliveries."""

    MODE = "pending"

    def contents(self) -> ComposeResult:
        yield Static(plain("no pending deliveries"))
