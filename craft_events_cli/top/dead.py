"""The dead deliveries, in groups."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View


class DeadView(View):
    """The view of dead deliveries."""

    MODE = "dead"

    def contents(self) -> ComposeResult:
        yield Static(plain("no dead deliveries"))
