"""Text of the log for widgets: no control character reaches the terminal, and nothing is read as markup.

Every widget of the console gets `Content` from here; a plain `str` would be read as Textual's markup.
"""

from __future__ import annotations

from rich.text import Text
from textual.content import Content

from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING


def plain(text: object, style: str = "") -> Content:
    """Return a text as content of one line, each control character as its escape.

    >>> plain("[red]a\\x1b[31m").plain
    '[red]a\\\\x1b[31m'
    """
    shown = NOTHING if text is None else terminal.safe(str(text))
    return Content.styled(shown, style) if style else Content(shown)


def lines(text: str, style: str = "") -> Content:
    """Return a text of several lines, each of them safe."""
    return Content("\n").join(plain(line, style) for line in text.split("\n"))


def cell(text: object, style: str = "", *, is_right: bool = False) -> Text:
    """Return a text as a cell of a table, on one line; `style` is one of Rich's."""
    shown = NOTHING if text is None else terminal.safe(str(text))
    return Text(shown, style, justify="right" if is_right else "left", no_wrap=True, overflow="ellipsis")
