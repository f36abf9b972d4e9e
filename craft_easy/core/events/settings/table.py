"""`[tool.craft-events]` of the nearest `pyproject.toml` that has this table, and the environments in it.

Every key is checked when the file is read, also those of environments that are not chosen: `protcted = true` must not
go unnoticed until production.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.settings.checks import EMBEDDED
from craft_easy.core.events.settings.values import Value, closest, quoted

NAME: Final = "[tool.craft-events]"
URI_KEYS: Final = ("uri", "uri-env")
TABLE_KEYS: Final = (*URI_KEYS, "database", "collection", "handlers", "app-dir", "time-zone", "env")
ENVIRONMENT_KEYS: Final = (*TABLE_KEYS[:-1], "protected")
MAX_FILE_BYTES: Final = 1 << 20

_ENVIRONMENT_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@dataclass(frozen=True, slots=True)
class SettingsTable:
    """One table of settings: the base one, or an environment's."""

    values: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    environment: str | None = None

    @property
    def origin(self) -> str:
        """The file, and the environment in it."""
        return str(self.file) if self.environment is None else f"{self.file} [env.{self.environment}]"

    @property
    def folder(self) -> Path:
        """The folder that its relative paths start from."""
        return self.file.parent if self.file else Path()

    @property
    def is_protected(self) -> bool:
        """Return whether a command that changes something asks for the environment's name."""
        return bool(self.values.get("protected"))

    def uri(self, environ: Mapping[str, str]) -> Value[str] | None:
        """Return the address of the log: from the table, or from the variable that the table names.

        Raises:
            InvalidSetting: the variable is not set.
        """
        if "uri-env" in self.values:
            name = self.text("uri-env")
            if not environ.get(name):
                raise InvalidSetting("uri-env", f"the variable {quoted(name)} is not set", origin=self.origin)
            return Value(environ[name], f"{name}, by uri-env of {self.origin}")
        if "uri" not in self.values:
            return None
        text = self.text("uri")
        if text.startswith(EMBEDDED) and text != EMBEDDED:  # relative to the file
            text = EMBEDDED + str(self.folder / text.removeprefix(EMBEDDED))
        return Value(text, self.origin)

    def text(self, setting: str) -> str:
        """Return a text.

        Raises:
            InvalidSetting: it is not a text.
        """
        text = self.values[setting]
        if not isinstance(text, str):
            raise InvalidSetting(setting, "must be a text", origin=self.origin)
        return text

    def texts(self, setting: str) -> list[str]:
        """Return a list of texts; a single one stands for itself.

        Raises:
            InvalidSetting: it is neither.
        """
        listed = self.values[setting]
        texts = [listed] if isinstance(listed, str) else listed
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidSetting(setting, "must be a text or a list of texts", origin=self.origin)
        return texts


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of the file: the base table and the environments by name."""

    base: SettingsTable = field(default_factory=SettingsTable)
    environments: Mapping[str, SettingsTable] = field(default_factory=dict)


def configuration(directory: Path | None) -> Configuration:
    """Read the nearest file, from a directory upwards; None reads no file.

    Raises:
        InvalidSetting: the file cannot be read, or has a key that is not a setting.
    """
    for folder in (directory, *directory.parents) if directory is not None else ():
        file = folder / "pyproject.toml"
        values = _values(file)
        if values is not None:
            return _checked(values, file)
    return Configuration()


def _values(file: Path) -> Any:
    """Return our table, None if the file or the table does not exist."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
    if b"craft-events" not in text.replace(b"\0", b""):  # every other byte of UTF-16 is NUL: `_parsed` refuses it
        return None
    if len(text) > MAX_FILE_BYTES:
        raise InvalidSetting("pyproject.toml", "is larger than 1 MiB and was not read", origin=str(file))
    tool = _parsed(text, file).get("tool", {})
    return tool.get("craft-events") if isinstance(tool, dict) else None


def _parsed(text: bytes, file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text.decode("utf-8-sig"))  # with the byte order mark that editors on Windows write
    except UnicodeDecodeError:
        raise InvalidSetting("pyproject.toml", "cannot be read: it is not UTF-8", origin=str(file)) from None
    except ValueError as error:
        raise InvalidSetting("pyproject.toml", f"cannot be read: {error}", origin=str(file)) from None
    except RecursionError:
        raise InvalidSetting("pyproject.toml", "cannot be read: it is nested too deeply", origin=str(file)) from None


def _checked(values: Any, file: Path) -> Configuration:
    _check_table(NAME, values, TABLE_KEYS, file)
    base = {key: value for key, value in values.items() if key != "env"}
    tables = values.get("env", {})
    if not isinstance(tables, dict):
        raise InvalidSetting(
            f"{NAME} env", "is not a table", origin=str(file), hint="write [tool.craft-events.env.prod]"
        )
    for name, table in tables.items():
        _check_environment(name, table, file)
    return Configuration(
        SettingsTable(base, file), {name: SettingsTable(table, file, name) for name, table in tables.items()}
    )


def _check_environment(name: str, table: Any, file: Path) -> None:
    if not re.fullmatch(_ENVIRONMENT_NAME, name):
        raise InvalidSetting(
            f"{NAME} env",
            f"{quoted(name)} is not a valid name",
            origin=str(file),
            hint="a name has letters, digits, . _ and -",
        )
    title = f"[tool.craft-events.env.{name}]"
    _check_table(title, table, ENVIRONMENT_KEYS, file)
    if not isinstance(table.get("protected", False), bool):
        raise InvalidSetting(f"{title} protected", "must be true or false", origin=str(file))


def _check_table(title: str, table: Any, known: tuple[str, ...], file: Path) -> None:
    if not isinstance(table, dict):
        raise InvalidSetting(title, "is not a table", origin=str(file))
    for key in table:
        if key not in known:
            raise InvalidSetting(f"{title} {_named(key)}", "is not a setting", origin=str(file), hint=_hint(key, known))
    given = [key for key in URI_KEYS if key in table]
    if len(given) > 1:
        raise InvalidSetting(title, f"has both {given[0]} and {given[1]}", origin=str(file), hint="leave one of them")


def _hint(key: str, known: tuple[str, ...]) -> str:
    if key == "protected":
        return "an environment is protected: [tool.craft-events.env.prod]"
    close = closest(key, list(known))
    return f"did you mean {close}?" if close else f"choose from {', '.join(known)}"


def _named(key: str) -> str:
    return key if len(key) <= 80 else key[:79] + "…"
