"""Deliveries that ended, one a line, under their event if it was written last.

    17:44:02.118  order.placed       acme  user_77  order_id=o_99 total=80.0
    17:44:02.131    ✓ shop.stock:reserve    12 ms
    17:44:02.640    ✗ shop.billing:charge   attempt 1   CardExpired: card of c_204 expired 2026-09

In NDJSON each is an object with the keys of `COLUMNS`; an event has no `outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_events_cli import terminal
from craft_events_cli.output.cells import cut, width_of
from craft_events_cli.output.rows import json_line
from craft_events_cli.output.spans import plain, shown
from craft_events_cli.terminal import Output, safe

if TYPE_CHECKING:
    from craft_easy.core.events.history.endings import Ending

COLUMNS: Final = (
    "event_id",
    "event_type",
    "tenant_id",
    "handler",
    "outcome",
    "attempt",
    "error",
    "took_ms",
    "reason",
    "at",
)
MOST_OF_HANDLER: Final = 0.35
"""The share of the line that a handler id may take."""
_MARKS: Final = {"done": ("✓", "32"), "failed": ("✗", "31"), "dead": ("✗", "31"), "skipped": ("–", "2")}
_RED, _DIM = "31", "2"
_GAP: Final = "   "
MIN_REMARK: Final = 8


class EndingWriter(Protocol):
    """Writes deliveries that ended to stdout."""

    def write(self, endings: Sequence[Ending], *, below: str | None) -> None:
        """Write deliveries; `below` is the id of the event that was written last."""


def ending_writer(output: Output) -> EndingWriter:
    """Return the writer: lines for people, or NDJSON."""
    return OutcomeLines() if output is Output.TABLE else OutcomeRows()


def outcome_row(ending: Ending) -> dict[str, Any]:
    """Return a delivery as a row of NDJSON."""
    from craft_easy.core.events.store.formats.event_json import text_of

    row = {column: getattr(ending, column) for column in COLUMNS}
    return row | {"at": None if ending.at is None else text_of(ending.at)}


class OutcomeRows:
    """One object a line."""

    def write(self, endings: Sequence[Ending], *, below: str | None) -> None:
        terminal.stdout().writelines(json_line(outcome_row(one)) for one in endings)
        terminal.flush()


class OutcomeLines:
    """Lines for people; like those of events they are never wrapped, and columns grow with their values.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        from craft_easy.core.events import clock

        stream = terminal.stdout()
        self._width = terminal.width(stream)
        self._is_colored = terminal.is_colored(stream)
        self._most = int(self._width * MOST_OF_HANDLER)
        self._columns = [0, 0]
        self._now = now or clock.now

    def write(self, endings: Sequence[Ending], *, below: str | None) -> None:
        lines = [self._line(one, is_below=one.event_id == below) for one in endings]
        terminal.stdout().write("".join(lines))
        terminal.flush()

    def _line(self, ending: Ending, *, is_below: bool) -> str:
        mark, style = _MARKS[ending.outcome]
        head = f"{self._time(ending)}    "
        free = self._width - width_of(head) - len(f"{mark} {_GAP}")
        cells = [cut(safe(ending.handler), min(self._most, free // 2)), _result(ending)]
        self._columns = [max(room, width_of(cell)) for room, cell in zip(self._columns, cells, strict=True)]
        handler, result = (
            cell + " " * (room - width_of(cell)) for cell, room in zip(cells, self._columns, strict=True)
        )
        result = cut(result, free - width_of(handler))
        room = self._width - width_of(f"{head}{mark} {handler}{_GAP}{result}")
        remark = _remark(ending)
        event = "" if is_below else " ".join(filter(None, (ending.event_type, ending.tenant_id, ending.event_id)))
        rest = self._fitting(((remark, _RED if ending.error else ""), (safe(event), _DIM)), room)
        return f"{head}{self._paint(mark, style)} {handler}{_GAP}{result}{rest}".rstrip() + "\n"

    def _fitting(self, parts: Sequence[tuple[str, str]], room: int) -> str:
        shown = ""
        for text, style in parts:
            if text and room >= len(_GAP) + MIN_REMARK:
                short = cut(text, room - len(_GAP))
                shown += _GAP + self._paint(short, style)
                room -= len(_GAP) + width_of(short)
        return shown

    def _time(self, ending: Ending) -> str:
        now = shown(self._now())
        moment = now if ending.at is None else shown(ending.at)
        text = plain(moment, "milliseconds")
        return text[11:] if moment.date() == now.date() else text[5:]

    def _paint(self, text: str, style: str) -> str:
        return terminal.colored(text, style) if style and self._is_colored else text


def _result(ending: Ending) -> str:
    """Return the result in words: the time it took, or the number of the attempt."""
    if ending.outcome == "done":
        took = "" if ending.took_ms is None else f"{ending.took_ms:,.0f} ms"
        return took if ending.attempt < 2 else f"{took}, attempt {ending.attempt:,}".removeprefix(", ")
    if ending.outcome == "failed":
        return f"attempt {ending.attempt:,}"
    if ending.outcome == "dead" and ending.attempt:
        return f"dead, attempt {ending.attempt:,}"
    return ending.outcome


def _remark(ending: Ending) -> str:
    if ending.error is not None:
        return safe(ending.error)
    if ending.reason == "crashed":
        return "crashed its process repeatedly"
    return safe(ending.reason or ("retry requested" if ending.outcome == "failed" else ""))
