"""`craft-events dead list | retry | discard`: deliveries that used up their attempts."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, lifecycle, listing, params, terminal, values
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.dead import Choice
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)


def reason_given(text: str) -> str:
    """Check a reason."""
    if not text.strip():
        raise ValueError("the reason is empty")
    return text


EventIds = Annotated[list[str], typer.Argument(metavar="EVENT_ID", help="select deliveries of this event")]


@dataclass(frozen=True, slots=True)
class Named:
    """Which deliveries."""

    event_id: EventIds = field(default_factory=list)
    handler: params.HandlerIds = field(default_factory=list)

    def choice(self) -> "Choice":
        """Return the named deliveries, before any filter of events."""
        from craft_easy.core.events.operations.dead import Choice

        return Choice(handlers=tuple(self.handler), event_ids=tuple(self.event_id))


@dataclass(frozen=True, slots=True)
class Gone:
    """The reason, and whether the handler is gone for good."""

    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="TEXT",
            parser=values.reads(reason_given),
            help="give the reason, which the record keeps",
        ),
    ]
    pending: Annotated[
        bool,
        typer.Option("--pending", help="include pending deliveries; needs --handler"),
    ] = False


@app.callback()
@expanded
def dead() -> None:
    """List, retry or discard deliveries that used up their attempts.

    Examples:
      craft-events dead list --by error
      craft-events dead retry --handler shop.billing:charge
      craft-events dead discard --tenant trial --reason "tenant has left"
    """


@app.command("list")
@expanded
def list_dead(
    where: params.Selecting,
    connection: params.Connecting,
    handler: params.HandlerIds = [],  # noqa: B006 - as Typer reads it
    by: listing.GroupBy = None,
    output: params.Format = None,
) -> ExitCode:
    """Show the deliveries that used up their attempts, and their last errors.

    Examples:
        craft-events dead list --by error
        craft-events dead list --handler shop.billing:charge --since 2d
        craft-events dead list --tenant acme -o json | jq -r '.[].event_id'

    --since and --until choose by the time of death. An open event with a dead delivery is shown too. --limit counts
    deliveries.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_list(settings, where, handler, by, chosen))


async def _list(
    settings: "Settings", where: params.Selecting, handlers: list[str], by: listing.By | None, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.operations import dead
    from craft_events_cli.output.unfinished import DEAD

    shown = await listing.show(dead, DEAD, settings, where, handlers, by, chosen)
    if shown is None:
        return ExitCode.DONE
    again = next_step.command("dead", "retry", *listing.flags(where, handlers, shown.narrowed))
    terminal.note(f"one of them: {next_step.command('show', shown.event_id)}")
    terminal.note(f"{'all' if shown.is_all else 'the largest group'} again: {again}")
    return ExitCode.DONE


@app.command()
@expanded
def retry(
    which: Named,
    where: params.Selecting,
    asking: params.Asking,
    connection: params.Acting,
    output: params.Format = None,
) -> ExitCode:
    """Give dead deliveries a fresh budget of attempts, due at once.

    Examples:
        craft-events dead retry --handler shop.billing:charge
        craft-events dead retry 019abf3e-77d1-7000-8000-000000000057
        craft-events dead retry --tenant acme --since 2d --dry-run

    Without ids and filters it retries every dead delivery; the question shows how many. The budget is that of the
    handler's retry policy, by default 20 attempts. The errors so far stay in the record. A redispatch delivers
    them. --since and --until choose by the time of death.
    """
    from craft_events_cli.actions import dead

    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(dead.retry(settings, asking, where, which.choice(), chosen))


@app.command()
@expanded
def discard(
    which: Named,
    gone: Gone,
    where: params.Selecting,
    asking: params.Asking,
    connection: params.Acting,
    output: params.Format = None,
) -> ExitCode:
    """Skip dead deliveries, with a reason.

    Examples:
        craft-events dead discard 019abf3e-77d1-7000-8000-000000000057 --reason "paid by hand"
        craft-events dead discard --handler shop.legacy:sync --pending --reason "removed in 4.0"
        craft-events dead discard --tenant trial --reason "tenant has left" --dry-run

    They are never delivered, and never reported as done. With --handler ID --pending it also skips pending
    deliveries of a handler that was removed, so that their events can close. --since and --until choose by the time
    of death, and with --pending by that of the event.
    """
    from craft_events_cli.actions import dead

    if gone.pending and not which.handler:
        raise UsageError(
            "--pending is for a handler that is gone for good: it needs --handler",
            hint="name it: --handler shop.legacy:sync --pending",
        )
    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(
        dead.discard(settings, asking, where, which.choice(), chosen, reason=gone.reason, pending=gone.pending)
    )
