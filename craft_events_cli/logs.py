"""What handlers and libraries log, on stderr: made safe, a line a record, a traceback only with `--debug`."""

from __future__ import annotations

import logging
from typing import Final

from craft_events_cli import terminal

LIBRARY: Final = "craft_easy.core.events"


class NoteHandler(logging.Handler):
    """Writes log records as notes; a failure of a handler only in full, since the command reports it by itself."""

    def __init__(self, *, is_debug: bool) -> None:
        super().__init__(logging.INFO if is_debug else logging.WARNING)
        self._is_debug = is_debug

    def filter(self, record: logging.LogRecord) -> bool:
        is_reported = record.name == LIBRARY and hasattr(record, "handler_id") and record.levelno >= logging.ERROR
        return self._is_debug or not is_reported

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in self._text(record).splitlines():
                terminal.note(line, label=f"{record.levelname.lower()}:")
        except Exception:  # noqa: BLE001 - a log call never fails the code that makes it
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        return self.format(record) if self._is_debug else record.getMessage()


def to_stderr(*, is_debug: bool) -> None:
    """Send what is logged from here on to stderr, safe; an application that configured logging keeps its own way."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(NoteHandler(is_debug=is_debug))
        root.setLevel(min(root.level, logging.INFO) if is_debug else root.level)
