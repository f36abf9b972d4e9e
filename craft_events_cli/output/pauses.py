"""Paused handlers, in words and as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.store.formats.event_json import text_of
from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted, shorten
from craft_events_cli.output.rows import json_line, write_rows
from craft_events_cli.output.spans import stamp, time_of_day
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.pause import Pause, PausedHandler

MAX_COUNTED: Final = 10_001
"""The number at which the count of waiting deliveries stops."""


def row_of_pause(paused: PausedHandler) -> dict[str, Any]:
    """Return a paused handler with the keys of the documented output."""
    pause = paused.pause
    return {
        "handler": pause.handler,
        "paused_at": _time(pause.paused_at),
        "by": pause.by,
        "until": _time(pause.until),
        "reason": pause.reason,
        "waiting": paused.waiting,
    }


def pause_row(paused: PausedHandler, *, was_paused: bool | None, dry_run: bool) -> dict[str, Any]:
    """Return the result of `handlers pause` and `handlers resume`."""
    return {**row_of_pause(paused), "was_paused": was_paused, "dry_run": dry_run}


def write_pause(row: Mapping[str, Any], output: Output) -> None:
    """Write the result to stdout in the machine formats; people read the lines on stderr."""
    if output is Output.JSON:
        terminal.stdout().write(json_line(row))
    elif output is not Output.TABLE:
        write_rows([row], tuple(row), output)
    terminal.flush()


def paused_lines(paused: PausedHandler, former: Pause | None) -> Iterable[str]:
    """Yield what `handlers pause` did, and how it ends."""
    verb = "waits" if paused.waiting == 1 else "wait"
    is_paused = "is paused" if former is None else "was paused already: now"
    yield f"{paused.handler} {is_paused} {until_text(paused.pause.until)} · {open_deliveries(paused.waiting)} {verb}"
    yield "publishers and redispatches learn of it with their next heartbeat, within 10 s by default"
    yield f"next: {next_step.command('handlers', 'resume', paused.handler)}"


def known_lines(handler_id: str, resumed: PausedHandler | None, *, dry_run: bool) -> Iterable[str]:
    """Yield what `handlers resume` did, and how what waited is delivered."""
    if resumed is None:
        yield f"{handler_id} is not paused"
    elif not dry_run:
        verb = "is" if resumed.waiting == 1 else "are"
        yield f"{handler_id} is resumed · {open_deliveries(resumed.waiting)} {verb} due"
        yield f"next: {next_step.loading('redispatch', '--handler', handler_id)}"


def pause_line(paused: PausedHandler) -> str:
    """Return a paused handler in one line, with the deliveries that wait for it."""
    pause = paused.pause
    since = f" since {time_of_day(pause.paused_at)}" if pause.paused_at else ""
    by = f" by {pause.by}" if pause.by else ""
    reason = f" ({shorten(pause.reason, 60)})" if pause.reason else ""
    verb = "waits" if paused.waiting == 1 else "wait"
    until = f" until {time_of_day(pause.until)}" if pause.until else ""
    return f"{pause.handler} is paused{since}{by}{until}{reason}: {_deliveries(paused)} {verb}"


def paused_text(waiting: int, handlers: Sequence[str]) -> str:
    """Return the number of deliveries that wait for paused handlers, and how these are resumed."""
    verb = "waits" if waiting == 1 else "wait"
    more = f" and {len(handlers) - 1:,} more" if len(handlers) > 1 else ""
    resume = next_step.command("handlers", "resume", handlers[0])
    return f"{counted(waiting, 'delivery', 'deliveries')} {verb} for {handlers[0]}{more}, paused ({resume})"


def until_text(until: datetime | None) -> str:
    """Return the end of a pause."""
    return "until it is resumed" if until is None else f"until {stamp(until)}"


def open_deliveries(number: int) -> str:
    """Return a bounded number of open deliveries."""
    return f"{_more(number)}{counted(number, 'open delivery', 'open deliveries')}"


def _deliveries(paused: PausedHandler) -> str:
    return f"{_more(paused.waiting)}{counted(paused.waiting, 'delivery', 'deliveries')}"


def _more(number: int) -> str:
    return "at least " if number >= MAX_COUNTED else ""


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)
