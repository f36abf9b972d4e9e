"""The chain that an event belongs to, as a tree."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View


class TraceView(View):
    """The trace of an event.

    Args:
        event_id: the id of the event.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back")]

    def __init__(self, event_id: str) -> None:
        super().__init__()
        self.event_id = event_id

    def contents(self) -> ComposeResult:
        yield Static(plain("…"))

    def action_back(self) -> None:
        self.dismiss()
