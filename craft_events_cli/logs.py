"""Log records and warnings of the library and of the user's code, as safe lines on stderr.

Only if nothing else configured logging. A handler's failure is not repeated, because the summary of the command reports
it; `--debug` shows it with its traceback.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from craft_events_cli import terminal
from craft_events_cli.output import next_step

LIBRARY: Final = "craft_easy.core.events"


class LineHandler(logging.Handler):
    """Writes log records as notes."""

    def __init__(self, *, is_debug: bool) -> None:
        super().__init__(logging.INFO if is_debug else logging.WARNING)
        self._is_debug = is_debug

    def filter(self, record: logging.LogRecord) -> bool:
        is_reported = record.name == LIBRARY and hasattr(record, "handler_id") and record.levelno >= logging.ERROR
        return self._is_debug or not is_reported

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in next_step.completed(self._text(record)).splitlines():
                terminal.note(line, label=f"{record.levelname.lower()}:")
        except Exception:  # noqa: BLE001 - a log call never raises into its caller
            terminal.warn(f"a log record of {record.name} cannot be formatted: {record.msg!r}")

    def _text(self, record: logging.LogRecord) -> str:
        return self.format(record) if self._is_debug else record.getMessage()


@contextmanager
def shown(*, is_debug: bool) -> Iterator[None]:
    """Show log records and warnings inside the block; any other handler of the root logger takes precedence."""
    library = logging.getLogger(LIBRARY)
    resort, level, show = logging.lastResort, library.level, warnings.showwarning
    logging.lastResort = LineHandler(is_debug=is_debug)
    warnings.showwarning = _show_warning
    if is_debug:
        library.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.lastResort, warnings.showwarning = resort, show
        library.setLevel(level)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    terminal.warn(f"{category.__name__}: {message}")
