"""One event: its payload, its deliveries, their attempts and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.trace import TraceView
from craft_events_cli.top.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence


class EventView(View):
    """One event, on top of the view that it was opened from.

    Args:
        event_id: the id of the event.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("t", "trace", "Trace"),
    ]

    def __init__(self, event_id: str) -> None:
        super().__init__()
        self.event_id = event_id

    def contents(self) -> ComposeResult:
        with VerticalScroll(id="event"):
            yield Static(plain("reading …"), id="event-text")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(lambda: self.source.event(self.event_id), self._show),)

    def action_back(self) -> None:
        self.dismiss()

    def action_trace(self) -> None:
        self.app.push_screen(TraceView(self.event_id))

    def _show(self, answer: Answer[dict[str, Any] | None]) -> None:
        if answer.read_at is not None:
            self.query_one("#event-text", Static).update(plain(answer.value))
