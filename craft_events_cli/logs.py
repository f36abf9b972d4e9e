"""Log records and warnings of the library and of the user's code, as safe lines on stderr.

Only if nothing else configured logging. A handler's failure is not repeated, because the summary of the command reports
it; `--debug` shows it with its traceback. The log of a service gets the traceback of the first failure of each kind, as
its summary comes when it ends.
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
MAX_KINDS: Final = 100
"""The number of kinds of failure that a service reports with their tracebacks."""

Kind = tuple[str, tuple[str, int] | None]


class LineHandler(logging.Handler):
    """Writes log records as notes."""

    def __init__(self, *, is_debug: bool) -> None:
        super().__init__(logging.INFO if is_debug else logging.WARNING)
        self._is_debug = is_debug
        self._kinds: set[Kind] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if self._is_debug or not _is_failure(record):
            return True
        return terminal.is_service() and self._is_new(_kind(record))

    def _is_new(self, kind: Kind) -> bool:
        is_new = kind not in self._kinds and len(self._kinds) < MAX_KINDS
        self._kinds.add(kind)
        return is_new

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in next_step.completed(self._text(record)).splitlines():
                terminal.note(line, label=f"{record.levelname.lower()}:")
        except Exception:  # noqa: BLE001 - a log call never raises into its caller
            terminal.warn(f"a log record of {record.name} cannot be formatted: {record.msg!r}")

    def _text(self, record: logging.LogRecord) -> str:
        return self.format(record) if self._is_debug or _is_failure(record) else record.getMessage()


def _is_failure(record: logging.LogRecord) -> bool:
    """Return whether a record reports that a handler failed."""
    return record.name == LIBRARY and hasattr(record, "handler_id") and record.levelno >= logging.ERROR


def _kind(record: logging.LogRecord) -> Kind:
    """Return what failures of one kind have in common: the handler, and the innermost line of the error."""
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return str(getattr(record, "handler_id", "")), place


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
