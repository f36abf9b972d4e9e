"""Workers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from craft_events_cli.output import next_step
from craft_events_cli.output.cells import NOTHING
from craft_events_cli.output.counts import counted
from craft_events_cli.output.spans import duration_text, minutes
from craft_events_cli.output.table import DIM, MARGIN, Column, Table

if TYPE_CHECKING:
    from craft_easy.core.events.operations.workers import RunningNow, WorkerStatus

MAX_SHOWN: Final = 10
"""The maximum number of running deliveries that are shown, the longest running first."""
_STYLES: Final = {"gone": "31", "silent": "33", "alive": "32", "fenced": DIM}


def write_table(workers: Sequence[WorkerStatus]) -> None:
    """Write a line for each worker."""
    columns = [
        Column("Worker"),
        Column("State", style=lambda text: _STYLES.get(text, "")),
        Column("Open", is_right=True),
        Column("Last beat", rank=1),
        Column("Lease", rank=3, style=DIM),
        Column("Started", rank=2, style=DIM),
    ]
    started = minutes(one.started_at for one in workers)
    Table(columns).write([_cells(one, when) for one, when in zip(workers, started, strict=True)])


def _cells(one: WorkerStatus, started: str) -> dict[str, str]:
    return {
        "Worker": one.owner,
        "State": one.state,
        "Open": f"{one.open:,}",
        "Last beat": NOTHING if one.silent_s is None else f"{duration_text(one.silent_s)} ago",
        "Lease": NOTHING if one.lease is None else f"{one.lease:g} s",
        "Started": started,
    }


def running_lines(running: Sequence[RunningNow]) -> Iterator[str]:
    """Yield a table of what runs now, after an empty line; nothing where nothing runs."""
    if not running:
        return
    columns = [
        Column("Running now", least=20),
        Column("For", rank=1, is_right=True),
        Column("Event", rank=2, least=20),
        Column("Worker", rank=3, style=DIM),
    ]
    yield ""
    yield from Table(columns).lines(
        [
            {"Running now": one.handler, "For": duration_text(one.for_s), "Event": one.event_id, "Worker": one.owner}
            for one in running[:MAX_SHOWN]
        ]
    )
    if len(running) > MAX_SHOWN:
        yield f"{MARGIN}… and {len(running) - MAX_SHOWN:,} more: -o json"


def summary(workers: Sequence[WorkerStatus]) -> str:
    """Return the number of workers in one line, and the number of events owned by stale ones."""
    if not workers:
        return "no worker is registered, and none owns an open event"
    left = [one for one in workers if one.state != "alive"]
    owned = sum(one.open for one in left)
    parts = [counted(len(workers), "worker"), *_counts(workers)]
    if owned:
        parts.append(f"{counted(owned, 'event')} to be taken over: {next_step.loading('redispatch')}")
    return " · ".join(parts)


def _counts(workers: Sequence[WorkerStatus]) -> list[str]:
    numbers = {state: sum(one.state == state for one in workers) for state in _STYLES}
    return [f"{number:,} {state}" for state, number in numbers.items() if number]
