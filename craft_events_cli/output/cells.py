"""How wide a text is on a terminal, and a text cut to a width; Rich is asked only where letters may be wide."""

from __future__ import annotations

from typing import Final

NOTHING: Final = "–"
"""What stands in a cell without a value."""


def width_of(text: str) -> int:
    """Return how many columns a text without control characters takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text that takes at most so many columns; one that was cut ends with `…`."""
    if len(text) * 2 <= width or width_of(text) <= width:
        return text
    if text.isascii():
        return text[: max(width - 1, 0)] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"
