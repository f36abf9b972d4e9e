"""Rows of plain values as NDJSON, JSON or CSV, for commands that list something other than events.

Each command draws its own table. JSON is ASCII, so that nothing in it reaches a terminal raw and nothing is lost; a CSV
cell that a spreadsheet would take for a formula gets a `'`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from craft_events_cli import terminal
from craft_events_cli.terminal import Output, safe


def write_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: Output) -> None:
    """Write rows to stdout in one of the machine formats.

    Args:
        columns: the keys of every row, in order.
        output: a format other than table.
    """
    stream = terminal.stdout()
    if output is Output.CSV:
        stream.write(csv_line(columns))
        stream.writelines(csv_line([row[column] for column in columns]) for row in rows)
    elif output is Output.JSON:
        stream.write(_ascii(json.dumps([dict(row) for row in rows], indent=2)) + "\n")
    else:
        stream.writelines(map(json_line, rows))


class RowWriter:
    """Writes any number of rows to stdout as they arrive, in one of the machine formats.

    Args:
        columns: the keys of every row, in order.
        output: a format other than table.
    """

    def __init__(self, columns: Sequence[str], output: Output) -> None:
        self._columns = columns
        self._output = output
        self._is_empty = True

    def begin(self) -> None:
        """Write the header of the format, if it has one."""
        if self._output is Output.CSV:
            terminal.stdout().write(csv_line(self._columns))

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        stream = terminal.stdout()
        if self._output is Output.CSV:
            stream.write(csv_line([row[column] for column in self._columns]))
        elif self._output is Output.JSON:
            stream.write(("[\n" if self._is_empty else ",\n") + json_line(row).rstrip("\n"))
        else:
            stream.write(json_line(row))
        self._is_empty = False

    def close(self) -> None:
        """Write the end of the format, if it has one."""
        if self._output is Output.JSON:
            terminal.stdout().write("[]\n" if self._is_empty else "\n]\n")
        terminal.flush()


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row as one line of NDJSON."""
    return _ascii(json.dumps(row, separators=(",", ":"))) + "\n"


def _ascii(text: str) -> str:
    """Escape DEL, the one control character that JSON does not escape."""
    return text.replace("\x7f", "\\u007f")


_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes the wide signs of East Asian input for the plain ones.

https://owasp.org/www-community/attacks/CSV_Injection
"""
_QUOTED: Final = ',;"'
"""The semicolon separates cells where the comma is the decimal mark: `x;=A1` would be two of them."""


def csv_line(cells: Sequence[Any]) -> str:
    """Return one line of CSV (RFC 4180)."""
    return ",".join(csv_cell(cell) for cell in cells) + "\r\n"


def csv_cell(value: Any) -> str:
    """Return a value as a cell that is safe for a terminal and never a formula."""
    if value is None:
        return ""
    text = safe(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
    if text.startswith(_FORMULA_STARTS) and isinstance(value, str):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in _QUOTED) else text
