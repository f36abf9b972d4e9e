"""Cells of a line: the width and the colour of a text, and cutting to a width.

Rich is loaded only for text that is not ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOTHING: Final = "–"
"""Shown in a cell that has no value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line, and the numbers of the ANSI sequence that colours it."""

    text: str
    style: str = ""


def painted(cell: Cell, *, is_colored: bool) -> str:
    """Return the text of a cell, coloured where the stream shows colours."""
    return f"\x1b[{cell.style}m{cell.text}\x1b[0m" if cell.style and is_colored else cell.text


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
