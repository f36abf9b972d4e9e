"""`craft-events handlers list`: which handlers react to which events.

The pattern that other commands follow: the signature declares the options, `loading`, `options.opened` or the library
do the work, `render` writes data to stdout, `terminal.note` the summary to stderr, and an exception says the rest.
"""

from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import loading, options, terminal
from craft_events_cli.exit_codes import ExitCode
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.registry import Subscription

COLUMNS: Final = ("pattern", "order", "id", "mode", "replayable", "timeout", "retry", "aliases", "file", "line")


def list_handlers(
    handling: options.Handling,
    env: options.Env = None,
    output: options.Format = None,
) -> ExitCode:
    """Show which handlers react to which events, and in which order they run.

    Examples:
        craft-events handlers list --handlers shop.handlers
        craft-events handlers list --handlers shop.handlers --handlers billing.app:bus
        craft-events handlers list -o json | jq '.[] | select(.mode == "background").id'
    """
    modules = handling.modules(env)
    chosen = terminal.output_format(output)
    bus = loading.load_bus(modules)
    subscriptions = bus.subscriptions()
    if chosen is Output.TABLE:
        from craft_events_cli.render.handlers import write_table

        write_table(subscriptions)
    else:
        from craft_events_cli.render.rows import write_rows

        write_rows(map(row_of, subscriptions), COLUMNS, chosen)
    terminal.flush()
    loading.announce(bus, modules)
    return ExitCode.DONE


def row_of(subscription: "Subscription") -> dict[str, Any]:
    """Return a subscription as a row, its keys in the order of `COLUMNS`; null stands for a default."""
    from dataclasses import asdict

    handler = subscription.handler
    return {
        "pattern": subscription.pattern,
        "order": subscription.order,
        "id": handler.id,
        "mode": "background" if handler.background else "foreground",
        "replayable": handler.replayable,
        "timeout": handler.timeout,
        "retry": asdict(handler.retry) if handler.retry is not None else None,
        "aliases": list(handler.aliases),
        "file": handler.file,
        "line": handler.line,
    }
