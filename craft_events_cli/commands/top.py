"""`craft-events top`: a live console."""

import os
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from craft_events_cli import lifecycle, loading, params, terminal, values
from craft_events_cli.address import Address, address
from craft_events_cli.connection import log_name, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.settings import Settings

app = typer.Typer(add_completion=False)

LOOKS: Final = "Looks"
BROWSER: Final = "In a browser"
SERVED_AT: Final = Address("127.0.0.1", 8000)


def served_at(text: str) -> Address:
    """Read where to serve."""
    return address(text, SERVED_AT)


def url_of_proxy(text: str) -> str:
    """Check the address that a proxy gives the console."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None:
        raise ValueError(f'"{terminal.redacted(text)[:80]}" is not a valid address. Try https://events.example.com/')
    return text


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


@dataclass(frozen=True, slots=True)
class Serving:
    """Whether the console is shown in a browser, where, and what it may do there."""

    listen: Annotated[
        Address | None,
        typer.Argument(
            metavar="HOST:PORT",
            parser=values.reads(served_at),
            help="listen here with --serve",
            show_default=str(SERVED_AT),
        ),
    ] = None
    serve: Annotated[bool, typer.Option("--serve", help="show the console in a browser", rich_help_panel=BROWSER)] = (
        False
    )
    allow_actions: Annotated[
        bool,
        typer.Option("--allow-actions", help="let the browser retry, discard and deliver", rich_help_panel=BROWSER),
    ] = False
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            parser=values.reads(url_of_proxy),
            help="accept this address of a proxy, too",
            rich_help_panel=BROWSER,
        ),
    ] = None
    read_only: Annotated[bool, typer.Option("--read-only", help="look only: no retry, discard or deliver")] = False

    def __post_init__(self) -> None:
        """Refuse what has no effect, or contradicts itself."""
        given = {
            f"the address {self.listen}": self.listen,
            "--allow-actions": self.allow_actions,
            "--public-url": self.public_url,
        }
        if not self.serve and (useless := next((name for name, value in given.items() if value), None)):
            raise UsageError(
                f"{useless} is for --serve", hint="craft-events top --serve shows the console in a browser"
            )
        if self.allow_actions and self.read_only:
            raise UsageError("--allow-actions and --read-only contradict each other")


@app.command()
@expanded
def top(
    where: Watched, looks: TopLooks, serving: Serving, connection: params.Connecting, handling: params.Handling
) -> ExitCode:
    """Watch the log live: the backlog, events as they come, and what is pending or dead.

    Examples:
        craft-events top
        craft-events top --tenant acme --type 'payment.*'
        craft-events top --env prod -m shop.handlers
        craft-events top --serve

    Keys are in the last line, ? shows all. Deliveries are retried and discarded there too, after a question. --serve
    has no login: everybody who reaches its address sees the log, and with --allow-actions acts on it.
    """
    _require_textual()
    if serving.serve:
        words = _console_words(where, looks, serving, connection, handling)
        return lifecycle.run(_serve(connection.settings(), serving, words, connection.uri))
    _require_terminal()
    settings, modules = connection.settings(), handling.modules(connection.env)
    bus = loading.load_bus(modules) if modules.handlers.value and not serving.read_only else None
    return ExitCode(lifecycle.run(_top(settings, where, looks, bus, may_act=not serving.read_only)))


def _require_textual() -> None:
    if find_spec("textual") is None or find_spec("textual_serve") is None:
        raise UsageError("top needs Textual, which is not installed", hint="pip install 'craft-events[ui]'")


def _require_terminal() -> None:
    if "TEXTUAL_DRIVER" in os.environ:  # a browser is the terminal
        return
    if not all(os.isatty(descriptor) for descriptor in (0, 2)) or not terminal.is_terminal(terminal.stdout()):
        raise UsageError("top needs a terminal", hint="craft-events stats and craft-events tail write into a pipe")


async def _top(settings: "Settings", where: Watched, looks: TopLooks, bus: "EventBus | None", *, may_act: bool) -> int:
    from craft_events_cli.top.actions import ConsoleActions
    from craft_events_cli.top.app import TopApp
    from craft_events_cli.top.running import run_until_cancelled
    from craft_events_cli.top.source import LogSource

    async with opened(settings) as store:
        source = LogSource(store, params.Limiting(tenant=where.tenant, type=where.type, since=where.since))
        actions = ConsoleActions(settings, store, bus) if may_act else None
        return await run_until_cancelled(
            TopApp(source, log_name=log_name(settings), actions=actions, theme=looks.theme.value)
        )


def _console_words(
    where: Watched, looks: TopLooks, serving: Serving, connection: params.Connecting, handling: params.Handling
) -> list[str]:
    """Return the command of a console in a browser; a password may be in the address, which its environment has."""
    flags = {
        "--tenant": where.tenant,
        "--type": where.type,
        "--since": where.since and where.since.text,
        "--theme": looks.theme.value,
        "--env": connection.env,
        "--database": connection.database,
        "--collection": connection.collection,
        "--time-zone": connection.time_zone,
        "--module": handling.named,
        "--app-dir": handling.app_dir and str(handling.app_dir),
    }
    given = [
        f"{flag}={one}"
        for flag, value in flags.items()
        for one in (value if isinstance(value, list) else [value])
        if one is not None
    ]
    is_read_only = [] if serving.allow_actions else ["--read-only"]
    return [sys.executable, "-P", "-m", "craft_events_cli", "top", *is_read_only, *given]


async def _serve(settings: "Settings", serving: Serving, words: list[str], uri: str | None) -> ExitCode:
    from craft_events_cli.top.serving import ConsoleServer, serve

    where = serving.listen or SERVED_AT
    server = ConsoleServer(
        words,
        {} if uri is None else {"CRAFT_EVENTS_URI": uri},
        where,
        title=f"craft-events top: {log_name(settings)}",
        public_url=serving.public_url,
    )
    async with opened(settings):  # an embedded log runs for as long as this does
        await serve(server, where, lambda: _introduce(settings, where, may_act=serving.allow_actions))
    return ExitCode.DONE


def _introduce(settings: "Settings", where: Address, *, may_act: bool) -> None:
    terminal.stdout().write(f"{where.url}\n")
    terminal.flush()
    terminal.note(
        f"{log_name(settings)} is shown at {where.url}, {'with actions' if may_act else 'read-only'}; Ctrl-C ends"
    )
    reader = "everybody who reaches this address" if where.is_loopback else "every machine that reaches this address"
    terminal.warn(f"there is no login: {reader} sees the log" + (" and can act on it" if may_act else ""))
