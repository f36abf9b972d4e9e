"""The one place where an error of the driver becomes one of ours.

Each class of `pymongo.errors` and `bson.errors` is listed; a test fails when the driver adds one. A message is one
line: host and port, then the driver's reason, without credentials.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    errors._OperationCancelled: StoreUnavailable,  # noqa: SLF001 - a test requires every class
    # during a call: the replica set has another name, or the server is too old
    errors.ConfigurationError: StoreUnavailable,
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

_DROPPED_INDEX: Final = "does not correspond to an existing index"
"""The server's reason where a query names an index that has been dropped; the query is sent again without the index."""
DRIVER_ERRORS: Final = (errors.PyMongoError, bson.errors.BSONError, TimeoutError)
"""The errors that a call of the driver or its deadline raises."""
_LOGIN_CODES: Final = frozenset({11, 13, 18, 31, 33, 8000})
"""UserNotFound, Unauthorized, AuthenticationFailed, RoleNotFound, AuthMechanismUnavailable, and Atlas's own 8000.

https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
"""
_UNREACHABLE_CODES: Final = frozenset({6, 7, 89, 91, 133, 189, 202, 279, 317, 384, 9001, 10107, 13435, 13436})
"""Host not found or unreachable, network timeout, shutting down, stepped down, no member of a shard available."""
_INTERRUPTED_CODES: Final = frozenset({43, 50, 79, 134, 175, 237, 262, 290, 365, 462, 11600, 11601, 11602})
"""A cursor or query was lost or killed, a time limit was exceeded, the server was too busy."""
_CONTENDED_CODES: Final = frozenset({24, 46, 112, 117, 150, 239, 246, 249, 251, 13388})
"""A lock, a write conflict, a conflicting operation, a migrated chunk or an outdated snapshot."""
_UNACKNOWLEDGED_CODES: Final = frozenset({64, 100})
PASSING_CODES: Final = _UNREACHABLE_CODES | _INTERRUPTED_CODES | _CONTENDED_CODES | _UNACKNOWLEDGED_CODES
"""Temporary errors: the same call may succeed later."""
PERMANENT_CODES: Final = frozenset(
    {2, 9, 14, 15, 16, 22, 28, 40, 52, 54, 55, 56, 57, 66, 121, 171, 10003, 10334, 11000, 16755, 17280, 17419, 17420}
)
"""Errors that a retry cannot fix: the record's values, field names, size, id, validation or index keys."""
_PASSING_LABELS: Final = ("RetryableWriteError", "TransientTransactionError", "NetworkError")
_NONE_FOUND: Final = re.compile(r"No [a-z ]+ found yet")
_NO_PRIMARY: Final = re.compile(r"No [a-z ]+ (available for writes|match selector)")
"""The driver's reason where it reached servers, and none of them takes writes: during an election."""
_ERRNO: Final = re.compile(r"\[Errno (\d+)\].*", re.DOTALL)
"""A system error as both drivers report it, followed by text that differs from host to host."""
_MAX_TEXT: Final = 300
_HINTS: Final[Mapping[type[StoreError], str]] = {
    StoreUnavailable: "is the server running there, and is the URI (--uri, CRAFT_EVENTS_URI) right?",
    StoreLoginRefused: "check user name, password and authSource of the URI, and the rights of that user",
}


def translated(error: Exception, where: str) -> EventsError:
    """Return our error for one of the driver's.

    Args:
        error: one of `DRIVER_ERRORS`.
        where: `host:port` of the servers.
    """
    kind = _kind_of(error)
    return kind(f"{where}: {_text_of(error).removeprefix(f'{where}: ')}", hint=_HINTS.get(kind))


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Raise our errors in place of the driver's, with the driver's as their cause.

    Args:
        where: `host:port` of the servers.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error, where) from error


def is_dropped_index(error: StoreError) -> bool:
    """Return whether a query failed because the index of its hint was dropped after it was listed."""
    return _DROPPED_INDEX in str(error)


def kind_of_refusal(code: int | None) -> type[StoreError]:
    """Return the error for one write that the server refused, by the code in its reply.

    `RecordRefused` is for permanent codes alone, so that no record is dropped because of a temporary error.
    """
    if code in PASSING_CODES:
        return StoreUnavailable
    if code in _LOGIN_CODES:
        return StoreLoginRefused
    return RecordRefused if code in PERMANENT_CODES else StoreError


def kind_of_bulk(details: Mapping[str, Any]) -> type[StoreError]:
    """Return the error for a bulk write, by the details of a `BulkWriteError`.

    It is `StoreUnavailable` where the majority did not acknowledge a write or a write may succeed later: the caller may
    send all of them again.
    """
    kinds = {kind_of_refusal(refusal.get("code")) for refusal in details.get("writeErrors", ())}
    if details.get("writeConcernErrors") or not kinds:
        return StoreUnavailable
    return next(kind for kind in (StoreUnavailable, StoreLoginRefused, StoreError, RecordRefused) if kind in kinds)


def refusal_of_each(details: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the server's reply for each write that it refused, by the index of the write."""
    return {refusal["index"]: refusal for refusal in details.get("writeErrors", ())}


def _kind_of(error: Exception) -> type[StoreError]:
    if isinstance(error, errors.PyMongoError) and any(map(error.has_error_label, _PASSING_LABELS)):
        return StoreUnavailable
    if isinstance(error, errors.BulkWriteError):
        return kind_of_bulk(error.details)
    if isinstance(error, errors.WriteError):
        return kind_of_refusal(error.code)
    code = getattr(error, "code", None)
    if code in _LOGIN_CODES:
        return StoreLoginRefused
    if code in PASSING_CODES or _DROPPED_INDEX in str(error):
        return StoreUnavailable
    return next((KINDS[base] for base in type(error).__mro__ if base in KINDS), StoreError)


def _text_of(error: Exception) -> str:
    if isinstance(error, errors.BulkWriteError):
        return _text_of_bulk(error.details)
    if isinstance(error, errors.OperationFailure):
        return one_line((error.details or {}).get("errmsg") or str(error))
    if isinstance(error, TimeoutError) or (isinstance(error, errors.PyMongoError) and error.timeout and not str(error)):
        return "no answer before the deadline"
    text = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
    if _NONE_FOUND.match(text):
        return "no server answered before the deadline"
    if _NO_PRIMARY.match(text):
        return "servers answer, and none of them is the primary"
    return one_line(_ERRNO.sub(lambda match: os.strerror(int(match[1])).lower(), text)) or type(error).__name__


def _text_of_bulk(details: Mapping[str, Any]) -> str:
    """Return the server's reason for the first write that it refused, or that the majority did not acknowledge."""
    refused = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return reason_of(refused[0]) if refused else "a write was refused"


def reason_of(refusal: Mapping[str, Any]) -> str:
    """Return the reason in the server's reply for one write."""
    return one_line(str(refusal.get("errmsg", "")))


def one_line(text: str) -> str:
    """Return a driver's text as one line of at most 300 characters without a password."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def invalid_uri(error: Exception, uri: str, origin: str | None = None) -> InvalidSetting:
    """Return our error for a URI that the driver refuses, with the driver's reason unless it may contain a password."""
    detail = "" if "@" in uri else f": {one_line(str(error))}"
    return InvalidSetting("uri", f"the driver cannot use it{detail}", origin=origin)
