"""Cells of a line: the width and the colour of a text, cutting and folding to a width.

Rich is loaded only for text that is not ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from craft_events_cli import terminal

NOTHING: Final = "–"
"""Shown in a cell that has no value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line, and the numbers of the ANSI sequence that colours it."""

    text: str
    style: str = ""


def painted(cell: Cell, *, is_colored: bool) -> str:
    """Return the text of a cell, coloured where the stream shows colours."""
    return terminal.colored(cell.text, cell.style) if cell.style and is_colored else cell.text


def width_of(text: str) -> int:
    """Return the number of columns that a text without control characters takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Cut a text to at most `width` columns; a cut text ends with `…`."""
    if len(text) * 2 <= width or width_of(text) <= width:
        return text
    if text.isascii():
        return text[: max(width - 1, 0)] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def folded(text: str, room: int) -> list[str]:
    """Return a text in lines of at most `room` columns, broken at spaces where there are any; at least one line.

    >>> folded("konnte nicht", 8), folded("千代田区", 5)
    (['konnte', 'nicht'], ['千代', '田区'])
    """
    if text.isascii():
        from textwrap import wrap

        return wrap(text, room, break_on_hyphens=False) or [""]
    from rich.console import Console
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(text).wrap(Console(width=room), room)] or [""]
