"""`craft-events redact`: remove payloads on request."""

from typing import Annotated

import typer

from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

app = typer.Typer(add_completion=False)


@app.command()
@expanded
def redact(
    where: params.Selecting,
    asking: params.Asking,
    connection: params.Acting,
    *,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="give the reason, which each record keeps"),
    ] = None,
    output: params.Format = None,
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
    from craft_events_cli.actions import redact

    if not (where.tenant or where.actor):
        raise UsageError(
            "a redaction is for a tenant or an actor", hint="name one: --tenant acme or --actor user_77, or both"
        )
    chosen, settings = terminal.output_format(output), acting.checked(connection, asking)
    return lifecycle.run(redact.run(settings, asking, where, chosen, reason=reason))
