"""`craft-events trace`: an event, its causes and its effects."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_events_cli import event_ids, lifecycle, params, terminal
from craft_events_cli.connection import not_found, opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output.rows import json_line, write_rows
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.history.trace import Trace, TraceStep
    from craft_easy.core.events.model.delivery import HandlerDelivery
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

COLUMNS: Final = (
    "depth", "kind", "event_id", "event_type", "timestamp", "tenant_id", "causation_id", "correlation_id", "asked",
    "published_by", "state", "handlers", "children", "left_out",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Showing:
    """How much of the chain is shown."""

    depth: Annotated[
        int | None,
        typer.Option("--depth", metavar="N", min=1, help="show at most N levels below the first event"),
    ] = None
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="read at most N events of the chain"),
    ] = 1_000


@app.command()
@expanded
def trace(
    event_id: Annotated[
        str, typer.Argument(metavar="EVENT_ID", help="choose any event of the chain: its id, or how it begins")
    ],
    connection: params.Connecting,
    showing: Showing,
    output: params.Format = None,
) -> ExitCode:
    """Show the chain of an event: what caused it, and what its handlers published.

    Examples:
        craft-events trace 019abf3e-77d1-7000-8000-000000000057
        craft-events trace 019abf3e-77d1-7000-8000-000000000057 --depth 2
        craft-events trace 019abf3e-77d1-7000-8000-000000000057 -o json | jq '.steps[] | select(.state == "dead")'

    Any event of the chain will do. The index on correlation_id finds the others; doctor --fix creates it.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_trace(settings, event_id, showing, chosen))


async def _trace(settings: "Settings", event_id: str, showing: Showing, chosen: Output) -> ExitCode:
    from craft_easy.core.events.history.trace import trace as find

    async with opened(settings) as store:
        found = await find(store, event_id, depth=showing.depth, limit=showing.limit)
        if found is None and (whole := await event_ids.completed(store, event_id)) is not None:
            found = await find(store, whole, depth=showing.depth, limit=showing.limit)
    if found is None:
        return not_found(event_id, settings)
    from craft_events_cli.output import trace as render

    if chosen is Output.TABLE:
        render.write_tree(found)
    else:
        _write(found, chosen)
    terminal.flush()
    for line in render.summary(found):
        terminal.note(line)
    return ExitCode.DONE


def _write(found: "Trace", chosen: Output) -> None:
    rows = [row_of(step) for step in found.steps]
    if chosen is Output.JSON:
        terminal.stdout().write(json_line(described(found) | {"steps": rows}))
        return
    write_rows(rows, COLUMNS, chosen)


def described(found: "Trace") -> dict[str, Any]:
    """Return the fields of a chain as a whole."""
    return {
        "event_id": found.event_id,
        "root_id": found.root_id,
        "events": found.events,
        "shown": found.shown,
        "missing": list(found.missing),
        "cyclic": found.is_cyclic,
        "whole": found.is_whole,
    }


def row_of(step: "TraceStep") -> dict[str, Any]:
    """Return one event of a chain as a row, its keys in the order of `COLUMNS`; null stands for an unknown value."""
    from craft_easy.core.events.store.formats.event_json import text_of

    link, delivery = step.link, step.delivery
    return {
        "depth": step.depth,
        "kind": step.kind,
        "event_id": step.event_id,
        "event_type": None if link is None else link.event_type,
        "timestamp": None if link is None else text_of(link.timestamp),
        "tenant_id": None if link is None else link.tenant_id,
        "causation_id": None if link is None else link.causation_id,
        "correlation_id": None if link is None else link.correlation_id,
        "asked": step.is_asked,
        "published_by": step.handler,
        "state": None if delivery is None else delivery.state,
        "handlers": [] if delivery is None else [_handler_row(one) for one in delivery.handlers],
        "children": step.children,
        "left_out": dict(step.left_out),
    }


def _handler_row(entry: "HandlerDelivery") -> dict[str, Any]:
    from craft_easy.core.events.store.formats.event_json import text_of

    last = entry.errors[-1] if entry.errors else None
    return {
        "id": entry.id,
        "state": entry.state,
        "attempts": entry.attempts,
        "took_ms": entry.took_ms,
        "finished_at": None if entry.finished_at is None else text_of(entry.finished_at),
        "error": None if last is None else f"{last.type}: {last.message}" if last.message else last.type,
        "reason": entry.reason,
    }
