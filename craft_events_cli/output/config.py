"""Settings as a table; where a line is too narrow, the origin moves below the value, and nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING, width_of
from craft_events_cli.output.table import BOLD, DIM, GAP, MARGIN

_HEADINGS: Final = ("Setting", "Value", "From")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is printed: a password in it is masked."""

    setting: str
    value: str | bool | list[str] | None
    origin: str


def write_settings(settings: Sequence[Setting]) -> None:
    """Write each setting with its value and the origin of the value."""
    rows = [(one.setting, terminal.safe(_text(one)), terminal.safe(one.origin)) for one in settings]
    names, values, origins = (max(map(width_of, column)) for column in zip(_HEADINGS, *rows, strict=True))
    if len(MARGIN) + names + values + origins + 2 * len(GAP) <= terminal.width():
        _write_lines(rows, names, values)
    else:
        _write_pairs(rows, names)


def _write_lines(rows: Sequence[tuple[str, str, str]], names: int, values: int) -> None:
    stream = terminal.stdout()
    setting, value, origin = _HEADINGS
    heading = f"{_padded(setting, names)}{GAP}{_padded(value, values)}{GAP}{origin}"
    stream.write(f"{MARGIN}{terminal.paint(heading, BOLD, stream)}\n")
    for setting, value, origin in rows:
        shown = terminal.paint(origin, DIM, stream)
        stream.write(f"{MARGIN}{_padded(setting, names)}{GAP}{_padded(value, values)}{GAP}{shown}\n")


def _write_pairs(rows: Sequence[tuple[str, str, str]], names: int) -> None:
    stream = terminal.stdout()
    for setting, value, origin in rows:
        stream.write(f"{MARGIN}{_padded(setting, names)}{GAP}{value}\n")
        stream.write(f"{MARGIN}{' ' * names}{GAP}{terminal.paint(origin, DIM, stream)}\n")


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def _text(one: Setting) -> str:
    value = one.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(value) if isinstance(value, list) else value) or NOTHING
