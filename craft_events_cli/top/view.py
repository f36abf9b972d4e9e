"""What all views have: the line of tabs, the banner of an outage, the filter, the keys in the last line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Footer, Input, Static
from textual.worker import Worker

from craft_events_cli.output.spans import duration_text
from craft_events_cli.terminal import redacted
from craft_events_cli.top.filtering import HINT, EventFilter
from craft_events_cli.top.polling import PolledQuestion, Poller
from craft_events_cli.top.safe import plain

if TYPE_CHECKING:
    from craft_events_cli.top.app import TopApp
    from craft_events_cli.top.source import Source

TABS: Final = {"overview": "Overview", "events": "Events", "pending": "Pending", "dead": "Dead"}


class TabLabel(Static):
    """The name of a view in the first line; a click opens it."""

    def __init__(self, number: int, mode: str, *, is_open: bool) -> None:
        super().__init__(plain(f"{number} {TABS[mode]}"), classes="tab -open" if is_open else "tab")
        self._mode = mode

    async def on_click(self) -> None:
        await self.app.switch_mode(self._mode)


class Banner(Static):
    """A line that is there while something is wrong."""

    def show(self, text: Content | None) -> None:
        """Show a text; None hides the line."""
        self.display = text is not None
        if text is not None:
            self.update(text)


class FilterLine(Input):
    """The line in which a filter is typed; Enter applies it, Escape leaves it as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def action_cancel(self) -> None:
        self.display = False
        self.screen.focus_next()


class View(Screen[None]):
    """A view of the console; a subclass has its contents and its questions."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "filter", "Filter")]
    MODE: ClassVar[str] = ""
    """The name of the view among the tabs; empty for a screen on top of one."""

    filter: EventFilter = EventFilter()

    def __init__(self) -> None:
        super().__init__()
        self.poller = Poller(self.questions())

    # ------------------------------------------------------------------ for subclasses

    def contents(self) -> ComposeResult:
        """Yield the widgets between the banner and the keys."""
        raise NotImplementedError

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        """Return the questions that are asked while the view is open."""
        return ()

    def filter_changed(self) -> None:
        """Apply `self.filter`."""

    # ------------------------------------------------------------------ the frame

    @property
    def top(self) -> TopApp:
        """The application."""
        return cast("TopApp", self.app)

    @property
    def source(self) -> Source:
        """What answers the questions."""
        return self.top.source

    def compose(self) -> ComposeResult:
        with Horizontal(id="tabs"):
            for number, mode in enumerate(TABS, 1):
                yield TabLabel(number, mode, is_open=mode == self.MODE)
            yield Static(plain(self.top.log_name), id="log-name")
        yield Banner(id="outage")
        yield from self.contents()
        line = FilterLine(placeholder=HINT, id="filter")
        line.display = False
        yield line
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#outage", Banner).show(None)
        self.set_interval(1, self._show_outage)

    def on_screen_resume(self) -> None:
        self.run_in_background(self.poller.run, group="poller")

    def on_screen_suspend(self) -> None:
        self.workers.cancel_group(self, "poller")

    def run_in_background(self, work: Callable[[], Coroutine[Any, Any, None]], *, group: str) -> None:
        """Run a piece of work for as long as the view exists, in place of the one in its group."""

        async def run() -> None:
            with suppress(NoMatches):  # the console ends, and its widgets are gone
                await work()

        running: Worker[None] = self.run_worker(run, group=group, exclusive=True)
        del running

    def outage(self) -> tuple[str, float | None] | None:
        """Return why the data are old, and their age in seconds; None where they are not."""
        answer = self.poller.outage
        return None if answer is None else (answer.fault or "", answer.age_s(self.top.steady()))

    def _show_outage(self) -> None:
        found = self.outage()
        if found is None:
            self.query_one("#outage", Banner).show(None)
            return
        reason, age_s = found
        age = "nothing was read yet" if age_s is None else f"these data are {duration_text(age_s)} old"
        self.query_one("#outage", Banner).show(plain(f"✗ {age}, trying again: {redacted(reason)}"))

    # ------------------------------------------------------------------ the filter

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a filter where there is a list."""
        return bool(self.MODE) if action == "filter" else super().check_action(action, parameters)

    def action_filter(self) -> None:
        line = self.query_one("#filter", FilterLine)
        line.value = self.filter.typed
        line.display = True
        line.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id != "filter":
            return
        try:
            self.filter = EventFilter.read(event.value)
        except ValueError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        event.input.display = False
        self.focus_next()
        self.filter_changed()
