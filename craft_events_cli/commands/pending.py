"""`craft-events pending`: what is open, why, and when it is next tried."""

from typing import TYPE_CHECKING

import typer

from craft_events_cli import lifecycle, listing, params, terminal
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

    due: a redispatch delivers it at once. owned: a worker has claimed it, see craft-events workers. paused: its handler
    is, see craft-events handlers resume. Any other delivery waits until the time shown. --limit counts deliveries.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_pending(settings, where, handler, by, chosen))


async def _pending(
    settings: "Settings", where: params.Selecting, handlers: list[str], by: listing.By | None, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.operations import pending
    from craft_events_cli.output.unfinished import PENDING

    shown = await listing.show(pending, PENDING, settings, where, handlers, by, chosen)
    if shown is None:
        return ExitCode.DONE
    terminal.note(f"one of them: {next_step.command('show', shown.event_id)}")
    terminal.note(f"delivered by: {next_step.loading('redispatch')}")
    return ExitCode.DONE
