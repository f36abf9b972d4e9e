"""Checks of an address, a database name and a collection name, before any driver sees them."""

from __future__ import annotations

import re
from typing import Final

from craft_easy.core.events.clock import time_zone
from craft_easy.core.events.settings.values import DEFAULT_ORIGIN, Value, invalid, quoted

DEFAULT_URI: Final = "mongodb://localhost:27017"
DEFAULT_DATABASE: Final = "craft_easy"
EMBEDDED: Final = "embedded:"
SCHEMES: Final = ("mongodb://", "mongodb+srv://")
SYSTEM_DATABASES: Final = ("admin", "config", "local")
MAX_URI: Final = 16_384
MAX_DATABASE_BYTES: Final = 63
MAX_NAMESPACE_BYTES: Final = 255
WORKERS_SUFFIX: Final = "_workers"
HANDLERS_SUFFIX: Final = "_handlers"

_HOST: Final = r"(\[[^\]]*\]|[^:]*)(:[0-9]{1,5})?"
_ESCAPES: Final = "write / as %2F, : as %3A, ? as %3F, # as %23, @ as %40 and % as %25"
_BARE_PERCENT: Final = r"%(?![0-9A-Fa-f]{2})"


def check_uri(uri: Value[str]) -> None:
    """Refuse an invalid address, before the error of a driver could quote a password in it.

    Raises:
        InvalidSetting: the address is not valid.
    """
    text = uri.value
    _check_text("uri", uri)
    if len(text) > MAX_URI:
        raise invalid("uri", uri, f"is {len(text):,} characters long, {MAX_URI:,} are allowed")
    if text.startswith(EMBEDDED):
        if not text.removeprefix(EMBEDDED) or "\0" in text:
            raise invalid("uri", uri, "names no directory", hint="embedded:DIR, as in embedded:./events")
        return
    scheme = next((scheme for scheme in SCHEMES if text.lower().startswith(scheme)), None)
    if scheme is None:
        shown = text if "://" in text else f"***@{text.rpartition('@')[2]}" if "@" in text else text
        raise invalid(
            "uri", uri, f"{quoted(shown)} is not a MongoDB address", hint=f"try {DEFAULT_URI} or embedded:DIR"
        )
    _check_authority(uri, text[len(scheme) :])


def _check_authority(uri: Value[str], rest: str) -> None:
    """Refuse user, password and hosts with a character that must be escaped."""
    authority, path = _split_address(rest)
    user_info, at, hosts = authority.rpartition("@")
    if "@" in path or "@" in user_info or user_info.count(":") > 1 or (at and re.search(_BARE_PERCENT, user_info)):
        raise invalid("uri", uri, "its user name or password holds a character that must be escaped", hint=_ESCAPES)
    if any(not re.fullmatch(_HOST, host) for host in hosts.split(",")) and hosts:
        raise invalid(
            "uri",
            uri,
            "its port is not a number, or its password holds a character that must be escaped",
            hint=_ESCAPES,
        )
    if not hosts:
        raise invalid("uri", uri, f"{quoted(uri.value)} names no host")
    if re.search(r"\s", uri.value):
        raise invalid("uri", uri, "holds white space")
    if not uri.value.isprintable():
        raise invalid("uri", uri, "holds a control character")


def check_database(name: Value[str]) -> None:
    """Refuse a database name that MongoDB forbids or keeps for itself.

    https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions

    Raises:
        InvalidSetting: the name is forbidden or reserved.
    """
    text = name.value
    _check_text("database", name)
    forbidden = next((character for character in text if character in '/\\. "$*<>:|?\0'), None)
    if forbidden is not None:
        raise invalid("database", name, f"{quoted(text)} holds {quoted(forbidden)}, which MongoDB forbids")
    if text.lower() in SYSTEM_DATABASES:
        where = " (a URI's path names the database; to log in there add ?authSource=admin)" if text == "admin" else ""
        raise invalid(
            "database",
            name,
            f"{quoted(text)} is a database of MongoDB itself",
            hint=f"choose another, --database{where}",
        )
    if len(text.encode()) > MAX_DATABASE_BYTES:
        raise invalid("database", name, f"{len(text.encode())} bytes are too long, {MAX_DATABASE_BYTES} are allowed")


def check_collection(name: Value[str], database: str) -> None:
    """Refuse a collection name that MongoDB forbids or reserves, or that is too long for the names derived from it.

    Raises:
        InvalidSetting: the name is forbidden or reserved.
    """
    text = name.value
    _check_text("collection", name)
    if "$" in text or "\0" in text:
        character = "$" if "$" in text else "\0"
        raise invalid("collection", name, f"{quoted(text)} holds {quoted(character)}, which MongoDB forbids")
    if text.startswith("system.") or ".system." in text:
        raise invalid("collection", name, f"{quoted(text)} is reserved, as every system.* is")
    if text.startswith(".") or text.endswith(".") or ".." in text:
        raise invalid("collection", name, f"{quoted(text)} has an empty part between its dots")
    longest = max(WORKERS_SUFFIX, HANDLERS_SUFFIX, key=len)
    size = len(f"{database}.{text}{longest}".encode())
    if size > MAX_NAMESPACE_BYTES:
        raise invalid("collection", name, f"is {size - MAX_NAMESPACE_BYTES} bytes too long")


def check_time_zone(name: Value[str]) -> None:
    """Refuse a time zone that is not known.

    Raises:
        InvalidSetting: it is not known; the message names a similar one.
    """
    _check_text("time-zone", name)
    try:
        time_zone(name.value)
    except ValueError as error:
        raise invalid("time-zone", name, str(error)) from None


def database_of(uri: Value[str]) -> Value[str]:
    """Return the database that the address names, or the default."""
    if not uri.value.startswith(EMBEDDED):
        path = _split_address(uri.value.partition("://")[2])[1]
        if path:
            from urllib.parse import unquote_plus

            return Value(unquote_plus(path), uri.origin)
    return Value(DEFAULT_DATABASE, DEFAULT_ORIGIN)


def _check_text(setting: str, value: Value[str]) -> None:
    if not value.value:
        raise invalid(setting, value, "is empty")
    try:
        value.value.encode()
    except UnicodeEncodeError:
        raise invalid(setting, value, f"{quoted(value.value)} is not UTF-8") from None


def _split_address(rest: str) -> tuple[str, str]:
    """Split what follows the scheme into authority and path, the query left out."""
    address = rest.partition("?")[0]
    authority, _, path = address.partition("/")
    return authority, path
