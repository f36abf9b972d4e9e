"""`craft-events redact`: remove payloads on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.operations.redact import Redacted
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Redacting:
    """Why, and how."""

    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="give the reason, which each record keeps"),
    ] = None
    dry_run: params.DryRun = False
    yes: params.Yes = False


@app.command()
@params.expanded
def redact(
    where: params.Selecting, how: Redacting, connection: params.Acting, output: params.Format = None
) -> ExitCode:
    """Remove the payloads of a tenant or an actor for good, and keep the events.

    Examples:
        craft-events redact --tenant acme --dry-run
        craft-events redact --actor user_77 --reason "request 17"
        craft-events redact --tenant acme --type 'user.*' --until 2026-01-31 --yes

    This is the one command that changes a stored event. It removes payloads, the texts of errors and the reasons of
    skipped deliveries. Ids, types, times, tenants, actors and deliveries stay. Pending and dead deliveries are
    skipped, reason "redacted"; each record keeps when and by whom it was redacted.

    It does not reach archives, exports, backups, the database's oplog, or copies that handlers made.
    """
    if not (where.tenant or where.actor):
        raise UsageError(
            "a redaction is for a tenant or an actor", hint="name one: --tenant acme or --actor user_77, or both"
        )
    chosen = terminal.output_format(output)
    if not how.dry_run:
        acting.check(yes=how.yes)
    settings = connection.confirmed(is_dry=how.dry_run)
    return lifecycle.run(_redact(settings, where, how, chosen))


async def _redact(settings: "Settings", where: params.Selecting, how: Redacting, chosen: Output) -> ExitCode:
    from craft_easy.core.events.operations import redact
    from craft_events_cli.output.counts import write_counts
    from craft_events_cli.output.pruning import Redactor

    async with opened(settings) as store:
        selection, expected = where.selection(await store.now()), None
        if how.dry_run or not how.yes:
            found = await redact.count(store, selection)
            if how.dry_run:
                write_counts(found.counts, chosen)
                terminal.flush()
                terminal.note(f"{_amount(found)} · nothing was written")
                return ExitCode.DONE
            if found.counts.events and not await _is_redaction_meant(found, where, store):
                terminal.note("nothing was written")
                return ExitCode.USAGE
            expected = found.counts.events
        terminal.acting()
        async with Redactor(where.tenant, where.actor, chosen) as view:
            view.expect(expected)
            redacted = await redact.redact(
                store, selection, by=acting.operator(), reason=how.reason, on_redacted=view.advance
            )
        view.write_summary(redacted)
        return ExitCode.DONE if redacted.is_complete else ExitCode.UNFINISHED


def _amount(found: "Redacted") -> str:
    from craft_events_cli.output.counts import counted

    skipped = counted(found.counts.deliveries, "pending or dead delivery", "pending or dead deliveries")
    return f"{counted(found.counts.events, 'payload')} · {skipped}"


async def _is_redaction_meant(found: "Redacted", where: params.Selecting, store: "EventStore") -> bool:
    from craft_events_cli.output.counts import counted

    terminal.note("this is the one command that changes what a stored event says, and nothing brings it back")
    terminal.note("archives, exports and backups keep what they have, and so does whatever handlers made of the events")
    events, deliveries = found.counts.events, found.counts.deliveries
    lose = "loses its payload" if events == 1 else "lose their payload"
    are = "is" if deliveries == 1 else "are"
    skipped = f", {counted(deliveries, 'unfinished delivery', 'unfinished deliveries')} {are} skipped"
    question = (
        f"{counted(events, 'event')} of {store.database_name}.{store.name} {lose}{skipped if deliveries else ''}."
    )
    return await acting.typed(question, _word_for([*where.tenant, *where.actor]))


def _word_for(names: Sequence[str]) -> str:
    """Return what is to be typed: the one name that is meant, where a keyboard has it."""
    is_plain = len(names) == 1 and names[0].isascii() and names[0].isprintable() and names[0] == names[0].strip()
    return names[0] if is_plain and names[0] else "redact"
