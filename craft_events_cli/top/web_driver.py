"""The terminal of a console that runs in a browser: a pipe to the server."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Any

from textual import messages
from textual.app import App
from textual.drivers.web_driver import WebDriver

from craft_events_cli import terminal


class ConsoleWebDriver(WebDriver):
    """Writes to the stream of data, as descriptor 1 leads to stderr; ends the console when the server has gone."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self.fileno = terminal.stdout().fileno()
        self._write = partial(os.write, self.fileno)

    def run_input_thread(self) -> None:
        super().run_input_thread()
        self._app.post_message(messages.ExitApp())

    def stop_application_mode(self) -> None:
        with suppress(BrokenPipeError):
            super().stop_application_mode()
