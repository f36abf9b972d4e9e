"""`craft-events workers`: the workers, the events that they own, and which are silent."""

from typing import TYPE_CHECKING, Any, Final

import typer

from craft_events_cli import lifecycle, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import workers as render
from craft_events_cli.output.rows import write_rows
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.workers import WorkerStatus
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

COLUMNS: Final = ("owner", "state", "open", "host", "pid", "started_at", "beat_at", "silent_s", "lease", "running")


@app.command()
@expanded
def workers(connection: params.Connecting, output: params.Format = None) -> ExitCode:
    """Show the processes that own open events, and which of them are silent.

    Examples:
        craft-events workers
        craft-events workers -o json | jq '.[] | select(.state != "alive")'

    alive: its heartbeat is younger than its lease. silent: it is older, and the next redispatch takes over. fenced:
    it was taken over. gone: it owns events and is not registered any more. What runs now is as of the last heartbeats.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_workers(settings, chosen))


async def _workers(settings: "Settings", chosen: Output) -> ExitCode:
    from craft_easy.core.events.operations.workers import longest_first
    from craft_easy.core.events.operations.workers import workers as all_workers

    async with opened(settings) as store:
        found = await all_workers(store)
        now = await store.now()
    if chosen is Output.TABLE:
        render.write_table(found)
        terminal.stdout().writelines(f"{line}\n" for line in render.running_lines(longest_first(found, now)))
    else:
        write_rows(map(row_of, found), COLUMNS, chosen)
    terminal.flush()
    terminal.note(render.summary(found))
    return ExitCode.DONE


def row_of(worker: "WorkerStatus") -> dict[str, Any]:
    """Return a worker as a row, its keys in the order of `COLUMNS`; null stands for an unknown value."""
    from dataclasses import asdict

    from craft_easy.core.events.store.formats.event_json import text_of

    row = {column: getattr(worker, column) for column in COLUMNS}
    times = {name: None if row[name] is None else text_of(row[name]) for name in ("started_at", "beat_at")}
    running = [asdict(one) | {"since": text_of(one.since)} for one in worker.running]
    return row | times | {"running": running}
