"""The width of a text on a terminal, and cutting to a width; Rich is loaded only for text that is not ASCII."""

from __future__ import annotations

from typing import Final

NOTHING: Final = "–"
"""Shown in a cell that has no value."""


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
