"""The colours of cells that the other commands print, for Textual."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from rich.color import Color
from rich.style import Style
from rich.text import Text
from textual.content import Content

from craft_events_cli.output.cells import Cell
from craft_events_cli.output.event_line import MANY_HUES, hue_of

_STYLES: Final = {
    "1": "bold",
    "2": "$text-muted",
    "31": "bold $text-error",
    "32": "$text-success",
    "33": "$text-warning",
    "36": "$text-accent",
}

_RICH_STYLES: Final = {"1": "bold", "2": "dim", "31": "bold red", "32": "green", "33": "yellow", "36": "cyan"}


@lru_cache(maxsize=1024)
def tenant_style(tenant_id: str | None) -> Style:
    """Return the style of a tenant; its hue is the same as in other commands."""
    return Style(color=_hue(hue_of(tenant_id, MANY_HUES))) if tenant_id else Style(dim=True)


def content_of(cells: Iterable[Cell]) -> Content:
    """Return cells, whose texts are safe, as content of one line."""
    return Content.assemble(*((cell.text, _style(cell.style)) for cell in cells))


def text_of(cells: Iterable[Cell]) -> Text:
    """Return cells, whose texts are safe, as a line of a tree or a table."""
    return Text.assemble(*((one.text, _rich_style(one.style)) for one in cells), no_wrap=True)


def _rich_style(code: str) -> Style:
    if code.startswith("38;5;"):
        return Style(color=_hue(code))
    return Style.parse(_RICH_STYLES.get(code, ""))


def _style(code: str) -> str:
    if code.startswith("38;5;"):
        return _hue(code).get_truecolor().hex
    return _STYLES.get(code, "")


def _hue(code: str) -> Color:
    return Color.from_ansi(int(code.rpartition(";")[2]))
