"""One event for people: its fields, a line for each delivery, then the errors that the record keeps.

      order.placed   2026-11-23 15:02:11.480 UTC   tenant acme   actor user_12
      payload   {"order_id": "o_57", "total": 80.0}
      dead, taken over once
      ✓ shop.stock:reserve    done after 1 attempt     12 ms   15:02:11
      ✗ shop.billing:charge   dead after 20 attempts           17:40:02   CardExpired: card of c_204 expired 2026-09

It reads Event JSON, so that people and programs see the same. Lines of deliveries are cut to the width; the lines below
them are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from craft_events_cli import terminal
from craft_events_cli.output.cells import Cell, cut, folded, painted, width_of
from craft_events_cli.output.counts import counted
from craft_events_cli.output.event_line import hue_of, hues
from craft_events_cli.output.spans import plain, shown, stamp
from craft_events_cli.terminal import safe

Event = Mapping[str, Any]

MARGIN: Final = "  "
GAP: Final = "   "
MAX_LINES: Final = 20
"""A payload is cut after this number of lines."""
MAX_HANDLER: Final = 60
MIN_HANDLER: Final = 12
MIN_REMARK: Final = 16
"""Below this width the details of a delivery are written under it, uncut."""
MIN_TEXT: Final = 30
"""Below this width a text is written under its label."""
_MARK, _HANDLER, _OUTCOME, _TOOK, _TIME = range(5)
_MARKS: Final = {"done": ("✓", "32"), "dead": ("✗", "31"), "skipped": ("–", "2"), "pending": ("·", "33")}
_RED, _CYAN, _DIM = "31", "36", "2"


def write_event(event: Event, *, traceback: bool = False) -> None:
    """Write one event to stdout.

    Args:
        event: Event JSON.
        traceback: also the stored frames of each error, the innermost last.
    """
    stream = terminal.stdout()
    is_colored, room = terminal.is_colored(stream), terminal.width(stream) - len(MARGIN)
    for cells in lines_of(event, room, traceback=traceback):
        stream.write(MARGIN + "".join(painted(cell, is_colored=is_colored) for cell in cells).rstrip() + "\n")


def lines_of(event: Event, room: int, *, traceback: bool, has_payload: bool = True) -> Iterator[list[Cell]]:
    """Yield the lines of an event, each as its cells, whose texts are safe.

    Args:
        event: Event JSON.
        room: the width; lines of deliveries are cut to it.
        traceback: also the stored frames of each error.
        has_payload: also the payload.
    """
    yield from _head(event, room)
    if "redacted" in event:
        yield from _labelled_trace(event["redacted"], room)
    elif has_payload:
        yield from _payload(event["payload"], room)
    yield from _ids(event, room)
    delivery = event["delivery"]
    yield [Cell(standing(delivery, event["timestamp"]))]
    if delivery is not None:
        yield from _deliveries(delivery["handlers"], event["timestamp"], room, traceback=traceback)


def _ids(event: Event, room: int) -> Iterator[list[Cell]]:
    """Yield the ids that lead from the event to others, each on a line or, where that is too long, on two."""
    trace_id = event.get("trace_context", {}).get("traceparent", "").partition("-")[2].partition("-")[0]
    ids = ("caused by", event["causation_id"]), ("chain started by", event["correlation_id"]), ("trace", trace_id)
    for words, value in ids:
        if value:
            label, cell = Cell(f"{words}{GAP}", _DIM), Cell(safe(value))
            is_one_line = _width([label, cell]) <= room
            yield from ([label, cell],) if is_one_line else ([label], [Cell(MARGIN), cell])


def _head(event: Event, room: int) -> Iterator[list[Cell]]:
    """Yield type, time, tenant and actor, on as many lines as they need."""
    time = stamp(datetime.fromisoformat(event["timestamp"]), unit="milliseconds")
    parts = [[Cell(safe(event["event_type"]) or "(no type)", _CYAN)], [Cell(time)]]
    tenant, actor = event["tenant_id"], event["actor_id"]
    if tenant is not None:
        parts.append([Cell("tenant "), Cell(safe(tenant), hue_of(tenant, hues()))])
    if actor is not None:
        parts.append([Cell(f"actor {safe(actor)}")])
    line: list[Cell] = []
    for part in parts:
        if line and _width([*line, Cell(GAP), *part]) > room:
            yield line
            line = []
        line += [Cell(GAP), *part] if line else part
    yield line


def _width(cells: Iterable[Cell]) -> int:
    return sum(width_of(cell.text) for cell in cells)


def _payload(payload: Mapping[str, Any], room: int) -> Iterator[list[Cell]]:
    label = "payload   "
    text = safe(json.dumps(payload, ensure_ascii=False))
    lines = folded(text[: room * MAX_LINES], room - len(label))
    if len(text) > room * MAX_LINES or len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], "… for the whole payload: -o json"]
    for number, line in enumerate(lines):
        yield [Cell(label if number == 0 else " " * len(label), _DIM), Cell(line)]


def _labelled_trace(trace: Mapping[str, Any], room: int) -> Iterator[list[Cell]]:
    """Yield when, by whom and why the payload was removed."""
    words = ["removed on request"]
    if isinstance(trace["at"], str):
        with suppress(ValueError):  # another program may have written it
            words.append(stamp(datetime.fromisoformat(trace["at"])))
    words += [f"by {trace['by']}"] if trace["by"] else []
    text = " ".join(words) + (f": {trace['reason']}" if trace["reason"] else "")
    label = "payload   "
    for number, line in enumerate(folded(safe(text), room - len(label))):
        yield [Cell(label if number == 0 else " " * len(label), _DIM), Cell(line)]


def standing(delivery: Mapping[str, Any] | None, published: str) -> str:
    """Say in a few words how the deliveries of an event stand; a day is named where it is not that of the event."""
    if delivery is None:
        return "untracked: stored without deliveries"
    parts = [delivery["state"]]
    if not delivery["handlers"]:
        parts.append("no handler was subscribed when it was published")
    if delivery["owner"] is not None:
        parts.append(f"owned by {safe(delivery['owner'])}")
    elif delivery["state"] == "open" and delivery["due_at"] is not None:
        parts.append(f"due from {_time(delivery['due_at'], published)}")
    if takeovers := delivery["takeovers"]:
        times = {1: "once", 2: "twice"}.get(takeovers, f"{takeovers:,} times")
        parts.append(f"taken over {times}")
    return ", ".join(parts)


def _deliveries(
    handlers: Sequence[Mapping[str, Any]], published: str, room: int, *, traceback: bool
) -> Iterator[list[Cell]]:
    rows = [_row(one, published) for one in handlers]
    widths = _fitted([max((width_of(row[column].text) for row in rows), default=0) for column in range(5)], room)
    for row, handler in zip(rows, handlers, strict=True):
        line: list[Cell] = []
        for cell, width in zip(row, widths, strict=False):
            if width:
                text = cut(cell.text, width)
                gap = " " if cell is row[_MARK] else GAP
                line += [Cell(text, cell.style), Cell(" " * (width - width_of(text)) + gap)]
        remark, left = row[-1], room - _width(line)
        is_whole = width_of(remark.text) <= left
        yield [*line, Cell(cut(remark.text, left) if is_whole or left >= MIN_REMARK else "", remark.style)]
        if not is_whole or len(handler["errors"]) > 1 or (handler["errors"] and handler["reason"] is not None):
            yield from _errors(handler, published, room, traceback=traceback)
        elif handler["errors"] and handler["state"] != "done":
            yield from _place(handler["errors"][-1], traceback=traceback)


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return widths that fit: without the duration, then without the time; then a handler id is cut, then a state."""
    fitted = list(widths)
    for column in (_TOOK, _TIME):
        if _excess(fitted, room) > 0:
            fitted[column] = 0
    for column, least in ((_HANDLER, MIN_HANDLER), (_OUTCOME, 0)):
        fitted[column] -= min(max(_excess(fitted, room), 0), max(fitted[column] - least, 0))
    return fitted


def _excess(widths: Sequence[int], room: int) -> int:
    """Return the number of columns by which the columns without a remark are too wide."""
    shown = [width for width in widths[_HANDLER:] if width]
    return widths[_MARK] + 1 + sum(shown) + len(GAP) * (len(shown) - 1) - room


def _row(handler: Mapping[str, Any], published: str) -> list[Cell]:
    """Return mark, handler, state, duration, time and remark of a delivery."""
    mark, style = _MARKS[handler["state"]]
    took = handler["took_ms"] if handler["state"] == "done" else None
    return [
        Cell(mark, style),
        Cell(cut(safe(handler["id"]), MAX_HANDLER)),
        Cell(_outcome(handler)),
        Cell("" if took is None else f"{took:,.0f} ms", _DIM),
        Cell(_time(handler["finished_at"], published), _DIM),
        Cell(_remark(handler, published), _RED if handler["state"] == "dead" else ""),
    ]


def _outcome(handler: Mapping[str, Any]) -> str:
    state, attempts = handler["state"], handler["attempts"]
    if state == "pending":
        so_far = [counted(attempts, "attempt")] if attempts else []
        so_far += [counted(handler["crashes"], "crash", "crashes")] if handler["crashes"] else []
        return f"pending, {' and '.join(so_far)} so far" if so_far else "pending"
    if handler["reason"] == "crashed":
        return f"{state} after {counted(handler['crashes'], 'crash', 'crashes')}"
    return f"{state} after {counted(attempts, 'attempt')}" if attempts or state != "skipped" else state


def _remark(handler: Mapping[str, Any], published: str) -> str:
    """Return the remark: the last error, the reason of a discard, or the time of the next attempt."""
    errors, state = handler["errors"], handler["state"]
    last = _error(errors[-1]) if errors else ""
    if state == "dead":
        return last or ("crashed its process repeatedly" if handler["reason"] == "crashed" else "")
    if state == "skipped":
        by = f", by {safe(handler['by'])}" if handler["by"] else ""
        return f"{safe(handler['reason'] or 'no reason')}{by}"
    if state == "pending":
        due = f"due from {_time(handler['due_at'], published)}" if handler["due_at"] and handler["attempts"] else ""
        return " · ".join(part for part in (due, last) if part)
    kind = safe(errors[-1]["type"]) if errors else ""
    return f"{counted(len(errors), 'error')} before, the last: {kind}" if errors else ""


def _errors(handler: Mapping[str, Any], published: str, room: int, *, traceback: bool) -> Iterable[list[Cell]]:
    """Yield what the record keeps of each attempt that failed, whole."""
    if handler["state"] == "skipped":
        yield from _labelled("reason", "", _remark(handler, published), room)
    for error, following in pairwise([*handler["errors"], {}]):
        label = f"attempt {error['attempt']:,}"
        yield from _labelled(label, _time(error["at"], published), _error(error), room, style=_RED)
        if traceback or error.get("where") != following.get("where"):
            yield from _place(error, traceback=traceback)


def _place(error: Mapping[str, Any], *, traceback: bool) -> Iterable[list[Cell]]:
    """Yield where an error was raised: the innermost frame of the user's code, or every frame that is stored."""
    where, frames = error.get("where"), error.get("frames")
    places = frames if traceback and isinstance(frames, list) else [where] if isinstance(where, str) else []
    for number, place in enumerate(places):
        yield [Cell(f"{MARGIN}{MARGIN}{'at' if number == 0 else '':<10}  {safe(str(place))}", _DIM)]


def _labelled(label: str, time: str, text: str, room: int, *, style: str = "") -> Iterable[list[Cell]]:
    head = f"{MARGIN}{MARGIN}{label:<10}  {time}{GAP if time else ''}"
    if room - len(head) < MIN_TEXT:
        yield [Cell(head, _DIM)]
        head = MARGIN * 3
        yield from ([Cell(head), Cell(line, style)] for line in folded(text, room - len(head)))
        return
    for number, line in enumerate(folded(text, room - len(head))):
        yield [Cell(head if number == 0 else " " * len(head), _DIM), Cell(line, style)]


def _error(error: Mapping[str, Any]) -> str:
    return safe(f"{error['type']}: {error['message']}" if error["message"] else error["type"])


def _time(text: str | None, published: str) -> str:
    """Return a time of day, with the date if it is not that of the event, and the year if that differs."""
    if text is None:
        return ""
    moment, reference = (shown(datetime.fromisoformat(one)) for one in (text, published))
    if moment.date() == reference.date():
        return f"{moment:%H:%M:%S}"
    return plain(moment, "seconds")[5 if moment.year == reference.year else 0 :]
