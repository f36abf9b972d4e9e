"""`craft-events pending`: what is open, why, and when it is next tried."""

from typing import TYPE_CHECKING

import typer

from craft_events_cli import lifecycle, listing, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
@expanded
def pending(
    where: params.Selecting,
    connection: params.Connecting,
    handler: params.HandlerIds = [],  # noqa: B006 - as Typer reads it
    by: listing.GroupBy = None,
    output: params.Format = None,
) -> ExitCode:
    """Show the deliveries that are open, why, and when each is tried next.

    Examples:
        craft-events pending --by error
        craft-events pending --handler shop.billing:charge --since 2d
        craft-events pending --tenant acme -o json | jq -r '.[].event_id'

    due: a redispatch delivers it at once. owned: a worker has claimed it, see craft-events workers. Any other delivery
    waits until the time shown. --limit counts deliveries.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_pending(settings, where, handler, by, chosen))


async def _pending(
    settings: "Settings", where: params.Selecting, handlers: list[str], by: listing.By | None, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.operations import dead, pending
    from craft_easy.core.events.operations.handlers import require_in_log
    from craft_events_cli.output.unfinished import PENDING

    async with opened(settings) as store:
        await require_in_log(store, handlers)
        now = await store.now()
        choice = dead.Choice(where.selection(now), tuple(handlers))
        if by is None:
            shown = await listing.write_each(PENDING, pending.deliveries(store, choice), chosen, now)
        else:
            groups = await pending.groups(store, choice, by=by.value)
            shown = listing.write_groups(PENDING, groups, by, chosen, now)
    if shown is None:
        terminal.note("no pending deliveries" + (" in this selection" if choice != dead.EVERY else ""))
        return ExitCode.DONE
    terminal.note(f"{shown.amount} · times are UTC" + (" · in groups: --by error" if by is None else ""))
    terminal.note(f"one of them: {next_step.command('show', shown.event_id)}")
    terminal.note(f"delivered by: {next_step.loading('redispatch')}")
    return ExitCode.DONE
