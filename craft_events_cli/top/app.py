"""The application: its views, the keys of all of them, and its themes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType

from craft_easy.core.events import clock
from craft_events_cli.errors import ExitCode
from craft_events_cli.top.background import is_light
from craft_events_cli.top.dead import DeadView
from craft_events_cli.top.event import EventView
from craft_events_cli.top.events import EventsView
from craft_events_cli.top.help import HelpScreen
from craft_events_cli.top.overview import OverviewView
from craft_events_cli.top.pending import PendingView
from craft_events_cli.top.trace import TraceView

if TYPE_CHECKING:
    from craft_events_cli.top.actions import ConsoleActions
    from craft_events_cli.top.source import Source

THEMES: Final = {"dark": "textual-dark", "light": "textual-light"}


class TopApp(App[int]):
    """The live console of an event log.

    Args:
        source: what answers the questions of the views.
        log_name: the name of the log, without a login.
        actions: what may be done to the log; None in a console that only looks.
        theme: "auto" asks the terminal; "dark" or "light".
        steady: the clock by which the ages of answers are measured.
    """

    TITLE = "craft-events top"
    CSS_PATH = "styles.tcss"
    MODES: ClassVar = {"overview": OverviewView, "events": EventsView, "pending": PendingView, "dead": DeadView}
    DEFAULT_MODE = "overview"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "switch_mode('overview')", "Overview", show=False),
        Binding("2", "switch_mode('events')", "Events", show=False),
        Binding("3", "switch_mode('pending')", "Pending", show=False),
        Binding("4", "switch_mode('dead')", "Dead", show=False),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        source: Source,
        *,
        log_name: str,
        actions: ConsoleActions | None = None,
        theme: str = "auto",
        steady: Callable[[], float] = clock.steady,
    ) -> None:
        super().__init__()
        self.source = source
        self.actions = actions
        self.log_name = log_name
        self.steady = steady
        self.theme = THEMES["light" if theme == "light" or (theme == "auto" and is_light()) else "dark"]

    def open_event(self, event_id: str) -> None:
        """Open one event on top of the view."""
        self.push_screen(EventView(event_id))

    def open_trace(self, event_id: str) -> None:
        """Open the chain that an event belongs to."""
        self.push_screen(TraceView(event_id))

    async def action_quit(self) -> None:
        self.exit(ExitCode.DONE)

    def action_interrupt(self) -> None:
        """End as Ctrl-C ends every command."""
        self.exit(ExitCode.INTERRUPTED)

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.screen.active_bindings))
