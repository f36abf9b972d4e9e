"""`craft-events top`: a live console."""

import os
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import lifecycle, params, terminal
from craft_events_cli.connection import log_name, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

LOOKS: Final = "Looks"


class TopTheme(StrEnum):
    """The colours of the console."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Watched:
    """Which events the console shows; a filter in the console narrows them further."""

    tenant: params.Tenants = field(default_factory=list)
    type: params.Types = field(default_factory=list)
    since: params.Since = None


@dataclass(frozen=True, slots=True)
class TopLooks:
    """The looks of the console."""

    theme: Annotated[
        TopTheme, typer.Option("--theme", help="choose the colours; auto asks the terminal", rich_help_panel=LOOKS)
    ] = TopTheme.AUTO


@app.command()
@expanded
def top(where: Watched, looks: TopLooks, connection: params.Acting, handling: params.Handling) -> ExitCode:
    """Watch the log live: the backlog, events as they come, and what is pending or dead.

    Examples:
        craft-events top
        craft-events top --tenant acme --type 'payment.*'
        craft-events top --env prod -m shop.handlers

    Keys are in the last line, ? shows all. Deliveries are retried and discarded there too, after a question.
    """
    _require_textual()
    _require_terminal()
    return ExitCode(lifecycle.run(_top(connection.settings(), where, looks)))


def _require_textual() -> None:
    if find_spec("textual") is None:
        raise UsageError("top needs Textual, which is not installed", hint="pip install 'craft-events[ui]'")


def _require_terminal() -> None:
    if "TEXTUAL_DRIVER" in os.environ:  # a browser is the terminal
        return
    if not all(os.isatty(descriptor) for descriptor in (0, 2)) or not terminal.is_terminal(terminal.stdout()):
        raise UsageError("top needs a terminal", hint="craft-events stats and craft-events tail write into a pipe")


async def _top(settings: "Settings", where: Watched, looks: TopLooks) -> int:
    from craft_events_cli.top.app import TopApp
    from craft_events_cli.top.running import run_until_cancelled
    from craft_events_cli.top.source import LogSource

    async with opened(settings) as store:
        source = LogSource(store, params.Limiting(tenant=where.tenant, type=where.type, since=where.since))
        return await run_until_cancelled(TopApp(source, log_name=log_name(settings), theme=looks.theme.value))
