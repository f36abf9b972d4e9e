"""The figures of the log on a screen: the backlog, events and failures over time, and groups.

      open 1,241   owned 12   waiting 18   dead 3      oldest open: 3 h 12 min, order.placed of acme
      last 24 h, an hour a bar                                                          peak 18.4 k/h
      events    ▂▂▁▁▁▂▃▅▇█▇▆▆▇▇▆▅▅▄▃▃▂▂▂▂                                                     184,220
      failed    ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▇█                                                       1,310

Lines are made for a width and never wrapped; where the width is too small, the least important parts are left out.
Every text of the log goes through `safe`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output.cells import NOTHING, cut, width_of
from craft_events_cli.output.chart import bar, has_blocks, sparkline
from craft_events_cli.output.event_line import hue_of_cell
from craft_events_cli.output.pauses import pause_line, row_of_pause
from craft_events_cli.output.spans import duration_text, minutes
from craft_events_cli.output.table import CYAN, DIM, GAP, MARGIN, RED, Column, Table
from craft_events_cli.output.workers import running_lines
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.operations.stats import Bar, Crossing, Stats, StatsGroup

YELLOW: Final = "33"
COLUMNS: Final = ("at", "by", "group", "open", "waiting", "dead", "failed", "events", "median_ms", "mean_ms")
MAX_ROWS: Final = 20
"""At most this many groups are shown to people; machine formats contain all of them."""
PICTURE: Final = 16
_LABEL: Final = len("events    ")
_LEAST_GAP: Final = 6
_COURSES: Final = {"events": CYAN, "failed": RED}
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_ONE: Final = {"d": "a day", "h": "an hour", "min": "a minute", "s": "a second"}
_OPTIONS: Final = {"max_backlog": "--max-backlog", "max_age": "--max-age", "max_dead": "--max-dead"}


def bars_that_fit() -> int:
    """Return the number of bars that fit on a line with its label and number."""
    return terminal.width() - len(MARGIN) - _LABEL - len(GAP) - len("999,999,999")


@dataclass(frozen=True, slots=True)
class Screen:
    """Draws the lines of a screen.

    Args:
        window: the description of the window.
        max_rows: the maximum number of groups.
    """

    window: str
    max_rows: int = MAX_ROWS

    def lines(self, found: Stats) -> Iterator[str]:
        """Yield the lines."""
        yield from _standing(found)
        yield from self._over_time(found)
        yield from self._groups(found)
        yield from _paused(found)
        yield from running_lines(found.running)

    def _over_time(self, found: Stats) -> Iterator[str]:
        room = terminal.width() - len(MARGIN)
        numbers = {name: f"{getattr(found, name):,}" for name in _COURSES}
        widest = max(map(len, numbers.values()))
        bars, together = _folded(found.bars, room - _LABEL - len(GAP) - widest)
        width = _LABEL + len(bars) + len(GAP) + widest
        title = f"{self.window}, {_one_bar(together * found.bar)} a bar"
        peak = f"peak {_rate(bars, together * found.bar)}" if found.events else ""
        if width_of(title) + len(GAP) + len(peak) <= room:
            width = max(width, width_of(title) + len(GAP) + len(peak))
            title += " " * (width - width_of(title) - len(peak)) + peak
        yield ""
        yield MARGIN + cut(title, room)
        for name, style in _COURSES.items():
            values = [getattr(one, name) for one in bars]
            line = sparkline(values, blocks=has_blocks(terminal.stdout()))
            padding = " " * (width - _LABEL - len(line) - len(numbers[name]))
            yield MARGIN + name.ljust(_LABEL) + _painted(line, style if any(values) else DIM) + padding + numbers[name]
        yield from _axis(bars)

    def _groups(self, found: Stats) -> Iterator[str]:
        shown = found.groups[: self.max_rows]
        if not shown:
            return
        yield ""
        name, measure = found.by.capitalize(), _measure(shown)
        columns = _columns(found, name, measure)
        most = max(getattr(one, measure) or 0 for one in shown)
        yield from Table(columns).lines([_cells(one, name, measure, most) for one in shown])
        left = len(found.groups) - len(shown)
        if left:
            yield MARGIN + _painted(f"… and {left:,} more: -o ndjson", DIM)


def _paused(found: Stats) -> Iterator[str]:
    if found.paused:
        yield ""
    for one in found.paused:
        yield MARGIN + _painted(cut(safe(pause_line(one)), terminal.width() - len(MARGIN)), YELLOW)


def _standing(found: Stats) -> Iterator[str]:
    """Yield the figures of the backlog, on as many lines as they need."""
    room = terminal.width() - len(MARGIN)
    parts = [(f"{name} {getattr(found, name):,}", name) for name in ("open", "owned", "waiting", "dead")]
    oldest = _oldest(found)
    *above, last = _rows_of(parts, room)
    yield from (MARGIN + _joined(row) for row in above)
    width = len(GAP.join(text for text, _ in last))
    if oldest and not above and width + _LEAST_GAP + width_of(oldest) <= room:
        yield MARGIN + _joined(last) + " " * _LEAST_GAP + oldest
        return
    yield MARGIN + _joined(last)
    if oldest:
        yield MARGIN + cut(oldest, room)


def _rows_of(parts: Sequence[tuple[str, str]], room: int) -> list[list[tuple[str, str]]]:
    """Return the parts in as few rows as possible."""
    rows: list[list[tuple[str, str]]] = [[]]
    for part in parts:
        if len(GAP.join(text for text, _ in [*rows[-1], part])) > room:
            rows.append([])
        rows[-1].append(part)
    return rows


def _joined(row: Sequence[tuple[str, str]]) -> str:
    return GAP.join(_part(*one) for one in row)


def _part(text: str, name: str) -> str:
    is_something = not text.endswith(" 0")
    return _painted(text, {"dead": RED, "waiting": YELLOW}.get(name, "") if is_something else DIM)


def _oldest(found: Stats) -> str:
    if found.oldest is None:
        return ""
    of_tenant = "" if found.oldest.tenant_id is None else f" of {safe(found.oldest.tenant_id)}"
    return (
        f"oldest open: {duration_text(found.oldest.age_s)}, {safe(found.oldest.event_type) or '(no type)'}{of_tenant}"
    )


def _folded(bars: Sequence[Bar], room: int) -> tuple[list[Bar], int]:
    """Return bars that fit the width, and how many counted intervals each of them covers."""
    together = max(-(-len(bars) // max(room, 1)), 1)
    parts = [bars[start : start + together] for start in range(0, len(bars), together)]
    folded = [
        replace(part[0], until=part[-1].until, **{name: sum(getattr(one, name) for one in part) for name in _COURSES})
        for part in parts
    ]
    return folded, together


def _axis(bars: Sequence[Bar]) -> Iterator[str]:
    """Return the times of the first and the last bar, if there is room for them."""
    begin, end = minutes([bars[0].since, bars[-1].until])
    if len(bars) >= len(begin) + len(GAP) + len(end):
        yield MARGIN + " " * _LABEL + _painted(begin + end.rjust(len(bars) - len(begin)), DIM)


def _columns(found: Stats, name: str, measure: str) -> list[Column]:
    styles: Mapping[str, Any] = {
        "type": CYAN,
        "tenant": hue_of_cell,
        "error": RED,
    }
    numbers = [
        Column("Open", is_right=True),
        Column("Waiting", rank=3, is_right=True, style=_unless_zero(YELLOW)),
        Column("Dead", is_right=True, style=_unless_zero(RED)),
        Column("Failed", rank=1, is_right=True, style=_unless_zero(RED)),
    ]
    if found.by != "error":
        numbers.append(Column("Events", rank=4, is_right=True))
    if found.by == "handler":
        is_mean = any(one.mean_ms is not None for one in found.groups)
        numbers.append(Column("Mean" if is_mean else "Median", rank=2, is_right=True))
    picture = Column(measure, rank=5, style=CYAN)
    return [Column(name, least=8, good=40, style=styles.get(found.by, "")), *numbers, picture]


def _unless_zero(style: str) -> Any:
    return lambda text: DIM if text == "0" else style


def _measure(groups: Sequence[StatsGroup]) -> str:
    """Return the figure that the bars of the groups show: open deliveries, otherwise failures, otherwise events."""
    return next((name for name in ("open", "dead", "failed") if any(getattr(one, name) for one in groups)), "events")


def _cells(group: StatsGroup, name: str, measure: str, most: int) -> dict[str, str]:
    return {
        name: NOTHING if group.name is None else group.name or "(empty)",
        "Open": f"{group.open:,}",
        "Waiting": f"{group.waiting:,}",
        "Dead": f"{group.dead:,}",
        "Failed": f"{group.failed:,}",
        "Events": f"{group.events or 0:,}",
        "Median": NOTHING if group.median_ms is None else _duration(group.median_ms),
        "Mean": NOTHING if group.mean_ms is None else _duration(group.mean_ms),
        measure: bar(getattr(group, measure) or 0, most, PICTURE, blocks=has_blocks(terminal.stdout())),
    }


def _painted(text: str, style: str) -> str:
    return terminal.paint(text, style, terminal.stdout()) if style and text else text


def _one_bar(width: timedelta) -> str:
    seconds = width.total_seconds()
    for size, unit in _UNITS:
        if seconds == size:
            return _ONE[unit]
    return duration_text(seconds) if seconds >= 1 else f"{seconds * 1000:g} ms"


def _rate(bars: Sequence[Bar], width: timedelta) -> str:
    """Return the greatest number of events in a bar as a rate, in a unit that does not round it to nothing."""
    seconds, most = width.total_seconds(), max(one.events for one in bars)
    fitting = next((number for number, (size, _) in enumerate(_UNITS) if size <= seconds), len(_UNITS) - 1)
    size, unit = next((one for one in reversed(_UNITS[: fitting + 1]) if most * one[0] >= seconds), _UNITS[0])
    return f"{short(most / seconds * size)}/{unit}"


def short(number: float) -> str:
    """Return a number in a short form.

    >>> short(18_412), short(9_999), short(1.25), short(3_400_000)
    ('18.4 k', '9,999', '1.2', '3.4 M')
    """
    for least, size, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if number >= least:
            return f"{number / size:.1f} {letter}"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _duration(ms: float) -> str:
    if ms < 0.1:
        return "<0.1 ms"
    if ms < 1_000:
        return f"{ms:.3g} ms"
    return f"{ms / 1_000:.3g} s" if ms < 60_000 else duration_text(ms / 1_000)


def span_of(seconds: float) -> str:
    """Return the length of a window, in hours up to two days.

    >>> span_of(86_400), span_of(5_400), span_of(7 * 86_400)
    ('24 h', '1 h 30 min', '7 d')
    >>> span_of(86_400.02)
    '24 h'
    """
    seconds = round(seconds / 60) * 60 if seconds >= 3_600 else seconds
    hours = seconds / 3_600
    return f"{hours:.0f} h" if hours == int(hours) and 24 <= hours <= 48 else duration_text(seconds)


def alarms_of(found: Stats, crossings: Sequence[Crossing]) -> Iterator[str]:
    """Yield the thresholds that are crossed, with their values, and the handlers that are missing."""
    for one in crossings:
        option = _OPTIONS[one.name]
        if one.name == "max_age":
            yield f"over {option} {duration_text(one.limit)}: the oldest open event is {duration_text(one.value)} old"
        else:
            what = "open events" if one.name == "max_backlog" else "dead deliveries"
            yield f"over {option} {one.limit:,}: there are {one.value:,} {what}"
    for name in found.orphaned or ():
        yield f"{name} is named by open events and is not loaded"


def object_of(found: Stats, crossings: Sequence[Crossing]) -> dict[str, Any]:
    """Return all figures as one object; its keys are always the same."""
    from craft_easy.core.events.store.formats.event_json import text_of

    oldest = found.oldest
    return {
        "at": text_of(found.at),
        "open": found.open,
        "owned": found.owned,
        "waiting": found.waiting,
        "due": found.due,
        "dead": found.dead,
        "oldest": None
        if oldest is None
        else {
            "event_id": oldest.event_id,
            "event_type": oldest.event_type,
            "timestamp": text_of(oldest.timestamp),
            "tenant_id": oldest.tenant_id,
            "age_s": round(oldest.age_s, 3),
        },
        "since": text_of(found.since),
        "until": text_of(found.until),
        "bar_s": found.bar.total_seconds(),
        "events": found.events,
        "failed": found.failed,
        "bars": [{"since": text_of(one.since), "events": one.events, "failed": one.failed} for one in found.bars],
        "by": found.by,
        "groups": [_group_object(one) for one in found.groups],
        "orphaned_handlers": None if found.orphaned is None else list(found.orphaned),
        "paused": [row_of_pause(one) for one in found.paused],
        "workers": found.workers,
        "running": [
            {"owner": one.owner, "handler": one.handler, "event_id": one.event_id, "since": text_of(one.since)}
            for one in found.running
        ],
        "crossed": [{"limit": one.name, "value": round(one.value, 3), "allowed": one.limit} for one in crossings],
    }


def _group_object(group: StatsGroup) -> dict[str, Any]:
    return {"group": group.name, **{column: getattr(group, column) for column in COLUMNS[3:]}}


def rows_of(found: Stats) -> Iterator[dict[str, Any]]:
    """Yield a row for the total and one for each group."""
    from craft_easy.core.events.store.formats.event_json import text_of

    at = text_of(found.at)
    whole = {"open": found.open, "waiting": found.waiting, "dead": found.dead}
    yield {
        "at": at,
        "by": "all",
        "group": None,
        **whole,
        "failed": found.failed,
        "events": found.events,
        "median_ms": None,
        "mean_ms": None,
    }
    for group in found.groups:
        yield {"at": at, "by": found.by, **_group_object(group)}
