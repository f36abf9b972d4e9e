"""Progress of long work: one line on stderr that is redrawn, with count, share, rate and time left.

    delivering ━━━━━━━━━━━━━━━━━━━━━━━━━━━╸━  1,204/1,241   97 %   412/s   0:00:01 left

It appears after half a second, only on a terminal, and never where data may go to the same terminal: stdout is that
terminal, or a pipe whose reader may share it. It does not use Rich, whose import often takes longer than the work.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

from craft_easy.core.events.clock import steady
from craft_events_cli import terminal

SHOWN_AFTER: Final = 0.5
"""Seconds of work before the line appears."""
DRAWN_EVERY: Final = 0.1
_BAR: Final = 30
_LEAST_BAR: Final = 6
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Shows the progress of a piece of work.

    Args:
        label: the name of the work, such as `delivering`.
        total: the number of items; None while it is unknown.
        is_quiet: show nothing, because data goes to the terminal.
    """

    def __init__(self, label: str, *, total: int | None = None, is_quiet: bool = False) -> None:
        self.total = total
        self._label = label
        self._done = 0
        self._began = self._drawn_at = steady()
        self._is_drawn = False
        self.is_shown = not is_quiet and _can_be_drawn()

    def start(self, total: int | None) -> None:
        """Start again, with another total."""
        self.total, self._done = total, 0
        self._began = self._drawn_at = steady()

    def advance(self, pieces: int = 1) -> None:
        """Count items as done."""
        self._done += pieces
        now = steady()
        if self.is_shown and now - self._began >= SHOWN_AFTER and now - self._drawn_at >= DRAWN_EVERY:
            self._drawn_at = now
            self._is_drawn = True
            _write(_CLEAR + self._line(now - self._began))

    def draw(self, text: str) -> None:
        """Show another line in place of the counts."""
        if self.is_shown:
            self._is_drawn = True
            room = max(terminal.width(sys.stderr) - 1, 0)
            _write(_CLEAR + f"{self._label}  {text}"[:room])

    def note(self, text: str) -> None:
        """Write a line to stderr, above the progress line."""
        self._erase()
        terminal.note(text)

    def close(self) -> None:
        """Remove the line."""
        self._erase()

    def _erase(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            _write(_CLEAR)

    def _line(self, seconds: float) -> str:
        room = max(terminal.width(sys.stderr) - 1, 0)
        return progress_line(self._label, self._done, self.total, seconds, width=room)[:room]


def progress_line(label: str, done: int, total: int | None, seconds: float, *, width: int = terminal.PIPE_WIDTH) -> str:
    """Return the progress line.

    Args:
        label: the name of the work.
        done: the number of items that are done; it can be more than `total` if more have arrived since.
        total: the number of items; None while it is unknown.
        seconds: the time since the start.
        width: the available columns; the bar shrinks before the numbers do.
    """
    rate = done / seconds if seconds > 0 else 0.0
    speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    if not total or done > total:
        return f"{label}  {done:,}   {speed}"
    share = done / total
    left = f"   {duration((total - done) / rate)} left" if rate else ""
    numbers = f"  {done:,}/{total:,}  {share:4.0%}   {speed}{left}"
    room = min(_BAR, width - len(label) - len(numbers) - 1)
    return f"{label} {_bar(share, room)}{numbers}" if room >= _LEAST_BAR else f"{label}{numbers}"


def duration(seconds: float) -> str:
    """Return a duration as `0:00:07`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _bar(share: float, width: int) -> str:
    filled = int(share * width)
    return "━" * filled + ("╸" + "─" * (width - filled - 1) if filled < width else "")


def _can_be_drawn() -> bool:
    """Return whether stderr is a terminal that can redraw a line, shows UTF-8, and is not shared by a pipe's reader."""
    import os

    if not terminal.is_terminal(sys.stderr) or terminal.is_pipe(terminal.stdout()) or os.environ.get("TERM") == "dumb":
        return False
    return (getattr(sys.stderr, "encoding", "") or "").lower().replace("-", "") == "utf8"


def _write(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
