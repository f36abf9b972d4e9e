"""The settings: the address of the event log and the handler modules, each value with its origin.

Precedence: a flag, an environment variable, the chosen environment of `[tool.craft-events]` in the nearest
`pyproject.toml` that has this table, the table itself, the default. An empty variable counts as not set.

May import `errors` and `clock`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.settings.checks import (
    DEFAULT_DATABASE,
    DEFAULT_URI,
    EMBEDDED,
    HANDLERS_SUFFIX,
    WORKERS_SUFFIX,
    check_collection,
    check_database,
    check_time_zone,
    check_uri,
    database_of,
)
from craft_easy.core.events.settings.table import TABLE_KEYS, Configuration, SettingsTable, configuration
from craft_easy.core.events.settings.values import DEFAULT_ORIGIN, Value, closest, quoted, redact

__all__ = [
    "DEFAULT_DATABASE",
    "DEFAULT_URI",
    "EMBEDDED",
    "HANDLERS_SUFFIX",
    "TABLE_KEYS",
    "WORKERS_SUFFIX",
    "Environment",
    "Modules",
    "Settings",
    "Value",
    "check_collection",
    "check_database",
    "configuration",
    "environments",
    "redact",
    "resolve",
    "resolve_modules",
    "resolve_time_zone",
]

DEFAULT_COLLECTION: Final = "event_log"
MODULE_FLAG: Final = "--module"
"""The flag of the setting `handlers`."""
ENVIRONMENT: Final = {
    "env": "CRAFT_EVENTS_ENV",
    "uri": "CRAFT_EVENTS_URI",
    "database": "CRAFT_EVENTS_DATABASE",
    "collection": "CRAFT_EVENTS_COLLECTION",
    "handlers": "CRAFT_EVENTS_HANDLERS",
    "time-zone": "CRAFT_EVENTS_TIME_ZONE",
}

Flags = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Environment:
    """A named environment; for a protected one, commands that act ask for its name first.

    Args:
        origin: the flag or variable that chose it; in a list, the place of its definition.
        defined_in: the place of its definition: the file and the table.
    """

    name: str
    origin: str
    is_protected: bool = False
    defined_in: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked address of the event log; `repr` shows no password."""

    uri: Value[str]
    database: Value[str]
    collection: Value[str]
    environment: Environment | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Modules:
    """The handler modules to load, `M` or `M:bus`, and the folder that is searched for them last."""

    handlers: Value[tuple[str, ...]]
    app_dir: Value[str]


def resolve(
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Return the settings of the event log.

    Args:
        flags: explicit values by setting (`env`, `uri`, `database`, `collection`); None is not set.
        environ: the environment variables; None for the process's.
        directory: the search for `pyproject.toml` goes upwards from here; None reads no file and has no `env`.

    Raises:
        InvalidSetting: a value cannot be used; the message names its origin.
    """
    sources = _sources(flags, environ, directory)
    uri = sources.uri()
    check_uri(uri)
    database = sources.text("database", "")
    if not database.origin or database.is_default:
        database = database_of(uri)
    check_database(database)
    collection = sources.text("collection", DEFAULT_COLLECTION)
    check_collection(collection, database.value)
    return Settings(uri, database, collection, sources.environment, tuple(sources.overridden()))


def resolve_modules(
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Modules:
    """Return the handler modules; the arguments are those of `resolve`, the flags `handlers` and `app-dir`.

    Raises:
        InvalidSetting: the file has a value that cannot be used.
    """
    sources = _sources(flags, environ, directory)
    return Modules(sources.names("handlers"), sources.text("app-dir", "."))


def resolve_time_zone(
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Value[str]:
    """Return the name of the zone that times are shown and read in; the arguments are those of `resolve`.

    Raises:
        InvalidSetting: the zone is not known.
    """
    found = _sources(flags, environ, directory).text("time-zone", "UTC")
    check_time_zone(found)
    return found


def environments(directory: Path) -> list[Environment]:
    """Return the environments of the nearest `pyproject.toml` that has the table.

    Raises:
        InvalidSetting: the file cannot be used.
    """
    tables = configuration(directory).environments
    return [Environment(name, table.origin, table.is_protected, table.origin) for name, table in tables.items()]


def _sources(flags: Flags | None, environ: Mapping[str, str] | None, directory: Path | None) -> _Sources:
    flags, environ = flags or {}, os.environ if environ is None else environ
    config = configuration(directory)
    chosen = None if directory is None else _chosen(config, flags, environ)
    if chosen is None:
        return _Sources(flags, environ, (config.base,), None)
    own = config.environments[chosen.value]
    environment = Environment(chosen.value, chosen.origin, own.is_protected, own.origin)
    return _Sources(flags, environ, (own, config.base), environment)


def _chosen(config: Configuration, flags: Flags, environ: Mapping[str, str]) -> Value[str] | None:
    flag = flags.get("env")
    name = flag if isinstance(flag, str) else environ.get(ENVIRONMENT["env"])
    if name is None or (not name and flag is None):
        return None
    chosen = Value(name, "--env" if isinstance(flag, str) else ENVIRONMENT["env"])
    if name in config.environments:
        return chosen
    setting, origin = ("--env", None) if chosen.origin == "--env" else ("env", chosen.origin)
    raise InvalidSetting(setting, f"environment {quoted(name)} does not exist", origin=origin, hint=_hint(name, config))


def _hint(name: str, config: Configuration) -> str:
    if close := closest(name, list(config.environments)):
        return f"did you mean {close}?"
    if config.environments:
        return f"{config.base.origin} has {', '.join(config.environments)}"
    where = f"to {config.base.origin}" if config.base.file else "to pyproject.toml"
    return f"add one {where}: [tool.craft-events.env.prod]"


@dataclass(frozen=True, slots=True)
class _Sources:
    """The sources of values; `tables` are the chosen environment's and the base one, in this order."""

    flags: Flags
    environ: Mapping[str, str]
    tables: tuple[SettingsTable, ...]
    environment: Environment | None

    def uri(self) -> Value[str]:
        if (explicit := self._explicit("uri")) is not None:
            return explicit
        for table in self.tables:
            if (uri := table.uri(self.environ)) is not None:
                return uri
        return Value(DEFAULT_URI, DEFAULT_ORIGIN)

    def text(self, setting: str, default: str) -> Value[str]:
        explicit = self._explicit(setting)
        if explicit is not None:
            return explicit
        for table in self._tables_with(setting):
            text = table.text(setting)
            return Value(str(table.folder / text) if setting == "app-dir" else text, table.origin)
        return Value(default, DEFAULT_ORIGIN)

    def names(self, setting: str) -> Value[tuple[str, ...]]:
        """Return handler modules, the one setting of several names."""
        flag = self.flags.get(setting)
        if flag:
            return Value(_split([flag] if isinstance(flag, str) else flag), MODULE_FLAG)
        variable = ENVIRONMENT[setting]
        if self.environ.get(variable):
            return Value(_split([self.environ[variable]]), variable)
        for table in self._tables_with(setting):
            return Value(_split(table.texts(setting)), table.origin)
        return Value((), DEFAULT_ORIGIN)

    def overridden(self) -> Iterator[str]:
        """Yield a warning for each variable that overrides the chosen environment, which is rarely intended."""
        if self.environment is None:
            return
        for setting in ("uri", "database", "collection"):
            is_set = any(key.partition("-")[0] == setting for key in self.tables[0].values)
            variable = ENVIRONMENT[setting]
            if is_set and self.environ.get(variable) and not isinstance(self.flags.get(setting), str):
                yield f"{variable} overrides the {setting} of {self.environment.name}"

    def _explicit(self, setting: str) -> Value[str] | None:
        flag = self.flags.get(setting)
        if isinstance(flag, str):
            return Value(flag, f"--{setting}")
        variable = ENVIRONMENT.get(setting, "")
        return Value(self.environ[variable], variable) if self.environ.get(variable) else None

    def _tables_with(self, setting: str) -> Iterator[SettingsTable]:
        return (table for table in self.tables if setting in table.values)


def _split(texts: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))
