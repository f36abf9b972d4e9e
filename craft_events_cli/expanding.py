"""Groups of options: a frozen dataclass in a command's signature, its fields on the command's page.

`expanded` shows Typer the fields of each group as options of the command, and builds the group when the command is
called:

    app = typer.Typer(add_completion=False)

    @app.command()
    @expanded
    def tail(where: params.Selecting, connection: params.Connecting, output: params.Format = None) -> ExitCode:
        async with opened(connection.settings()) as store:
            selection = where.selection(await store.now())
"""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, get_type_hints

from craft_easy.core.events.clock import UTC_ZONE, TimeZone, time_zone
from craft_events_cli import connection, logs, terminal
from craft_events_cli.app import Coloring, Debugging
from craft_events_cli.errors import UsageError
from craft_events_cli.output import next_step, spans
from craft_events_cli.terminal import Color

MAX_NUMBER: Final = 2**63 - 1
"""The largest integer that MongoDB stores."""
MAX_NAME_BYTES: Final = 255
"""The longest name of a file on Linux and macOS, limits.h(0p): NAME_MAX."""

Command = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Common:
    """The options of every command."""

    color: Coloring = Color.AUTO
    debug: Debugging = False


def expanded(function: Command) -> Command:
    """Return a command whose groups of options Typer sees as options, with the common ones added."""
    groups: dict[str, type] = {}
    shown: list[inspect.Parameter] = []
    hints = get_type_hints(function, include_extras=True)
    for one in inspect.signature(function).parameters.values():
        kind = hints[one.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[one.name] = kind
            shown += _members(kind)
        else:
            shown.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind))

    @wraps(function)
    def command(*, color: Color, debug: bool, **values: Any) -> int | None:
        with terminal.data_only():
            _check(values)
            debug_log = logs.shown(is_debug=terminal.is_debug())
            with next_step.carrying(_given(values)), debug_log, spans.shown_in(_zone(values)):
                for name, group in groups.items():
                    values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
                return function(**values)

    shown += _members(Common)
    command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in shown}
    return command


def _given(values: Mapping[str, Any]) -> next_step.FlagsGiven:
    """Return the flags that the next command needs too."""
    connection = {name: values.get(name) for name in ("env", "uri", "database", "collection", "time_zone")}
    app_dir = values.get("app_dir")
    return next_step.FlagsGiven(
        {f"--{name.replace('_', '-')}": value for name, value in connection.items() if value is not None},
        [*values.get("module", ()), *values.get("handlers", ())],
        None if app_dir is None else str(app_dir),
    )


def _zone(values: Mapping[str, Any]) -> TimeZone:
    """Return the zone that times are shown and read in; UTC for a command that has nothing to do with times."""
    if "time_zone" not in values:
        return UTC_ZONE
    from craft_easy.core.events.settings import resolve_time_zone

    flags = {"time-zone": values["time_zone"], "env": values.get("env")}
    return time_zone(resolve_time_zone(flags, directory=connection.current_directory()).value)


def _members(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=_default_of(one), annotation=hints[one.name]
        )
        for one in fields(group)
    ]


def _default_of(one: Any) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return inspect.Parameter.empty if one.default is MISSING else one.default


def _check(values: Mapping[str, Any]) -> None:
    """Refuse values that Typer's types accept: bytes that are not UTF-8, numbers and paths that are too large."""
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one.encode(errors="replace") != one.encode(errors="surrogatepass"):
                raise UsageError(f"{name.replace('_', '-')}: the value is not valid UTF-8")
            if isinstance(one, int) and one > MAX_NUMBER:
                raise UsageError(f"{name.replace('_', '-')}: {one} is too large")
            if isinstance(one, Path) and any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in one.parts):
                raise UsageError(f"{name.replace('_', '-')}: {str(one)[:40]}… is too long for a path")
