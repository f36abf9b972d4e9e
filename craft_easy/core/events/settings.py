"""Where the event log is and which handler modules to load: the value of each setting, and where it came from.

A flag goes before the environment, the environment before `[tool.craft-events]` of the nearest `pyproject.toml` that
has this table, and that before the default. A value that is empty in the environment counts as not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from craft_easy.core.events.errors import InvalidSetting

T = TypeVar("T")

DEFAULT_URI: Final = "mongodb://localhost:27017"
DEFAULT_DATABASE: Final = "craft_easy"
DEFAULT_COLLECTION: Final = "event_log"
DEFAULT_ORIGIN: Final = "the default"

ENVIRONMENT: Final = {
    "uri": "CRAFT_EVENTS_URI",
    "database": "CRAFT_EVENTS_DATABASE",
    "collection": "CRAFT_EVENTS_COLLECTION",
    "handlers": "CRAFT_EVENTS_HANDLERS",
}
TABLE_KEYS: Final = ("uri", "database", "collection", "handlers", "app-dir")

EMBEDDED: Final = "embedded:"
SCHEMES: Final = ("mongodb://", "mongodb+srv://")
SYSTEM_DATABASES: Final = ("admin", "config", "local")
MAX_DATABASE_BYTES: Final = 63
MAX_NAMESPACE_BYTES: Final = 255
WORKERS_SUFFIX: Final = "_workers"

_USER_INFO: Final = re.compile(r"(?i)(mongodb(?:\+srv)?://[^\s:/@]*:)\S*(?=@)")
_SECRET_OPTION: Final = re.compile(
    r"(?i)((?:proxyPassword|tlsCertificateKeyFilePassword|AWS_SESSION_TOKEN)[=:])[^&,\s]*"
)
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]{1,5})?")
_ESCAPES: Final = "write / as %2F, : as %3A, ? as %3F, # as %23, @ as %40 and % as %25"
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Value(Generic[T]):
    """A setting's value and where it came from: a flag, a variable, a file or the default."""

    value: T
    origin: str

    @property
    def is_default(self) -> bool:
        """Tell whether nobody set it."""
        return self.origin == DEFAULT_ORIGIN

    def __repr__(self) -> str:
        return f"Value({redact(repr(self.value))}, {self.origin!r})"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the event log is, checked; `repr` shows no password."""

    uri: Value[str]
    database: Value[str]
    collection: Value[str]


@dataclass(frozen=True, slots=True)
class Modules:
    """Which handler modules to load, `M` or `M:bus`, and the folder where they are looked up last."""

    handlers: Value[tuple[str, ...]]
    app_dir: Value[str]


def resolve(
    flags: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Return where the event log is.

    Args:
        flags: values given outright, by setting (`uri`, `database`, `collection`); None is not set.
        environ: the environment; None for the process's.
        directory: where the search for `pyproject.toml` begins, upwards; None reads no file.

    Raises:
        InvalidSetting: a value cannot be used; the message says where it came from.
    """
    sources = _sources(flags, environ, directory)
    uri = sources.text("uri", DEFAULT_URI)
    check_uri(uri)
    database = sources.text("database", "")
    if not database.origin or database.is_default:
        database = _database_of(uri)
    check_database(database)
    collection = sources.text("collection", DEFAULT_COLLECTION)
    check_collection(collection, database.value)
    return Settings(uri, database, collection)


def resolve_modules(
    flags: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Modules:
    """Return which handler modules to load; the arguments are those of `resolve`, the flags `handlers` and `app-dir`.

    Raises:
        InvalidSetting: the file says something that cannot be used.
    """
    sources = _sources(flags, environ, directory)
    return Modules(sources.names("handlers"), sources.text("app-dir", "."))


def redact(text: str) -> str:
    """Return the text with each password in it replaced by `***`."""
    if "://" not in text and "=" not in text:
        return text
    return _SECRET_OPTION.sub(r"\1***", _USER_INFO.sub(r"\1***", text))


def check_uri(uri: Value[str]) -> None:
    """Refuse an address that no driver understands, before a driver's own error could quote a password."""
    text = uri.value
    _check_text("uri", uri)
    if text.startswith(EMBEDDED):
        if not text.removeprefix(EMBEDDED):
            raise _invalid("uri", uri, "names no directory", hint="embedded:DIR, as in embedded:./events")
        return
    scheme = next((scheme for scheme in SCHEMES if text.lower().startswith(scheme)), None)
    if scheme is None:
        raise _invalid("uri", uri, f"{_quoted(text)} is no MongoDB address", hint=f"try {DEFAULT_URI} or embedded:DIR")
    authority, path = _split_address(text[len(scheme) :])
    user_info, at, hosts = authority.rpartition("@")
    if "@" in path or "@" in user_info or user_info.count(":") > 1 or (at and _BARE_PERCENT.search(user_info)):
        raise _invalid(
            "uri",
            uri,
            "its user name or password holds a character that must be escaped",
            hint=_ESCAPES,
        )
    if any(not _HOST.fullmatch(host) for host in hosts.split(",")) and hosts:
        raise _invalid(
            "uri", uri, "its port is no number, or its password holds a character that must be escaped", hint=_ESCAPES
        )
    if not hosts or re.search(r"\s", text):
        raise _invalid("uri", uri, f"{_quoted(text)} names no host" if not hosts else "holds white space")


def check_database(name: Value[str]) -> None:
    """Refuse a database name that MongoDB forbids or keeps for itself.

    https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    """
    text = name.value
    _check_text("database", name)
    forbidden = next((character for character in text if character in '/\\. "$*<>:|?\0'), None)
    if forbidden is not None:
        raise _invalid("database", name, f"{_quoted(text)} holds {_quoted(forbidden)}, which MongoDB forbids")
    if text.lower() in SYSTEM_DATABASES:
        where = " (a URI's path names the database; to log in there add ?authSource=admin)" if text == "admin" else ""
        raise _invalid("database", name, f"{_quoted(text)} is MongoDB's own", hint=f"choose another, --database{where}")
    if len(text.encode()) > MAX_DATABASE_BYTES:
        raise _invalid("database", name, f"{len(text.encode())} bytes are too long, {MAX_DATABASE_BYTES} are allowed")


def check_collection(name: Value[str], database: str) -> None:
    """Refuse a collection name that MongoDB forbids or keeps for itself, or that leaves no room for the workers'."""
    text = name.value
    _check_text("collection", name)
    if "$" in text or "\0" in text:
        character = "$" if "$" in text else "\0"
        raise _invalid("collection", name, f"{_quoted(text)} holds {_quoted(character)}, which MongoDB forbids")
    if text.startswith("system.") or ".system." in text:
        raise _invalid("collection", name, f"{_quoted(text)} is reserved, as every system.* is")
    if text.startswith(".") or text.endswith(".") or ".." in text:
        raise _invalid("collection", name, f"{_quoted(text)} has an empty part between its dots")
    size = len(f"{database}.{text}{WORKERS_SUFFIX}".encode())
    if size > MAX_NAMESPACE_BYTES:
        raise _invalid("collection", name, f"is {size - MAX_NAMESPACE_BYTES} bytes too long")


def _check_text(setting: str, value: Value[str]) -> None:
    if not value.value:
        raise _invalid(setting, value, "is empty")
    try:
        value.value.encode()
    except UnicodeEncodeError:
        raise _invalid(setting, value, f"{_quoted(value.value)} is not UTF-8") from None


def _invalid(setting: str, value: Value[Any], reason: str, *, hint: str | None = None) -> InvalidSetting:
    if value.origin.startswith("--"):
        return InvalidSetting(value.origin, reason, hint=hint)
    return InvalidSetting(setting, reason, origin=value.origin, hint=hint)


def _quoted(text: str) -> str:
    short = text if len(text) <= 80 else text[:79] + "…"
    return f'"{redact(short)}"'


def _split_address(rest: str) -> tuple[str, str]:
    """Split what follows the scheme into authority and path, the query left out."""
    address = rest.partition("?")[0]
    authority, _, path = address.partition("/")
    return authority, path


def _database_of(uri: Value[str]) -> Value[str]:
    """Return the database that the address names, else the default."""
    if not uri.value.startswith(EMBEDDED):
        path = _split_address(uri.value.partition("://")[2])[1]
        if path:
            from urllib.parse import unquote_plus

            return Value(unquote_plus(path), uri.origin)
    return Value(DEFAULT_DATABASE, DEFAULT_ORIGIN)


@dataclass(frozen=True, slots=True)
class _Table:
    """`[tool.craft-events]` and the file that holds it."""

    values: Mapping[str, Any]
    file: Path | None = None

    @property
    def origin(self) -> str:
        return str(self.file)


def _table(directory: Path | None) -> _Table:
    if directory is None:
        return _Table({})
    for folder in (directory, *directory.parents):
        file = folder / "pyproject.toml"
        values = _read_table(file)
        if values is not None:
            return _Table(values, file)
    return _Table({})


def _read_table(file: Path) -> Mapping[str, Any] | None:
    try:
        text = file.read_bytes()
    except OSError:
        return None
    if b"craft-events" not in text:
        return None
    import tomllib

    try:
        table = tomllib.loads(text.decode()).get("tool", {}).get("craft-events")
    except ValueError as error:
        raise InvalidSetting("pyproject.toml", f"cannot be read: {error}", origin=str(file)) from None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise InvalidSetting("[tool.craft-events]", "is no table", origin=str(file))
    for key in table:
        if key not in TABLE_KEYS:
            raise InvalidSetting(
                f"[tool.craft-events] {key}",
                "no such setting",
                origin=str(file),
                hint=f"there are {', '.join(TABLE_KEYS)}",
            )
    return table


def _sources(
    flags: Mapping[str, str | Sequence[str] | None] | None, environ: Mapping[str, str] | None, directory: Path | None
) -> _Sources:
    return _Sources(flags or {}, os.environ if environ is None else environ, _table(directory))


@dataclass(frozen=True, slots=True)
class _Sources:
    flags: Mapping[str, str | Sequence[str] | None]
    environ: Mapping[str, str]
    table: _Table

    def text(self, setting: str, default: str) -> Value[str]:
        flag = self.flags.get(setting)
        if isinstance(flag, str):
            return Value(flag, f"--{setting}")
        variable = ENVIRONMENT.get(setting, "")
        if self.environ.get(variable):
            return Value(self.environ[variable], variable)
        if setting in self.table.values:
            return Value(self._table_text(setting), self.table.origin)
        return Value(default, DEFAULT_ORIGIN)

    def names(self, setting: str) -> Value[tuple[str, ...]]:
        flag = self.flags.get(setting)
        if flag:
            return Value(_split([flag] if isinstance(flag, str) else flag), f"--{setting}")
        variable = ENVIRONMENT[setting]
        if self.environ.get(variable):
            return Value(_split([self.environ[variable]]), variable)
        listed = self.table.values.get(setting)
        if listed is None:
            return Value((), DEFAULT_ORIGIN)
        names = [listed] if isinstance(listed, str) else listed
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidSetting(setting, "must be a text or a list of texts", origin=self.table.origin)
        return Value(_split(names), self.table.origin)

    def _table_text(self, setting: str) -> str:
        """Return a text of the file; a folder in it is meant from where the file is."""
        text = self.table.values[setting]
        if not isinstance(text, str):
            raise InvalidSetting(setting, "must be a text", origin=self.table.origin)
        folder = self.table.file.parent if self.table.file else Path()
        if setting == "app-dir":
            return str(folder / text)
        if setting == "uri" and text.startswith(EMBEDDED) and text != EMBEDDED:
            return EMBEDDED + str(folder / text.removeprefix(EMBEDDED))
        return text


def _split(texts: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))
