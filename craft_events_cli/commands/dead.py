"""`craft-events dead list | retry | discard`: what to do about deliveries that used up their attempts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, event_ids, lifecycle, listing, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.dead import Choice, Touched
    from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

    OnStored = Callable[[UnfinishedDelivery], None]


app = typer.Typer(add_completion=False)


def reason_given(text: str) -> str:
    """Check a reason."""
    if not text.strip():
        raise ValueError("a reason says why, for whoever asks later")
    return text


EventIds = Annotated[list[str], typer.Argument(metavar="EVENT_ID", help="select deliveries of this event")]


@dataclass(frozen=True, slots=True)
class Meant:
    """Which deliveries."""

    event_id: EventIds = field(default_factory=list)
    handler: params.HandlerIds = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gone:
    """What is said of a handler, and why."""

    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="TEXT",
            parser=params.reads(reason_given),
            help="give the reason, which the record keeps",
        ),
    ]
    pending: Annotated[
        bool,
        typer.Option("--pending", help="include pending deliveries of the --handler, gone for good"),
    ] = False


@dataclass(frozen=True, slots=True)
class Asking:
    """How a command acts."""

    dry_run: params.DryRun = False
    yes: params.Yes = False


@app.callback()
def dead() -> None:
    """List, retry or discard deliveries that used up their attempts.

    Examples:
      craft-events dead list --by error
      craft-events dead retry --handler shop.billing:charge
      craft-events dead discard --tenant trial --reason "tenant has left"
    """


@app.command("list")
@params.expanded
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

    An open event with a dead delivery is shown too. --limit counts deliveries.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_list(settings, where, handler, by, chosen))


async def _list(
    settings: "Settings", where: params.Selecting, handlers: list[str], by: listing.By | None, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.operations import dead
    from craft_easy.core.events.operations.handlers import require_in_log
    from craft_events_cli.output.unfinished import DEAD

    async with opened(settings) as store:
        await require_in_log(store, handlers)
        now = await store.now()
        choice = dead.Choice(where.selection(now), tuple(handlers))
        if by is None:
            shown = await listing.write_each(DEAD, dead.deliveries(store, choice), chosen, now)
        else:
            groups = await dead.groups(store, choice, by=by.value)
            shown = listing.write_groups(DEAD, groups, by, chosen, now)
    if shown is None:
        terminal.note("no dead deliveries" + (" in this selection" if choice != dead.EVERY else ""))
        return ExitCode.DONE
    terminal.note(f"{shown.amount} · times are UTC" + (" · in groups: --by error" if by is None else ""))
    again = join(["craft-events", "dead", "retry", *listing.flags(where, handlers, shown.narrowed)])
    terminal.note(f"one of them: {join(['craft-events', 'show', shown.event_id])}")
    terminal.note(f"all again: {again}")
    return ExitCode.DONE


@app.command()
@params.expanded
def retry(
    which: Meant,
    where: params.Selecting,
    connection: params.Acting,
    how: Asking,
    output: params.Format = None,
) -> ExitCode:
    """Give dead deliveries a fresh budget of attempts, due at once.

    Examples:
        craft-events dead retry --handler shop.billing:charge
        craft-events dead retry 019abf3e-77d1-7000-8000-000000000057
        craft-events dead retry --tenant acme --since 2d --dry-run

    Without ids and filters it retries every dead delivery; the question shows the number. The budget is that of the
    handler's retry policy, by default 20 attempts. The errors so far stay in the record. A redispatch delivers
    them.
    """

    async def act(store: "EventStore", choice: "Choice", on_stored: "OnStored") -> "Touched":
        from craft_easy.core.events.operations import dead

        return await dead.retry(store, choice, on_stored=on_stored)

    def question(touched: "Touched") -> str:
        from craft_easy.core.events.model.retry import DEFAULT_RETRY
        from craft_events_cli.output.dead import amount

        gets = "gets" if touched.counts.deliveries == 1 else "get"
        return f"{amount(touched)} {gets} a fresh budget of {DEFAULT_RETRY.max_attempts} attempts."

    return _run(which, where, connection, how, _Command("retried", act, question, output=output))


@app.command()
@params.expanded
def discard(
    which: Meant,
    gone: Gone,
    where: params.Selecting,
    connection: params.Acting,
    how: Asking,
    output: params.Format = None,
) -> ExitCode:
    """Skip dead deliveries, with a reason.

    Examples:
        craft-events dead discard 019abf3e-77d1-7000-8000-000000000057 --reason "paid by hand"
        craft-events dead discard --handler shop.legacy:sync --pending --reason "removed in 4.0"
        craft-events dead discard --tenant trial --reason "tenant has left" --dry-run

    They are never delivered, and never reported as done. With --handler ID --pending it also skips pending
    deliveries of a handler that is gone for good, so that their events can close.
    """
    if gone.pending and not which.handler:
        raise UsageError(
            "--pending is for a handler that is gone for good, and needs --handler",
            hint="name it: --handler shop.legacy:sync --pending",
        )

    async def act(store: "EventStore", choice: "Choice", on_stored: "OnStored") -> "Touched":
        from craft_easy.core.events.operations import dead

        return await dead.discard(
            store, choice, reason=gone.reason, by=acting.operator(), pending=gone.pending, on_stored=on_stored
        )

    def question(touched: "Touched") -> str:
        from craft_events_cli.output.dead import amount

        are = "is" if touched.counts.deliveries == 1 else "are"
        return f"{amount(touched)} {are} skipped and never delivered."

    command = _Command("skipped", act, question, is_pending=gone.pending, output=output)
    return _run(which, where, connection, how, command)


@dataclass(frozen=True, slots=True)
class _Command:
    """What differs between the commands that act."""

    outcome: str
    act: "Callable[[EventStore, Choice, OnStored], Awaitable[Touched]]"
    question: "Callable[[Touched], str]"
    is_pending: bool = False
    output: Output | None = None

    @property
    def meant(self) -> str:
        """Which deliveries it is about."""
        return "dead or pending" if self.is_pending else "dead"


def _run(which: Meant, where: params.Selecting, connection: params.Acting, how: Asking, command: _Command) -> ExitCode:
    chosen = terminal.output_format(command.output)
    if not how.dry_run:
        acting.check(yes=how.yes)
    settings = connection.confirmed(is_dry=how.dry_run)
    return lifecycle.run(_act(settings, which, where, how, command, chosen))


async def _act(
    settings: "Settings", which: Meant, where: params.Selecting, how: Asking, command: _Command, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.operations import dead
    from craft_easy.core.events.operations.handlers import require_in_log

    async with opened(settings) as store:
        await require_in_log(store, which.handler)
        ids = await event_ids.whole(store, which.event_id)
        choice = dead.Choice(where.selection(await store.now()), tuple(which.handler), ids)
        expected = None
        if how.dry_run or not how.yes:
            expected = await dead.count(store, choice, pending=command.is_pending)
            if how.dry_run:
                return _tell(command, expected, chosen)
            if not expected.counts.deliveries:
                return _done(command, chosen, expected)
            if not await acting.agreed(command.question(expected)):
                terminal.note("nothing was written")
                return ExitCode.USAGE
            choice = replace(choice, as_of=expected.last_death)  # no more than was agreed to
        return await _carry_out(store, choice, command, chosen, expected)


async def _carry_out(
    store: "EventStore", choice: "Choice", command: _Command, chosen: Output, expected: "Touched | None"
) -> ExitCode:
    from craft_easy.core.events.clock import steady
    from craft_events_cli.output.dead import Acted

    terminal.acting()
    view = Acted(command.outcome, command.meant, chosen, None if expected is None else expected.counts.deliveries)
    began = steady()
    view.begin()
    try:
        touched = await command.act(store, choice, view.stored)
    finally:
        view.close()
    view.write_summary(touched, steady() - began)
    return _code(touched)


def _tell(command: _Command, expected: "Touched", chosen: Output) -> ExitCode:
    from craft_events_cli.output.counts import write_counts
    from craft_events_cli.output.dead import amount, missing

    write_counts(expected.counts, chosen)
    terminal.flush()
    terminal.note(f"{amount(expected)} · nothing was written")
    for line in missing(command.meant, expected):
        terminal.note(line)
    return _code(expected)


def _done(command: _Command, chosen: Output, touched: "Touched") -> ExitCode:
    """Say that there was nothing to do."""
    from craft_events_cli.output.dead import Acted

    view = Acted(command.outcome, command.meant, chosen, None)
    view.begin()
    view.close()
    view.write_summary(touched, 0.0)
    return _code(touched)


def _code(touched: "Touched") -> ExitCode:
    return ExitCode.DONE if touched.is_complete else ExitCode.UNFINISHED
