"""A chain of events as a tree: each event, its handlers, and under each handler the events that it published.

    order.placed   acme   15:02:11.480
    ├── ✓ shop.stock:reserve   12 ms
    │   └── stock.reserved   15:02:11.492
    │       └── ✓ shop.warehouse:pick   8 ms
    └── ✗ shop.billing:charge   dead after 20 attempts   CardExpired: card of c_204 expired 2026-09

Lines are cut to the width. Where the branches would take too much of it, they start at the left again, with the level
in brackets. A tree of any depth is drawn without recursion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from craft_easy.core.events import clock
from craft_easy.core.events.operations.doctor.finding import named
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.cells import Cell, cut, painted, width_of
from craft_events_cli.output.counts import counted
from craft_events_cli.output.event_line import hue_of, hues
from craft_events_cli.output.spans import duration_text, plain, shown, times_are
from craft_events_cli.terminal import safe

if TYPE_CHECKING:
    from craft_easy.core.events.history.trace import Trace, TraceStep
    from craft_easy.core.events.model.delivery import HandlerDelivery

GAP: Final = "   "
TEXT_ROOM: Final = 44
"""The columns that are reserved for text, on a narrow terminal three fifths of them; the branches use the rest."""
MAX_TYPES: Final = 3
_BRANCH, _LAST, _LINE, _SPACE = "├── ", "└── ", "│   ", "    "
_MARKS: Final = {"done": ("✓", "32"), "dead": ("✗", "31"), "skipped": ("–", "2"), "pending": ("·", "33")}
_RED, _CYAN, _DIM, _BOLD = "31", "36", "2", "1"


@dataclass(eq=False, slots=True)
class TraceNode:
    """A line of the tree, the level of its event, and its children; the line of a handler is of no event.

    Args:
        cells: the line; its texts are safe.
        level: the level of its event.
        event_id: the id of its event; None where that is not in the log.
    """

    cells: Sequence[Cell]
    level: int | None = None
    event_id: str | None = None
    below: list[TraceNode] = field(default_factory=list)


def write_tree(found: Trace) -> None:
    """Write a chain of events to stdout."""
    stream = terminal.stdout()
    is_colored, width = terminal.is_colored(stream), terminal.width(stream)
    for cells in _lines(roots(found.steps), width, max(step.depth for step in found.steps)):
        stream.write("".join(painted(cell, is_colored=is_colored) for cell in cells).rstrip() + "\n")


# ---------------------------------------------------------------- from steps to nodes


def roots(steps: Sequence[TraceStep]) -> list[TraceNode]:
    """Return the trees of a chain's events."""
    tops: list[TraceNode] = []
    way: list[tuple[TraceStep, TraceNode, Mapping[str, TraceNode]]] = []
    first = next((step.link for step in steps if step.link is not None), None)
    for step in steps:
        del way[step.depth :]
        above = way[-1][0] if way else None
        node, handlers = _event(step, above, None if first is None else first.timestamp)
        if not way:
            tops.append(node)
        else:
            _, parent, published = way[-1]
            published.get(step.handler or "", parent).below.append(node)
        way.append((step, node, handlers))
    return tops


def _event(
    step: TraceStep, above: TraceStep | None, first: datetime | None
) -> tuple[TraceNode, Mapping[str, TraceNode]]:
    """Return the node of an event, and the nodes of its handlers by id."""
    node = TraceNode(_head(step, above, first), step.depth, None if step.link is None else step.event_id)
    handlers: dict[str, TraceNode] = {}
    if step.kind == "event" and step.delivery is not None:
        for entry in step.delivery.handlers:
            handlers[entry.id] = TraceNode(_handler(entry))
            node.below.append(handlers[entry.id])
    if step.left_out:
        node.below.append(TraceNode([Cell(_left_out(step.left_out), _DIM)]))
    return node, handlers


def _head(step: TraceStep, above: TraceStep | None, first: datetime | None) -> list[Cell]:
    link = step.link
    if step.kind == "missing" or link is None:
        return [Cell(safe(step.event_id), _BOLD if step.is_asked else ""), Cell(f"{GAP}is not in the log", _RED)]
    cells = [Cell(safe(link.event_type) or "(no type)", _CYAN)]
    if step.kind == "again":
        return [*cells, Cell(f"{GAP}{safe(step.event_id)}"), Cell(f"{GAP}repeated: the chain has a cycle", _RED)]
    if step.is_asked and step.depth:
        cells.append(Cell(f"{GAP}← this one", _BOLD))
    before = None if above is None or above.link is None else above.link
    if link.tenant_id is not None and (before is None or before.tenant_id != link.tenant_id):
        cells.append(Cell(GAP + safe(link.tenant_id), hue_of(link.tenant_id, hues())))
    cells.append(Cell(GAP + _time(link.timestamp, first if above is not None else None), _DIM))
    if step.delivery is None:
        cells.append(Cell(f"{GAP}untracked", _DIM))
    elif not step.delivery.handlers:
        cells.append(Cell(f"{GAP}no handler", _DIM))
    return cells


def _time(moment: datetime, first: datetime | None) -> str:
    """Return the time, with the date if it is not that of the first event (for the first event: of today)."""
    there, reference = shown(moment), shown(first or clock.now())
    text = plain(there, "milliseconds")
    if there.date() == reference.date():
        return text[11:]
    return text[5:] if there.year == reference.year else text


def _handler(entry: HandlerDelivery) -> list[Cell]:
    mark, style = _MARKS[entry.state]
    cells = [Cell(mark, style), Cell(f" {safe(entry.id)}")]
    outcome, is_dim = _outcome(entry)
    cells.append(Cell(GAP + outcome, _DIM if is_dim else ""))
    if remark := _remark(entry):
        cells.append(Cell(GAP + remark, _RED if entry.state == "dead" else ""))
    return cells


def _outcome(entry: HandlerDelivery) -> tuple[str, bool]:
    """Return the state of a delivery in words, and whether it is unremarkable."""
    attempts = counted(entry.attempts, "attempt")
    if entry.state == "done":
        took = "done" if entry.took_ms is None else f"{entry.took_ms:,.0f} ms"
        return (took, True) if entry.attempts <= 1 else (f"{took}   after {attempts}", False)
    if entry.state == "pending":
        return (f"pending, {attempts} so far" if entry.attempts else "pending"), False
    if entry.reason == "crashed":
        return f"{entry.state} after {counted(entry.crashes, 'crash', 'crashes')}", False
    return (f"{entry.state} after {attempts}" if entry.attempts else entry.state), False


def _remark(entry: HandlerDelivery) -> str:
    if entry.state == "skipped":
        return safe(entry.reason or "")
    if entry.state == "done" or not entry.errors:
        return ""
    last = entry.errors[-1]
    return safe(f"{last.type}: {last.message}" if last.message else last.type)


def _left_out(types: Mapping[str, int]) -> str:
    most = sorted(types.items(), key=lambda one: (-one[1], one[0]))
    if len(most) == 1:
        return f"… {most[0][1]:,} more {safe(most[0][0]) or '(no type)'}"
    parts = [f"{number:,} {safe(name) or '(no type)'}" for name, number in most[:MAX_TYPES]]
    if rest := sum(number for _, number in most[MAX_TYPES:]):
        parts.append(f"{rest:,} others")
    return f"… {sum(types.values()):,} more: {', '.join(parts)}"


# ---------------------------------------------------------------- from nodes to lines


def _lines(tops: Sequence[TraceNode], width: int, deepest: int) -> Iterator[list[Cell]]:
    """Yield each line, cut to the width."""
    most = (width - min(TEXT_ROOM, width * 3 // 5)) // len(_LINE) * len(_LINE)
    gutter = len(f"[{deepest}] ")
    todo: list[tuple[TraceNode, str, str, bool]] = [(root, "", "", False) for root in reversed(tops)]
    while todo:
        node, before, branch, is_moved = todo.pop()
        if len(before + branch) > most and node.level is not None:
            before, is_moved = "", True
        level = "" if node.level is None else f"[{node.level}]"
        prefix = (level.ljust(gutter) if is_moved else "") + before + branch
        yield [Cell(prefix, _DIM), *_cut(node.cells, width - len(prefix))]
        inner = before + {"": "", _BRANCH: _LINE, _LAST: _SPACE}[branch]
        todo += [
            (child, inner, _LAST if child is node.below[-1] else _BRANCH, is_moved) for child in reversed(node.below)
        ]


def _cut(cells: Sequence[Cell], room: int) -> Iterator[Cell]:
    for cell in cells:
        if room <= 0:
            return
        shown = cut(cell.text, room)
        yield Cell(shown, cell.style)
        room -= width_of(shown)
        if shown != cell.text:
            return


# ---------------------------------------------------------------- in words


def summary(found: Trace) -> list[str]:
    """Return the size of the chain and its problems in one line, and the suggested next command."""
    lines = [" · ".join([*_size(found), *_trouble(found), times_are()])]
    if found.missing:
        lines.append(f"named as a cause but not in the log: {named(found.missing, MAX_TYPES)}")
    if (step := _worst(found)) is not None:
        lines.append(f"next: {next_step.command('show', step.event_id)}")
    return lines


def _size(found: Trace) -> Iterator[str]:
    yield counted(found.events, "event")
    if found.shown < found.events:
        yield f"{found.shown:,} shown (--limit, --depth)"
    times = [step.link.timestamp for step in found.steps if step.link is not None]
    span = (max(times) - min(times)).total_seconds()
    if span:
        yield f"{duration_text(span) if span >= 1 else f'{span * 1000:.0f} ms'} from the first to the last"


def _trouble(found: Trace) -> Iterator[str]:
    entries = [entry for step in found.steps if step.delivery is not None for entry in step.delivery.handlers]
    for state in ("dead", "pending"):
        if number := sum(entry.state == state for entry in entries):
            yield f"{counted(number, 'delivery', 'deliveries')} {state}"


def _worst(found: Trace) -> TraceStep | None:
    """Return the first event with a dead delivery, otherwise the first with a pending one that has failed."""
    for is_bad in (_is_dead, _is_failing):
        for step in found.steps:
            if step.delivery is not None and any(map(is_bad, step.delivery.handlers)):
                return step
    return None


def _is_dead(entry: HandlerDelivery) -> bool:
    return entry.state == "dead"


def _is_failing(entry: HandlerDelivery) -> bool:
    return entry.state == "pending" and bool(entry.errors)
