"""The one place where an error of the driver becomes one of ours.

Each class of `pymongo.errors` and `bson.errors` is listed; a test fails when the driver adds one. A message is one line
with host and port and the driver's reason, and never contains a credential.
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
    errors._OperationCancelled: StoreUnavailable,  # noqa: SLF001 - the test asks for every class
    errors.ConfigurationError: StoreUnavailable,  # during a call: the set has another name, or the server is too old
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
"""The server's reason where an index was dropped after it was listed: the query is made again without it."""
DRIVER_ERRORS: Final = (errors.PyMongoError, bson.errors.BSONError, TimeoutError)
"""The errors that a call of the driver raises, or its deadline."""
_LOGIN_CODES: Final = frozenset({11, 13, 18, 31, 33, 8000})
"""UserNotFound, Unauthorized, AuthenticationFailed, RoleNotFound, AuthMechanismUnavailable, Atlas's own.

https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
"""
_UNREACHABLE_CODES: Final = frozenset({6, 7, 89, 91, 133, 189, 202, 279, 317, 384, 9001, 10107, 13435, 13436})
"""No such host, no route, network timeouts, shutting down, stepped down, no member of a shard to read or write."""
_INTERRUPTED_CODES: Final = frozenset({43, 50, 79, 134, 175, 237, 262, 290, 365, 462, 11600, 11601, 11602})
"""A cursor or query was lost or killed, a time limit was exceeded, the server was too busy."""
_CONTENDED_CODES: Final = frozenset({24, 46, 112, 117, 150, 239, 246, 249, 251, 13388})
"""A lock, a write conflict, another operation, a chunk or a snapshot that moved on meanwhile."""
_UNACKNOWLEDGED_CODES: Final = frozenset({64, 100})
PASSING_CODES: Final = _UNREACHABLE_CODES | _INTERRUPTED_CODES | _CONTENDED_CODES | _UNACKNOWLEDGED_CODES
"""The same call may succeed later."""
PERMANENT_CODES: Final = frozenset(
    {2, 9, 14, 15, 16, 22, 28, 40, 52, 54, 55, 56, 57, 66, 121, 171, 10003, 10334, 11000, 16755, 17280, 17419, 17420}
)
"""This record is refused, however often it is sent: its values, field names, size, id, validation or index keys."""
_PASSING_LABELS: Final = ("RetryableWriteError", "TransientTransactionError", "NetworkError")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\].*", re.DOTALL)
"""How both drivers report a system error, with words of their own for each host."""
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
    """Return the error for one write that the server did not do, by the code in its reply.

    `RecordRefused` only for codes that are known to be permanent, so that nothing is dropped for a fault that may pass.
    """
    if code in PASSING_CODES:
        return StoreUnavailable
    if code in _LOGIN_CODES:
        return StoreLoginRefused
    return RecordRefused if code in PERMANENT_CODES else StoreError


def kind_of_bulk(details: Mapping[str, Any]) -> type[StoreError]:
    """Return the error for several writes together, by the details of a `BulkWriteError`.

    `StoreUnavailable` where the majority did not acknowledge one, or one may succeed later: all can be sent again.
    """
    kinds = {kind_of_refusal(each.get("code")) for each in details.get("writeErrors", ())}
    if details.get("writeConcernErrors") or not kinds:
        return StoreUnavailable
    return next(kind for kind in (StoreUnavailable, StoreLoginRefused, StoreError, RecordRefused) if kind in kinds)


def refusal_of_each(details: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the server's reply for each write that it did not do, by the index of the write."""
    return {each["index"]: each for each in details.get("writeErrors", ())}


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


def _text_of(error: Exception, kind: type[StoreError]) -> str:
    if isinstance(error, errors.BulkWriteError):
        return _text_of_bulk(error.details)
    if isinstance(error, errors.OperationFailure):
        return one_line((error.details or {}).get("errmsg") or str(error))
    if isinstance(error, TimeoutError) or (isinstance(error, errors.PyMongoError) and error.timeout and not str(error)):
        return "no answer before the deadline"
    text = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
    if kind is StoreUnavailable and text.startswith(("No servers found yet", "No servers match")):
        return "no server answered before the deadline"
    return one_line(_ERRNO.sub(lambda found: os.strerror(int(found[1])).lower(), text)) or type(error).__name__


def _text_of_bulk(details: Mapping[str, Any]) -> str:
    """Return the server's reason for the first write that it refused, or that the majority did not acknowledge."""
    refused = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return reason_of(refused[0]) if refused else "a write was refused"


def reason_of(refusal: Mapping[str, Any]) -> str:
    """Return the server's reason in its reply for one write."""
    return one_line(str(refusal.get("errmsg", "")))


def one_line(text: str) -> str:
    """Return a driver's text as one line of at most 300 characters without a password."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def invalid_uri(error: Exception, uri: str, origin: str | None = None) -> InvalidSetting:
    """Return our error for an address that the driver refuses, with its reason unless that may contain a password."""
    detail = "" if "@" in uri else f": {one_line(str(error))}"
    return InvalidSetting("uri", f"the driver cannot use it{detail}", origin=origin)
