"""The options that commands share, as types for their signatures.

Groups are frozen dataclasses that `parsing` fills; what one of them refuses is a usage error before any I/O:

    def tail(where: params.Selecting, connection: params.Connecting, output: params.Format = None) -> int | None:
        settings = connection.settings()
        bus = loading.load_bus(handling.modules())          # where it takes `handling: params.Handling`
        async with params.opened(settings) as store:
            selection = where.selection(await store.now())
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_easy.core.events.model.selection import Moment, Window, parse_moment, window
from craft_events_cli import asking, terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Modules, Settings
    from craft_easy.core.events.store import EventStore

SELECTING: Final = "Selecting (repeats of one option are OR, different options AND)"
CONNECTION: Final = "Connection"
HANDLERS: Final = "Handlers"
OUTPUT: Final = "Output"
MAX_NUMBER: Final = 2**63 - 1
MAX_DEADLINE: Final = 86_400.0


def whole_number(text: str) -> int:
    """Read a whole number of at least 1, in ASCII digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not 1 <= int(text) <= MAX_NUMBER:
        raise ValueError(f'"{text}" is no whole number of at least 1')
    return int(text)


def seconds(text: str) -> float:
    """Read a duration: `10`, `0.5`, `30s`, `5m`, `1h30m`; in seconds."""
    try:
        if len(text) <= 15 and text.isascii() and text.replace(".", "", 1).isdigit():
            return float(text)
        ago = parse_moment(text).ago
    except ValueError:
        ago = None
    if ago is None:
        raise ValueError(f'"{text[:80]}" is no duration. Try 10, 30s or 5m')
    return ago.total_seconds()


def deadline(text: str) -> float:
    """Read a duration that bounds a call of the database: a day at most, in seconds."""
    found = seconds(text)
    if found > MAX_DEADLINE:
        raise ValueError(f'"{text}" is too long, a day is the most')
    return found


def pattern(text: str) -> str:
    """Check a pattern of event types."""
    if not text:
        raise ValueError("an empty pattern matches nothing. Try 'order.*' or '*'")
    return text


class State(StrEnum):
    """What became of an event."""

    OPEN = "open"
    DEAD = "dead"
    DONE = "done"
    UNTRACKED = "untracked"


Format = Annotated[
    Output | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, ndjson, json or csv; a table on a terminal, NDJSON into a pipe",
        rich_help_panel=OUTPUT,
    ),
]
States = Annotated[
    list[State],
    typer.Option("--state", metavar="STATE", help="open, dead, done or untracked", rich_help_panel=SELECTING),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and write nothing")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
Env = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="ENV",
        help="an environment of pyproject.toml, [tool.craft-events.env.ENV]; else CRAFT_EVENTS_ENV",
        rich_help_panel=CONNECTION,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="a warning ends with 3 too")]
HandlerIds = Annotated[
    list[str],
    typer.Option("--handler", metavar="ID", help="only this handler, by its id", rich_help_panel=HANDLERS),
]
IdsFrom = Annotated[
    str | None,
    typer.Option(
        "--ids-from",
        metavar="FILE",
        help="only the events that FILE names, an id or a failed delivery a line; - is stdin",
        rich_help_panel=SELECTING,
    ),
]


@dataclass(frozen=True, slots=True)
class Choosing:
    """Which events: tenants, types, actors, a window of time."""

    tenant: Annotated[
        list[str], typer.Option("--tenant", metavar="T", help="events of this tenant", rich_help_panel=SELECTING)
    ] = field(default_factory=list)
    no_tenant: Annotated[
        bool, typer.Option("--no-tenant", help="events without a tenant, or also those", rich_help_panel=SELECTING)
    ] = False
    type: Annotated[
        list[str],
        typer.Option(
            "--type",
            metavar="PATTERN",
            parser=pattern,
            help="events of this type; * is any run of characters, ? is one",
            rich_help_panel=SELECTING,
        ),
    ] = field(default_factory=list)
    actor: Annotated[
        list[str], typer.Option("--actor", metavar="A", help="events of this actor", rich_help_panel=SELECTING)
    ] = field(default_factory=list)
    since: Annotated[
        Moment | None,
        typer.Option(
            "--since",
            metavar="TIME",
            parser=parse_moment,
            help="from this time on: 2h, 1d12h, 2026-01-31, 2026-01-31T10:00:00Z, epoch seconds; UTC without a zone",
            rich_help_panel=SELECTING,
        ),
    ] = None
    until: Annotated[
        Moment | None,
        typer.Option(
            "--until",
            metavar="TIME",
            parser=parse_moment,
            help="before this time",
            rich_help_panel=SELECTING,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse a window that is empty whatever the time is."""
        if self.since and self.until and (self.since.ago is None) == (self.until.ago is None):
            self.window_at(datetime.max.replace(tzinfo=UTC))

    def window_at(self, now: datetime) -> Window:
        """Return the window of time, relative times reckoned from the database's `now`."""
        try:
            return window(self.since, self.until, now=now)
        except ValueError as error:
            raise UsageError(str(error), hint="--since is where it begins, --until where it ends") from None

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        from craft_easy.core.events.model.selection import Selection

        resolved = self.window_at(now)
        if self.since or self.until:
            terminal.note(str(resolved))
        return Selection(
            tenants=tuple(self.tenant),
            no_tenant=self.no_tenant,
            types=tuple(self.type),
            actors=tuple(self.actor),
            states=tuple(states),
            since=resolved.since,
            until=resolved.until,
        )


@dataclass(frozen=True, slots=True)
class Selecting(Choosing):
    """The same, and how many, in which order."""

    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            parser=whole_number,
            help="at most so many, counted after all filters",
            rich_help_panel=SELECTING,
        ),
    ] = None
    reverse: Annotated[bool, typer.Option("--reverse", help="newest first", rich_help_panel=SELECTING)] = False

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        chosen = Choosing.selection(self, now, states=states)
        return replace(chosen, limit=self.limit, reverse=self.reverse)


@dataclass(frozen=True, slots=True)
class Handling:
    """Which handler modules to load, and from where."""

    handlers: Annotated[
        list[str],
        typer.Option(
            "--handlers",
            metavar="MODULE",
            help="load this handler module, M or M:bus; else CRAFT_EVENTS_HANDLERS, separated by commas",
            rich_help_panel=HANDLERS,
        ),
    ] = field(default_factory=list)
    app_dir: Annotated[
        Path | None,
        typer.Option(
            "--app-dir",
            metavar="DIR",
            help="where modules are looked up after the installed ones; else the current directory",
            rich_help_panel=HANDLERS,
        ),
    ] = None

    def modules(self, env: str | None = None) -> "Modules":
        """Resolve flags, variables, `pyproject.toml` and defaults; `env` is the command's own `--env`."""
        from craft_easy.core.events.settings import resolve_modules

        app_dir = None if self.app_dir is None else str(self.app_dir)
        flags = {"handlers": self.handlers, "app-dir": app_dir, "env": env}
        return resolve_modules(flags, directory=current_directory())


@dataclass(frozen=True, slots=True)
class Connecting:
    """Where the event log is."""

    env: Env = None
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="MongoDB's address, or embedded:DIR; else CRAFT_EVENTS_URI, else mongodb://localhost:27017",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="else CRAFT_EVENTS_DATABASE, else the address's, else craft_easy",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="else CRAFT_EVENTS_COLLECTION, else event_log",
            rich_help_panel=CONNECTION,
        ),
    ] = None

    def settings(self) -> "Settings":
        """Resolve flags, variables, `pyproject.toml` and defaults, and say what is to be warned of."""
        from craft_easy.core.events.settings import resolve

        flags = {"env": self.env, "uri": self.uri, "database": self.database, "collection": self.collection}
        found = resolve(flags, directory=current_directory())
        for warning in found.warnings:
            terminal.warn(warning)
        return found


@dataclass(frozen=True, slots=True)
class Acting(Connecting):
    """Where the event log is that a command acts on: a protected environment has its name typed."""

    confirm_env: Annotated[
        str | None,
        typer.Option(
            "--confirm-env",
            metavar="ENV",
            help="say that this protected environment is meant, where nobody can type its name",
            rich_help_panel=CONNECTION,
        ),
    ] = None

    def confirmed(self, *, is_dry: bool = False) -> "Settings":
        """Resolve the settings and, unless nothing will be written, have a protected environment's name typed."""
        found = self.settings()
        asking.confirm_environment(found, named=self.confirm_env, is_dry=is_dry)
        return found


def current_directory() -> Path:
    """Return where the search for `pyproject.toml` begins.

    Raises:
        UsageError: it was removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory is not there any more", hint="cd to one that is") from None


@asynccontextmanager
async def opened(settings: "Settings") -> AsyncIterator["EventStore"]:
    """Open the event log that the settings name and close it at the end.

    An error of the connection says where the address came from.
    """
    from craft_easy.core.events.errors import StoreLoginRefused, StoreUnavailable
    from craft_easy.core.events.store import EventStore

    store = EventStore(settings.database.value, uri=settings.uri.value, collection=settings.collection.value)
    try:
        yield store
    except StoreUnavailable as error:
        error.hint = f"is the address right, and does the server run? {_came_from(settings)}"
        raise
    except StoreLoginRefused as error:
        error.hint = f"is the login right, its authSource and its rights? {_came_from(settings)}"
        raise
    finally:
        await store.aclose()


def _came_from(settings: "Settings") -> str:
    if settings.uri.is_default:
        return "it is the default: name yours with --uri or CRAFT_EVENTS_URI"
    return f"it came from {settings.uri.origin}"
