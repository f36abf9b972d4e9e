"""`craft-events replay`: print history."""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from craft_events_cli import options, running, terminal
from craft_events_cli.exit_codes import ExitCode
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore


@dataclass(frozen=True, slots=True)
class Standing:
    """How the deliveries of an event stand."""

    state: options.States = field(default_factory=list)


def replay(
    where: options.Selecting,
    standing: Standing,
    connection: options.Connecting,
    output: options.Format = None,
) -> ExitCode:
    """Print a range of history, oldest first. It changes nothing and runs no handler.

    Examples:
        craft-events replay --tenant acme --type 'payment.*' --since 2d
        craft-events replay --reverse --limit 20
        craft-events replay --state dead -o json
        craft-events replay --since 2026-01-31 --until 2026-02-01 > january-31.ndjson
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return running.run(_replay(settings, where, standing.state, chosen))


async def _replay(
    settings: "Settings", where: options.Selecting, state: list[options.State], chosen: Output
) -> ExitCode:
    async with options.opened(settings) as store:
        selection = where.selection(await store.now(), states=state)
        shown = await _print(store, selection, chosen)
    terminal.note(_summary(shown, selection, chosen))
    return ExitCode.DONE


async def _print(store: "EventStore", selection: "Selection", chosen: Output) -> int:
    from craft_easy.core.events.replay import Total, history
    from craft_events_cli.render.events import writer
    from craft_events_cli.render.progress import SHOWN_AFTER, Progress

    out, shown = writer(chosen), 0
    progress = Progress("replaying", is_quiet=terminal.is_terminal(terminal.stdout()))
    counted_after = SHOWN_AFTER if progress.is_shown else None
    async with Total(store, selection, after=counted_after) as total, aclosing(history(store, selection)) as pages:
        try:
            out.begin()
            async for page in pages:
                out.write(page)
                shown += len(page)
                progress.total = total.number
                progress.advance(len(page))
            out.close()
        finally:
            progress.close()
    return shown


def _summary(shown: int, selection: "Selection", chosen: Output) -> str:
    if not shown:
        return "no events in this selection"
    parts = [f"{shown:,} event{'' if shown == 1 else 's'}"]
    if chosen is Output.TABLE:
        has_window = selection.since is not None or selection.until is not None
        parts += [*([] if has_window else ["times are UTC"]), "in full: -o ndjson"]
    return " · ".join(parts)
