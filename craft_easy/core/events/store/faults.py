"""The one place where an error of the driver becomes one of ours.

Each class of `pymongo.errors` and `bson.errors` is listed; a test fails when the driver grows another. Messages name
host and port and say what the driver said, in one line, and never hold a credential.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import bson.errors
from pymongo import errors

from craft_easy.core.events.errors import (
    EventsError,
    InvalidSetting,
    RecordRefused,
    StoreError,
    StoreLoginRefused,
    StoreUnavailable,
)
from craft_easy.core.events.settings import redact

KINDS: Final[Mapping[type[Exception], type[StoreError]]] = {
    errors.PyMongoError: StoreError,
    errors.ProtocolError: StoreUnavailable,
    errors.ConnectionFailure: StoreUnavailable,
    errors.WaitQueueTimeoutError: StoreUnavailable,
    errors.AutoReconnect: StoreUnavailable,
    errors.NetworkTimeout: StoreUnavailable,
    errors.NotPrimaryError: StoreUnavailable,
    errors.ServerSelectionTimeoutError: StoreUnavailable,
    errors._OperationCancelled: StoreUnavailable,  # noqa: SLF001 - the test asks for every class
    errors.ConfigurationError: StoreUnavailable,  # at a call it is the server that does not fit: a name, a version
    errors.InvalidURI: StoreUnavailable,
    errors.OperationFailure: StoreError,
    errors.CursorNotFound: StoreUnavailable,
    errors.ExecutionTimeout: StoreUnavailable,
    errors.WriteConcernError: StoreUnavailable,
    errors.WTimeoutError: StoreUnavailable,
    errors.WriteError: RecordRefused,
    errors.DuplicateKeyError: RecordRefused,
    errors.BulkWriteError: RecordRefused,
    errors.ClientBulkWriteException: RecordRefused,
    errors.InvalidOperation: StoreError,
    errors.InvalidName: StoreError,
    errors.CollectionInvalid: StoreError,
    errors.DocumentTooLarge: RecordRefused,
    errors.EncryptionError: StoreError,
    errors.EncryptedCollectionError: StoreError,
    bson.errors.BSONError: RecordRefused,
    bson.errors.InvalidBSON: StoreError,
    bson.errors.InvalidDocument: RecordRefused,
    bson.errors.InvalidId: RecordRefused,
    bson.errors.InvalidStringData: RecordRefused,
    TimeoutError: StoreUnavailable,
}

_LOGIN_CODES: Final = frozenset({11, 13, 18, 31, 33, 8000})
"""UserNotFound, Unauthorized, AuthenticationFailed, RoleNotFound, AuthMechanismUnavailable, Atlas's own.

https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
"""
_PASSING_CODES: Final = frozenset(
    {6, 7, 43, 50, 64, 79, 89, 91, 133, 134, 189, 262, 384, 9001, 10107, 11600, 11601, 11602, 13435, 13436}
)
"""Not reachable, stepping down, shutting down, too slow, not acknowledged in time: the same call may succeed later."""
_PASSING_LABELS: Final = ("RetryableWriteError", "TransientTransactionError", "NetworkError")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\].*", re.DOTALL)
"""How the two drivers tell of a system error; each in words of its own, and again for each host."""
_MAX_TEXT: Final = 300
_HINTS: Final[Mapping[type[StoreError], str]] = {
    StoreUnavailable: "is the server running there, and is the URI (--uri, CRAFT_EVENTS_URI) right?",
    StoreLoginRefused: "check user name, password and authSource of the URI, and the rights of that user",
}


def translated(error: Exception, where: str) -> EventsError:
    """Return our error for one of the driver's.

    Args:
        error: what the driver raised, or a TimeoutError of a deadline.
        where: `host:port` of the servers.
    """
    kind = _kind_of(error)
    return kind(f"{where}: {_text_of(error, kind).removeprefix(f'{where}: ')}", hint=_HINTS.get(kind))


def _kind_of(error: Exception) -> type[StoreError]:
    if isinstance(error, errors.PyMongoError):
        code = getattr(error, "code", None)
        if code in _LOGIN_CODES and not isinstance(error, errors.WriteError):
            return StoreLoginRefused
        if code in _PASSING_CODES or any(map(error.has_error_label, _PASSING_LABELS)):
            return StoreUnavailable
        if isinstance(error, errors.BulkWriteError) and _is_unacknowledged(error.details):
            return StoreUnavailable
    return next((KINDS[base] for base in type(error).__mro__ if base in KINDS), StoreError)


def _is_unacknowledged(details: Mapping[str, Any]) -> bool:
    return bool(details.get("writeConcernErrors")) and not details.get("writeErrors")


def _text_of(error: Exception, kind: type[StoreError]) -> str:
    if isinstance(error, errors.BulkWriteError):
        return text_of_bulk(error.details)
    if isinstance(error, errors.OperationFailure):
        return one_line((error.details or {}).get("errmsg") or str(error))
    if isinstance(error, TimeoutError) or (isinstance(error, errors.PyMongoError) and error.timeout and not str(error)):
        return "no answer before the deadline"
    text = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
    if kind is StoreUnavailable and text.startswith(("No servers found yet", "No servers match")):
        return "no server answered before the deadline"
    return one_line(_ERRNO.sub(lambda found: os.strerror(int(found[1])).lower(), text)) or type(error).__name__


def text_of_bulk(details: Mapping[str, Any]) -> str:
    """Return what the server said of the first write that it refused, or could not have acknowledged."""
    refused = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return one_line(str(refused[0].get("errmsg", ""))) if refused else "a write was refused"


def one_line(text: str) -> str:
    """Return a driver's text as one short line without a password."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def invalid_uri(error: Exception, uri: str, origin: str | None = None) -> InvalidSetting:
    """Return our error for an address that the driver refuses; what it said is kept where it cannot hold a password."""
    detail = "" if "@" in uri else f": {one_line(str(error))}"
    return InvalidSetting("uri", f"the driver cannot use it{detail}", origin=origin)


class Translation:
    """A context manager that raises our errors in place of the driver's, with the driver's as their cause."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (errors.PyMongoError, bson.errors.BSONError, TimeoutError)):
            raise translated(error, self._where) from error
