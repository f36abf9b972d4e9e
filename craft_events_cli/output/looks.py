"""Repeated output of `stats --watch`: a live screen for people, an object or rows for machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from craft_events_cli import terminal
from craft_events_cli.output.cells import cut
from craft_events_cli.output.rows import csv_line, json_line
from craft_events_cli.output.spans import stamp
from craft_events_cli.output.stats import COLUMNS, MAX_ROWS, Screen, alarms_of, object_of, rows_of
from craft_events_cli.output.table import DIM, MARGIN, RED
from craft_events_cli.terminal import Output, safe

if TYPE_CHECKING:
    from rich.live import Live

    from craft_easy.core.events.operations.stats import Crossing, Stats

BESIDE_ROWS: Final = 14
"""Lines of the live screen that are not rows: title, figures, header, notes."""


class Looks:
    """Writes the figures of each round to stdout.

    Args:
        output: the format.
        window: returns the description of the window.
        every: seconds between two rounds; None for a single one.
    """

    def __init__(self, output: Output, window: Callable[[Stats], str], every: float | None = None) -> None:
        self._output = output
        self._window = window
        self._every = every
        self._live: Live | None = None
        self._is_first = True
        self._shown: list[str] = []

    def __enter__(self) -> Self:
        if self._output is Output.CSV:
            terminal.stdout().write(csv_line(COLUMNS))
        if self._output is Output.TABLE and self._every is not None and _can_draw():
            self._live = _live_screen()
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def write(self, found: Stats, crossings: Sequence[Crossing], hints: Sequence[str]) -> None:
        """Write the figures; a live screen shows problems and hints below them."""
        if self._live is not None:
            alarms = list(alarms_of(found, crossings))
            self._draw([*self._lines(found), *_below(alarms, RED), *_below(hints, DIM)])
        elif self._output is Output.TABLE:
            lines = self._lines(found) if self._is_first else ["", *self._lines(found)]
            terminal.stdout().writelines(f"{line}\n" for line in lines)
        elif self._output is Output.CSV:
            terminal.stdout().writelines(csv_line([row[one] for one in COLUMNS]) for row in rows_of(found))
        else:
            terminal.stdout().write(json_line(object_of(found, crossings)))
        self._is_first = False
        terminal.flush()

    def lost(self, reason: str) -> None:
        """Report that a query failed and that the figures on the screen are old."""
        if self._live is None:
            terminal.warn(f"{reason}; trying again")
            return
        self._draw([*self._shown, *_below([f"{reason}; trying again; these figures are old"], RED)], is_kept=True)

    def _lines(self, found: Stats) -> list[str]:
        rows = MAX_ROWS if self._live is None else max(_height() - BESIDE_ROWS, 1)
        head = [] if self._every is None else [_line(_head(found, self._every), DIM)]
        return [*head, *Screen(self._window(found), rows).lines(found)]

    def _draw(self, lines: list[str], *, is_kept: bool = False) -> None:
        from rich.text import Text

        assert self._live is not None
        if not is_kept:
            self._shown = lines
        self._live.console.width = _columns()
        screen = Text("\n", no_wrap=True, overflow="crop").join(map(Text.from_ansi, lines))
        self._live.update(screen, refresh=True)


def _live_screen() -> Live:
    from rich.live import Live

    return Live(
        console=terminal.console(),
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )


def _can_draw() -> bool:
    return terminal.is_terminal(terminal.stdout()) and os.environ.get("TERM") != "dumb"


def _head(found: Stats, every: float) -> str:
    return f"{stamp(found.at)}   every {every:g} s   Ctrl-C to stop"


def _below(texts: Sequence[str], style: str) -> list[str]:
    return ["", *(_line(text, style) for text in texts)] if texts else []


def _line(text: str, style: str) -> str:
    return MARGIN + terminal.paint(cut(safe(text), terminal.width() - len(MARGIN)), style, terminal.stdout())


def _height() -> int:
    return _size()[1]


def _columns() -> int:
    return _size()[0]


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(terminal.stdout().fileno())
    except (OSError, ValueError):
        return os.terminal_size((80, 24))
