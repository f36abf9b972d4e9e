"""The errors of the library, as one tree.

    EventsError
    ├── InvalidEvent            (ValueError)  the log could not keep an event exactly
    ├── EventConflict                         the id is stored with other content
    ├── AmbiguousEventId                      several ids begin with what was given
    ├── InvalidSetting          (ValueError)  a setting's value cannot be used
    ├── StoreError                            an operation on the event log failed
    │   ├── StoreUnavailable                  not reached, or not in time
    │   │   └── CommitUnknown                 the reply to a commit was lost
    │   ├── StoreLoginRefused                 reached, and refused the login or the right
    │   ├── RecordRefused                     reached, and refused this one record
    │   ├── LogNotFound                       the log does not exist, or not under this name
    │   ├── TransactionsMissing               the server has no transactions
    │   └── WrongDeployment                   the client belongs to another deployment than the log
    ├── DeliveryOver                          another worker has finished this delivery
    ├── NoDelivery              (LookupError) asked for the current delivery outside of any
    ├── HandlerModuleError                    a handler module could not be loaded
    ├── HandlerNotFound                       no loaded handler has this id
    ├── HandlerNotInLog                       no record names this handler
    ├── EmbeddedLogError                      the embedded event log cannot be used
    ├── ArchiveError                          an archive cannot be used, or does not return its records
    └── CheckpointError                       a checkpoint cannot be used

`Retry` and `Discard` are signals of a handler, not errors: they live in `model.retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class EventsError(Exception):
    """Something in the event system failed; every error of this package derives from it."""

    hint: str | None = None
    """A next step to try, in one line, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        """Pickle the text and the attributes: `__init__` takes other arguments than the text."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(error_class: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = error_class.__new__(error_class, *args)
    error.__dict__.update(attributes)
    return error


class InvalidEvent(EventsError, ValueError):
    """The log could not keep this event exactly, so nothing of it was written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class EventConflict(EventsError):
    """An event with this id is stored already, with another type, tenant, actor or payload."""

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event {event_id!r} is stored already with other content",
            hint="an event is immutable: publish what changed as a new event with an id of its own",
        )
        self.event_id = event_id


class AmbiguousEventId(EventsError):
    """Several event ids begin with what was given; `candidates` are the first of them."""

    def __init__(self, prefix: str, candidates: Sequence[str], *, has_more: bool) -> None:
        listed = [*candidates, "and more"] if has_more else candidates
        super().__init__(
            f"{prefix} begins the ids of several events; more characters choose one of them", hint="\n".join(listed)
        )
        self.prefix = prefix
        self.candidates = tuple(candidates)


class InvalidSetting(EventsError, ValueError):
    """The value of a setting cannot be used; `origin` is the place that it came from."""

    def __init__(self, name: str, reason: str, *, origin: str | None = None, hint: str | None = None) -> None:
        where = f" (from {origin})" if origin else ""
        super().__init__(f"{name}: {reason}{where}", hint=hint)
        self.name = name
        self.reason = reason
        self.origin = origin


class StoreError(EventsError):
    """An operation on the event log failed."""


class StoreUnavailable(StoreError):
    """The event log was not reached, or did not answer before the deadline: nothing is known to be stored."""


class CommitUnknown(StoreUnavailable):
    """The reply to a commit was lost: if the transaction was committed, a redispatch delivers its events."""


class StoreLoginRefused(StoreError):
    """The server was reached and refused the login, or the right to do this."""


class RecordRefused(StoreError):
    """The server was reached and refused this one record; it is not stored."""


class LogNotFound(StoreError):
    """The log does not exist; `similar` are the names of logs that do, most similar first."""

    def __init__(self, what: str, similar: Sequence[str] = (), *, hint: str | None = None) -> None:
        there_is = f" (there is {', '.join(similar)})" if similar else ""
        super().__init__(f"there is no {what}{there_is}", hint=hint)
        self.similar = tuple(similar)


class TransactionsMissing(StoreError):
    """The server has no transactions: it is neither a member of a replica set nor the router of a sharded cluster."""


class WrongDeployment(StoreError):
    """The client belongs to another deployment, or the database is another one, than the event log's."""


class DeliveryOver(EventsError):
    """Another worker has finished this delivery in the meantime: nothing of the transaction is kept."""

    def __init__(self, key: str) -> None:
        super().__init__(f"delivery {key} is not pending any more: another worker finished it, and nothing was written")
        self.key = key


class NoDelivery(EventsError, LookupError):
    """The current delivery was requested outside of any: no handler runs here, or it has ended."""

    def __init__(self, message: str = "no handler runs here, so no delivery is current") -> None:
        super().__init__(message)


class HandlerModuleError(EventsError):
    """A handler module could not be loaded; `__cause__` is what it raised."""

    def __init__(self, module: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the handler module {module} {reason}", hint=hint)
        self.module = module
        self.reason = reason


class HandlerNotFound(EventsError):
    """No loaded handler has this id."""

    def __init__(self, handler_id: str, loaded: Sequence[str] = ()) -> None:
        super().__init__(f"no handler {handler_id!r} is loaded")
        self.handler_id = handler_id
        self.loaded = tuple(loaded)


class HandlerNotInLog(EventsError):
    """No open, dead or recent record names this handler; `similar` are those that do, most similar first."""

    def __init__(self, handler_id: str, similar: Sequence[str] = ()) -> None:
        meant = f"; did you mean {similar[0]}?" if similar else ""
        super().__init__(
            f"no handler {handler_id} in this log{meant}",
            hint="no open, dead or recent event names it; craft-events stats lists the handlers of this log",
        )
        self.handler_id = handler_id
        self.similar = tuple(similar)


class EmbeddedLogError(EventsError):
    """The embedded event log cannot be started or joined."""


class ArchiveError(EventsError):
    """An archive cannot be used, or does not return the records that were put into it: none of them left the log."""


class CheckpointError(EventsError):
    """A checkpoint cannot be used: unreadable, of other filters, or its resume point is lost."""
