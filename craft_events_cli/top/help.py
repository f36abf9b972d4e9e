"""`?`: the keys that work where it was pressed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from craft_events_cli.top.safe import plain


class HelpScreen(ModalScreen[None]):
    """The keys, as a page over the view."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Close")]

    def __init__(self, bindings: Mapping[str, ActiveBinding]) -> None:
        super().__init__()
        self._shown = bindings

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(plain("Keys", "bold"))
            yield Static(Content("\n").join(self._lines()))

    def _lines(self) -> list[Content]:
        keys: dict[str, list[str]] = {}
        for key, active in self._shown.items():
            if active.binding.description and not active.binding.system:
                keys.setdefault(active.binding.description, []).append(self.app.get_key_display(active.binding))
                del key
        return [plain(f"{' '.join(dict.fromkeys(shown)):>14}  {text}") for text, shown in keys.items()]
