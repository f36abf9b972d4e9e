"""The dialogs before an action and while it runs."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from craft_events_cli.top.safe import plain


class AgreementDialog(ModalScreen[str | None]):
    """Asks whether to act; the answer is the reason, empty where none is asked for, and None for no.

    Args:
        log_name: the log that the action changes.
        verb: the name of the action.
        sentence: its effect, with the number of deliveries.
        needs_reason: whether a reason is to be typed.
        protected: the name of the environment, to be typed where it is protected.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", "Yes"),
        Binding("n,escape", "refuse", "No"),
        Binding("left,right", "other_button", "Choose", show=False),
    ]

    def __init__(
        self, log_name: str, verb: str, sentence: str, *, needs_reason: bool = False, protected: str | None = None
    ) -> None:
        super().__init__()
        self._log_name = log_name
        self._verb = verb
        self._sentence = sentence
        self._needs_reason = needs_reason
        self._protected = protected

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(plain(self._log_name, "bold"), id="dialog-log")
            yield Static(plain(self._sentence), id="dialog-sentence")
            if self._needs_reason:
                yield Input(placeholder="the reason, which the record keeps", id="reason", classes="answer")
            if self._protected is not None:
                yield Static(plain(f"{self._protected} is protected: type its name to go on"))
                yield Input(id="environment", classes="answer")
            yield Static(id="dialog-error")
            with Horizontal(classes="buttons"):
                yield Button("No (n)", id="no")
                yield Button(f"Yes, {self._verb} (y)", id="yes", variant="warning")

    def on_mount(self) -> None:
        first = next(iter(self.query(Input)), None)
        (first or self.query_one("#no", Button)).focus()

    @on(Input.Submitted)
    def _next_answer(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    @on(Button.Pressed, "#no")
    def action_refuse(self) -> None:
        """Answer no."""
        self.dismiss(None)

    @on(Button.Pressed, "#yes")
    def action_agree(self) -> None:
        """Answer yes, if everything is typed that has to be."""
        reason = self._typed("#reason").strip()
        if self._needs_reason and not reason:
            self._refuse_answer("a discard needs a reason", "#reason")
        elif self._protected is not None and self._typed("#environment").strip() != self._protected:
            self._refuse_answer(f"that is not {self._protected}: nothing was done", "#environment")
        else:
            self.dismiss(reason)

    def action_other_button(self) -> None:
        """Go from one button to the other."""
        self.query_one("#yes" if self.query_one("#no", Button).has_focus else "#no", Button).focus()

    def _typed(self, selector: str) -> str:
        found = self.query(selector)
        return found.first(Input).value if found else ""

    def _refuse_answer(self, text: str, selector: str) -> None:
        self.query_one("#dialog-error", Static).update(plain(f"✗ {text}"))
        self.query_one(selector, Input).focus()


class ProgressDialog(ModalScreen[None]):
    """Shows how far an action is; Escape asks it to stop.

    Args:
        verb: the name of the action.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "stop", "Stop")]

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb
        self.is_stopped = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(plain(f"{self._verb} …"), id="progress")
            yield Static(plain("Escape stops it; what is done stays done"))

    def show(self, done: int) -> None:
        """Show how many are done."""
        if self.is_mounted and not self.is_stopped:
            self.query_one("#progress", Static).update(plain(f"{self._verb} … {done:,} done"))

    def action_stop(self) -> None:
        """Ask it to stop."""
        if not self.is_stopped:
            self.is_stopped = True
            self.query_one("#progress", Static).update(plain(f"{self._verb} … stopping"))
            self.app.workers.cancel_group(self.app, "action")
