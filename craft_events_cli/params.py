"""The options that commands share, as Typer's `Annotated` types, and groups of them as frozen dataclasses.

A group may refuse a combination of its options in `__post_init__`, before any I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_easy.core.events.model.times import Moment, Window, parse_moment, window
from craft_events_cli import connection, terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.output import spans
from craft_events_cli.pacing import events_a_second
from craft_events_cli.terminal import Output
from craft_events_cli.values import pattern, reads, seconds

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Modules, Settings, Value

SELECTING: Final = "Selection (repeats of one option are OR, different options AND)"
CONNECTION: Final = "Connection"
HANDLERS: Final = "Handlers"
RUNNING: Final = "Running handlers"
OUTPUT: Final = "Output"

# ------------------------------------------------------------------ single options


class State(StrEnum):
    """The state of an event."""

    OPEN = "open"
    DEAD = "dead"
    DONE = "done"
    UNTRACKED = "untracked"


Format = Annotated[
    Output | None,
    typer.Option(
        "-o",
        "--output",
        help="choose the format",
        show_default="table on a terminal, else ndjson",
        rich_help_panel=OUTPUT,
    ),
]
States = Annotated[
    list[State],
    typer.Option(
        "--state",
        metavar="STATE",
        help="select events in this state: open, dead, done or untracked",
        rich_help_panel=SELECTING,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="report what would be done, and write nothing")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask before acting")]
Env = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="ENV",
        help="use this environment of pyproject.toml (CRAFT_EVENTS_ENV)",
        rich_help_panel=CONNECTION,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="exit 3 on a warning too")]
HandlerIds = Annotated[
    list[str],
    typer.Option("--handler", metavar="ID", help="select this handler", rich_help_panel=HANDLERS),
]
IdsFrom = Annotated[
    Path | None,
    typer.Option(
        "--ids-from",
        metavar="FILE",
        help="read event ids from this file; - reads stdin",
        rich_help_panel=SELECTING,
    ),
]
Tenants = Annotated[
    list[str], typer.Option("--tenant", metavar="T", help="select this tenant", rich_help_panel=SELECTING)
]
NoTenant = Annotated[
    bool, typer.Option("--no-tenant", help="select events without a tenant", rich_help_panel=SELECTING)
]
Types = Annotated[
    list[str],
    typer.Option(
        "--type",
        metavar="PATTERN",
        parser=reads(pattern),
        help="select event types; * matches any text, ? one character",
        rich_help_panel=SELECTING,
    ),
]
ExcludeTypes = Annotated[
    list[str],
    typer.Option(
        "--exclude-type",
        metavar="PATTERN",
        parser=reads(pattern),
        help="leave out this event type",
        rich_help_panel=SELECTING,
    ),
]
Actors = Annotated[list[str], typer.Option("--actor", metavar="A", help="select this actor", rich_help_panel=SELECTING)]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="stop after N", rich_help_panel=SELECTING),
]


def _moment(flag: str, text: str) -> Any:
    return typer.Option(flag, metavar="TIME", parser=reads(parse_moment), help=text, rich_help_panel=SELECTING)


Since = Annotated[Moment | None, _moment("--since", "select from this time on: 2h, 14:00, yesterday, 2026-01-31")]
Until = Annotated[Moment | None, _moment("--until", "select before this time")]


def _duration(flag: str, text: str, *, default: str) -> Any:
    return typer.Option(
        flag, metavar="DURATION", parser=reads(seconds), help=text, show_default=default, rich_help_panel=RUNNING
    )


Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="N/s",
        parser=reads(events_a_second),
        help="limit the rate: 50/s, 600/m",
        rich_help_panel=RUNNING,
    ),
]
Timeout = Annotated[float, _duration("--timeout", "limit an attempt whose handler sets no limit", default="15m")]
Grace = Annotated[float, _duration("--grace", "wait this long for running handlers when stopped", default="10s")]


# ------------------------------------------------------------------ shared groups


@dataclass(frozen=True, slots=True)
class Filtering:
    """Which events: tenants, types, actors."""

    tenant: Tenants = field(default_factory=list)
    no_tenant: NoTenant = False
    type: Types = field(default_factory=list)
    actor: Actors = field(default_factory=list)

    def filters(self) -> "Selection":
        """Return the selection, whenever the events happened."""
        from craft_easy.core.events.model.selection import Selection

        return Selection(
            tenants=tuple(self.tenant),
            no_tenant=self.no_tenant,
            types=tuple(self.type),
            actors=tuple(self.actor),
        )

    def flags(self) -> list[str]:
        """Return the flags that select the same events again, whenever they happened."""
        values = {"--tenant": self.tenant, "--type": self.type, "--actor": self.actor}
        flags = [word for flag, given in values.items() for value in given for word in (flag, value)]
        return [*flags, *(["--no-tenant"] if self.no_tenant else [])]


@dataclass(frozen=True, slots=True)
class Choosing(Filtering):
    """The same, in a window of time."""

    since: Since = None
    until: Until = None

    def __post_init__(self) -> None:
        """Refuse a window that is empty whatever the time is."""
        if (
            self.since
            and self.until
            and (
                (self.since.ago is not None and self.until.ago is not None)
                or (self.since.is_fixed and self.until.is_fixed)
            )
        ):
            self.window_at(datetime.max.replace(tzinfo=UTC))

    def window_at(self, now: datetime) -> Window:
        """Return the window of time, relative times reckoned from the database's `now`."""
        try:
            return window(self.since, self.until, now=now, zone=spans.zone())
        except ValueError as error:
            raise UsageError(str(error), hint="--since is where it begins, --until where it ends") from None

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        resolved = self.window_at(now)
        if self.since or self.until:
            terminal.note(spans.window_text(resolved))
        return replace(self.filters(), states=tuple(states), since=resolved.since, until=resolved.until)


@dataclass(frozen=True, slots=True)
class Limiting(Choosing):
    """The same, and how many."""

    limit: Limit = None

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        return replace(Choosing.selection(self, now, states=states), limit=self.limit)


@dataclass(frozen=True, slots=True)
class Selecting(Limiting):
    """The same, and in which order."""

    reverse: Annotated[bool, typer.Option("--reverse", help="show the newest first", rich_help_panel=SELECTING)] = False

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        return replace(Limiting.selection(self, now, states=states), reverse=self.reverse)


@dataclass(frozen=True, slots=True)
class Excluding(Limiting):
    """A selection of events, with a limit and without some types."""

    exclude_type: ExcludeTypes = field(default_factory=list)

    def selection(self, now: datetime, *, states: Sequence[str] = ()) -> "Selection":
        """Return the selection; a window that was asked for is echoed on stderr."""
        return replace(Limiting.selection(self, now, states=states), except_types=tuple(self.exclude_type))


@dataclass(frozen=True, slots=True)
class Handling:
    """Which handler modules to load, and from where."""

    module: Annotated[
        list[str],
        typer.Option(
            "-m",
            "--module",
            metavar="MODULE",
            help="load this handler module, M or M:bus (CRAFT_EVENTS_HANDLERS)",
            rich_help_panel=HANDLERS,
        ),
    ] = field(default_factory=list)
    handlers: Annotated[list[str], typer.Option("--handlers", metavar="MODULE", hidden=True)] = field(
        default_factory=list
    )
    app_dir: Annotated[
        Path | None,
        typer.Option(
            "--app-dir",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="find modules in this directory",
            show_default=".",
            rich_help_panel=HANDLERS,
        ),
    ] = None

    @property
    def named(self) -> list[str]:
        """The modules that flags name; `--handlers` is the name that `--module` had."""
        return [*self.module, *self.handlers]

    def modules(self, env: str | None = None) -> "Modules":
        """Resolve flags, variables, `pyproject.toml` and defaults; `env` is the command's own `--env`."""
        from craft_easy.core.events.settings import resolve_modules

        app_dir = None if self.app_dir is None else str(self.app_dir)
        flags = {"handlers": self.named, "app-dir": app_dir, "env": env}
        return resolve_modules(flags, directory=connection.current_directory())


@dataclass(frozen=True, slots=True)
class Connecting:
    """Where the event log is."""

    env: Env = None
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="connect to MongoDB, or embedded:DIR (CRAFT_EVENTS_URI)",
            show_default="mongodb://localhost:27017",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="use this database (CRAFT_EVENTS_DATABASE)",
            show_default="the address's, or craft_easy",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="use this collection (CRAFT_EVENTS_COLLECTION)",
            show_default="event_log",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        typer.Option(
            "--time-zone",
            metavar="ZONE",
            help="show and read times in UTC, local or Area/City",
            show_default="UTC",
            rich_help_panel=OUTPUT,
        ),
    ] = None

    def settings(self) -> "Settings":
        """Resolve flags, variables, `pyproject.toml` and defaults; note their warnings on stderr."""
        from craft_easy.core.events.settings import resolve

        flags = {"env": self.env, "uri": self.uri, "database": self.database, "collection": self.collection}
        found = resolve(flags, directory=connection.current_directory())
        for warning in found.warnings:
            terminal.warn(warning)
        return found

    def zone(self) -> "Value[str]":
        """Resolve the zone that times are shown and read in, with its origin."""
        from craft_easy.core.events.settings import resolve_time_zone

        return resolve_time_zone(
            {"env": self.env, "time-zone": self.time_zone}, directory=connection.current_directory()
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """The confirmation that a command asks for, and its dry run."""

    dry_run: DryRun = False
    yes: Yes = False


@dataclass(frozen=True, slots=True)
class Acting(Connecting):
    """Where the event log is that a command acts on, and the confirmation of a protected environment."""

    confirm_env: Annotated[
        str | None,
        typer.Option(
            "--confirm-env",
            metavar="ENV",
            help="confirm this protected environment without a question",
            rich_help_panel=CONNECTION,
        ),
    ] = None
