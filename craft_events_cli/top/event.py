"""One event: its deliveries with their attempts, errors and frames, its payload."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.widgets import Static

from craft_events_cli.output import next_step
from craft_events_cli.output.show import lines_of
from craft_events_cli.terminal import safe
from craft_events_cli.top.colors import content_of
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View

MAX_LINES: Final = 2_000
MAX_LINE: Final = 2_000


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
        self._event: dict[str, Any] | None = None

    def contents(self) -> ComposeResult:
        with VerticalScroll(id="event"):
            yield Static(plain("reading …"), id="event-text")
            yield Static(id="event-payload")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(lambda: self.source.event(self.event_id), self._show),)

    def on_mount(self) -> None:
        self.query_one("#event").focus()

    def on_resize(self) -> None:
        self._draw()

    def action_back(self) -> None:
        self.dismiss()

    def action_trace(self) -> None:
        self.top.open_trace(self.event_id)

    def _show(self, answer: Answer[dict[str, Any] | None]) -> None:
        if answer.read_at is None:
            return
        if answer.value is None:
            self.query_one("#event-text", Static).update(plain(f"{self.event_id} is not in the log"))
        elif answer.value != self._event:
            self._event = answer.value
            self._draw()

    def _draw(self) -> None:
        event = self._event
        if event is None:
            return
        head = plain(f"event {event['event_id']}", "bold")
        room = max(self.query_one("#event").size.width - 3, 20)
        about = [content_of(cells) for cells in lines_of(event, room, traceback=True, has_payload=False)]
        self.query_one("#event-text", Static).update(Content("\n").join([head, *about]))
        shown = Content() if "redacted" in event else payload_content(event["payload"], self.event_id)
        self.query_one("#event-payload", Static).update(shown)


def payload_content(payload: Mapping[str, Any], event_id: str) -> Content:
    """Return a payload as highlighted JSON, a very long one cut."""
    every = json.dumps(payload, ensure_ascii=False, indent=2).split("\n")
    kept = [safe(line if len(line) <= MAX_LINE else line[:MAX_LINE] + "…") for line in every[:MAX_LINES]]
    found = highlight("\n".join(kept), language="json")
    if len(kept) == len(every) and all(len(line) <= MAX_LINE for line in every):
        return found
    return Content("\n").join([found, plain(f"… whole: {next_step.command('show', event_id)} -o json")])
