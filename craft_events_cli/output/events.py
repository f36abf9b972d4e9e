"""Events on stdout in each of the four formats, page by page.

    table    one event a line, cut to the width, for people
    ndjson   Event JSON, one object a line
    json     Event JSON, one array
    csv      the fields of Event JSON, payload and delivery as JSON

A page is written as soon as it is complete: `| head -1` gets its line at once, and so does a reader of live events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from craft_easy.core.events.store.formats import event_json
from craft_events_cli import terminal
from craft_events_cli.output.rows import csv_line
from craft_events_cli.terminal import Output

Record = Mapping[str, Any]

COLUMNS: Final = (
    "event_id",
    "event_type",
    "timestamp",
    "tenant_id",
    "actor_id",
    "payload",
    "causation_id",
    "correlation_id",
    "delivery",
)


class Writer(Protocol):
    """Writes events to stdout; `close` completes the output that `begin` started."""

    def begin(self) -> None: ...

    def write(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None: ...


def writer(output: Output, *, is_live: bool = False) -> Writer:
    """Return the writer for a format.

    Args:
        output: the format.
        is_live: events of today show no date.
    """
    if output is Output.TABLE:
        from craft_events_cli.output.event_line import LineWriter

        return LineWriter(is_live=is_live)
    kinds: dict[Output, Callable[[], Writer]] = {
        Output.NDJSON: NdjsonWriter,
        Output.JSON: JsonWriter,
        Output.CSV: CsvWriter,
    }
    return kinds[output]()


class NdjsonWriter:
    """One object a line."""

    def begin(self) -> None:
        """Write nothing."""

    def write(self, records: Sequence[Record]) -> None:
        _write("".join([f"{event_json.line(record)}\n" for record in records]).encode("ascii"))
        terminal.flush()

    def close(self) -> None:
        """Write nothing."""


class JsonWriter:
    """One array, one event a line; a closing bracket shows that the output is complete."""

    def __init__(self) -> None:
        self._is_empty = True

    def begin(self) -> None:
        """Write nothing: an empty array is `[]` and written by `close`."""

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        _write(b"[\n" if self._is_empty else b",\n")
        _write(",\n".join(map(event_json.line, records)).encode("ascii"))
        self._is_empty = False
        terminal.flush()

    def close(self) -> None:
        _write(b"[]\n" if self._is_empty else b"\n]\n")
        terminal.flush()


class CsvWriter:
    """One row for each event, under a header (RFC 4180)."""

    def begin(self) -> None:
        terminal.stdout().write(csv_line(COLUMNS))

    def write(self, records: Sequence[Record]) -> None:
        terminal.stdout().writelines(_csv_row(json.loads(event_json.line(record))) for record in records)
        terminal.flush()

    def close(self) -> None:
        terminal.flush()


def _csv_row(event: dict[str, Any]) -> str:
    for name in ("payload", "delivery"):
        if event[name] is not None:
            event[name] = json.dumps(event[name], separators=(",", ":"))
    return csv_line([event[name] for name in COLUMNS])


def _write(data: bytes) -> None:
    """Write ASCII, directly to the buffer of stdout if it has one."""
    stream = terminal.stdout()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode("ascii"))
    else:
        buffer.write(data)
