"""The address of the log from where secrets are kept: a variable, a file of its own, or a command that prints it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.settings.checks import EMBEDDED, has_password
from craft_easy.core.events.settings.table import URI_KEYS, SettingsTable
from craft_easy.core.events.settings.values import Value, quoted, redact

TIMEOUT: Final = 30.0
"""Seconds that the command may take: it may have to ask for a passphrase."""
MAX_BYTES: Final = 65_536
SUPERUSER: Final = 0


def address_in(table: SettingsTable, environ: Mapping[str, str], *, may_run: bool = True) -> Value[str] | None:
    """Return the address that a table leads to, None where it says nothing about it.

    Args:
        table: one that holds one of `uri`, `uri-env`, `uri-file` and `uri-command`, or none.
        environ: the environment.
        may_run: whether a command may be run.

    Raises:
        InvalidSetting: there is no address where the table points to.
    """
    key = next((key for key in URI_KEYS if key in table.values), None)
    if key == "uri-env":
        return _from_variable(table, environ)
    if key == "uri-file":
        return _from_file(table)
    if key == "uri-command":
        return _from_command(table, may_run=may_run)
    return None if key is None else Value(_relative(table), table.origin)


def exposed(uri: Value[str], table: SettingsTable) -> Path | None:
    """Return the file where everybody on this machine can read the password of this address."""
    if not has_password(uri.value):
        return None
    file = _file_of(table) if "uri-file" in table.values else table.file if "uri" in table.values else None
    return file if file is not None and _is_open(file, stat.S_IROTH) and _is_reached_by_others(file) else None


def _is_open(path: Path, bit: int) -> bool:
    try:
        return bool(path.stat().st_mode & bit)
    except OSError:
        return False


def _is_reached_by_others(file: Path) -> bool:
    return all(_is_open(folder, stat.S_IXOTH) for folder in file.resolve().parents)


def _relative(table: SettingsTable) -> str:
    """Return the address in the file; a folder in it is meant from where the file is."""
    text = table.text("uri")
    if text.startswith(EMBEDDED) and text != EMBEDDED:
        return EMBEDDED + str(table.folder / text.removeprefix(EMBEDDED))
    return text


def _from_variable(table: SettingsTable, environ: Mapping[str, str]) -> Value[str]:
    name = table.text("uri-env")
    if not environ.get(name):
        raise InvalidSetting("uri-env", f"the variable {quoted(name)} is not set", origin=table.origin)
    return Value(environ[name], f"{name}, by uri-env of {table.origin}")


def _file_of(table: SettingsTable) -> Path:
    return table.folder / Path(table.text("uri-file")).expanduser()


def _from_file(table: SettingsTable) -> Value[str]:
    name = table.text("uri-file")
    try:
        file = _file_of(table)
        if not file.is_file():
            raise InvalidSetting("uri-file", f"there is no file {quoted(str(file))}", origin=table.origin)
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES)
    except OSError as error:
        reason = f"{quoted(name)} cannot be read: {error.strerror}"
        raise InvalidSetting("uri-file", reason, origin=table.origin) from None
    except RuntimeError:
        raise InvalidSetting("uri-file", f"{quoted(name)}: there is no home directory", origin=table.origin) from None
    return Value(_first_line(text, "uri-file", quoted(str(file)), table), f"{file}, by uri-file of {table.origin}")


def _from_command(table: SettingsTable, *, may_run: bool) -> Value[str]:
    words = table.texts("uri-command")
    if isinstance(table.values["uri-command"], str) or not words or not all(words) or any("\0" in one for one in words):
        raise InvalidSetting(
            "uri-command", "must be a list of words", origin=table.origin, hint='as in ["pass", "show", "mongo/prod"]'
        )
    _check_trusted(table)
    if not may_run:
        raise InvalidSetting("uri-command", "is not run here", origin=table.origin)
    out = _said_by(words, table)
    return Value(_first_line(out, "uri-command", words[0], table), f"{words[0]}, by uri-command of {table.origin}")


def _check_trusted(table: SettingsTable) -> None:
    """Run nothing that somebody else wrote: a `pyproject.toml` may lie in any directory above this one."""
    assert table.file is not None
    try:
        found = table.file.stat()
    except OSError as error:
        reason = f"is not run, since its file cannot be looked at: {error.strerror}"
        raise InvalidSetting("uri-command", reason, origin=table.origin) from None
    if found.st_uid not in (os.geteuid(), SUPERUSER) or found.st_mode & stat.S_IWOTH:
        whose = "can be written by others" if found.st_mode & stat.S_IWOTH else "belongs to another user"
        raise InvalidSetting(
            "uri-command", f"is not run, since its file {whose}", origin=table.origin, hint="is that file yours?"
        )


def _said_by(words: list[str], table: SettingsTable) -> bytes:
    """Run a command without a shell and return what it printed."""
    from subprocess import DEVNULL, PIPE, Popen

    try:
        with Popen(words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=table.folder) as process:
            try:
                out, complaint = _heard(process.stdout, process.stderr)
            except BaseException:
                process.kill()
                raise
    except TimeoutError:
        reason = f"{words[0]} took longer than {TIMEOUT:g} s"
        raise InvalidSetting("uri-command", reason, origin=table.origin) from None
    except (OSError, ValueError) as error:
        reason = f"{quoted(words[0])} cannot be run: {getattr(error, 'strerror', None) or error}"
        raise InvalidSetting("uri-command", reason, origin=table.origin) from None
    if process.returncode:
        lines = redact(complaint.decode(errors="replace")).strip().splitlines()
        reason = f"{words[0]} ended with {process.returncode}" + (f": {lines[0][:300]}" if lines else "")
        raise InvalidSetting("uri-command", reason, origin=table.origin)
    return out


def _heard(*streams: object) -> list[bytes]:
    """Read all streams to their ends and keep what each said first.

    Raises:
        TimeoutError: they did not end in time.
    """
    from selectors import EVENT_READ, DefaultSelector

    from craft_easy.core.events.clock import steady

    on_heartbeat = dict.fromkeys(streams, b"")
    until = steady() + TIMEOUT
    with DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, EVENT_READ)  # type: ignore[arg-type]  # pipes
        while selector.get_map():
            ready = selector.select(max(0.0, until - steady()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                chunk = os.read(key.fd, MAX_BYTES)
                on_heartbeat[key.fileobj] += chunk[: MAX_BYTES - len(on_heartbeat[key.fileobj])]
                if not chunk:
                    selector.unregister(key.fileobj)
    return list(on_heartbeat.values())


def _first_line(text: bytes, setting: str, source: str, table: SettingsTable) -> str:
    try:
        lines = text.decode().strip().splitlines()
    except UnicodeDecodeError:
        raise InvalidSetting(setting, f"what {source} says is not UTF-8", origin=table.origin) from None
    if not lines:
        raise InvalidSetting(setting, f"{source} says nothing", origin=table.origin)
    return lines[0].strip()
