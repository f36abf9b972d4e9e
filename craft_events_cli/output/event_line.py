"""One event a line, for people: time, type, tenant, actor, the beginning of the payload.

    11-22 09:14:03.120  payment.completed  acme  user_77  payment_id=p_1 amount=12.5 currency=EUR

Lines are cut, never wrapped; below 80 columns the actor is left out. Lines are streamed, so a column grows when a
longer value arrives and never shrinks. Every text of the log goes through `safe`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zlib import crc32

from craft_easy.core.events import clock
from craft_easy.core.events.model.envelope import Envelope, read_envelope
from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING, cut, width_of
from craft_events_cli.output.payload import Part, payload_parts
from craft_events_cli.output.spans import plain, shown
from craft_events_cli.terminal import safe

WITHOUT_ACTOR_BELOW: Final = 80
ROOMY: Final = 100
MIN_PAYLOAD: Final = 8

_GAP: Final = "  "
_TYPE, _DIM = "36", "2"
_HUES: Final = ("32", "33", "34", "35", "94", "95")
MANY_HUES: Final = tuple(
    f"38;5;{number}"
    for number in (28, 29, 33, 63, 64, 67, 96, 98, 100, 101, 103, 105, 130, 132, 133, 135, 136, 137, 164, 170)
)
"""Hues that differ from red (failures) and from that of the type, and that can be read on black and on white."""
_TIME, _DAY, _YEAR = range(3)
_MOST: Final = (0.28, 0.15, 0.12)
"""The share of the line that type, tenant and actor may take; a longer value is cut."""
_ALIGNED: Final = (0.22, 0.10, 0.09)
"""The limit to which their columns grow; a longer value shifts the rest of its own line only."""


class LineWriter:
    """Writes events to stdout, one a line.

    Args:
        is_live: events of today show the time only; otherwise the date is always shown.
        now: the clock.
    """

    def __init__(self, *, is_live: bool = False, now: Callable[[], datetime] = clock.now) -> None:
        stream = terminal.stdout()
        self._width = terminal.width(stream)
        self._is_colored = terminal.is_colored(stream)
        self._hues = hues()
        self._least = _TIME if is_live else _DAY
        self._is_live = is_live
        self._now = now
        self._columns = [0, 0, 0] if self._width >= WITHOUT_ACTOR_BELOW else [0, 0]
        self._limits = [max(6, int(self._width * share)) for share in _MOST]
        self._aligned = [max(6, int(self._width * share)) for share in _ALIGNED]

    def begin(self) -> None:
        """Write nothing: lines have no header."""

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        envelopes = [read_envelope(record) for record in records]
        times = self._times(envelopes)
        rows = [self._cells(envelope) for envelope in envelopes]
        self._make_room(rows)
        lines = [self._line(*one) for one in zip(times, rows, envelopes, strict=True)]
        terminal.stdout().write("".join(lines))
        terminal.flush()

    def close(self) -> None:
        """Write nothing."""

    def _times(self, envelopes: Sequence[Envelope]) -> list[str]:
        moments, now = [shown(one.timestamp) for one in envelopes], shown(self._now())
        form = max([self._least, *(_form(one, now) for one in moments)])
        if not self._is_live:
            self._least = form
        unit = "seconds" if form == _YEAR and self._width < ROOMY else "milliseconds"
        return [plain(one, unit)[(11, 5, 0)[form] :] for one in moments]

    def _cells(self, envelope: Envelope) -> list[str]:
        texts = (envelope.event_type, envelope.tenant_id, envelope.actor_id)
        limits = self._limits[: len(self._columns)]
        return [cut(safe(text) if text else NOTHING, limit) for text, limit in zip(texts, limits, strict=False)]

    def _make_room(self, rows: Sequence[Sequence[str]]) -> None:
        for row in rows:
            for index, cell in enumerate(row):
                self._columns[index] = max(self._columns[index], min(width_of(cell), self._aligned[index]))

    def _line(self, time: str, cells: Sequence[str], envelope: Envelope) -> str:
        styles = (_TYPE, hue_of(envelope.tenant_id, self._hues), "" if envelope.actor_id else _DIM)
        parts, room = [time], self._width - width_of(time) - len(_GAP)
        for cell, column, style in zip(cells, self._columns, styles, strict=False):
            padding = " " * (column - width_of(cell))
            parts.append(self._paint(cell, style) + padding)
            room -= width_of(cell) + len(padding) + len(_GAP)
        if room >= MIN_PAYLOAD:
            parts.append("".join(map(self._paint_part, payload_parts(envelope.payload, room))))
        return _GAP.join(parts).rstrip() + "\n"

    def _paint_part(self, part: Part) -> str:
        return self._paint(part.text, _DIM if part.is_dim else "")

    def _paint(self, text: str, style: str) -> str:
        return terminal.colored(text, style) if style and self._is_colored else text


def hues() -> Sequence[str]:
    """Return the hues for tenants that this terminal can show."""
    return MANY_HUES if terminal.has_many_colors() else _HUES


def hue_of(tenant_id: str | None, choice: Sequence[str]) -> str:
    """Return the hue of a tenant; it is always the same."""
    if not tenant_id:
        return _DIM
    return choice[crc32(tenant_id.encode("utf-8", "surrogatepass")) % len(choice)]


def hue_of_cell(text: str) -> str:
    """Return the hue of a tenant in a cell of a table."""
    return hue_of("" if text == NOTHING else text, hues())


def _form(moment: datetime, now: datetime) -> int:
    """Return the time, with the date and year only where they differ from now."""
    if moment.year != now.year:
        return _YEAR
    return _TIME if moment.date() == now.date() else _DAY
