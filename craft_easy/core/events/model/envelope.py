"""The fields of an event in its record, whatever program wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

ENVELOPE: Final = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload")
"""The fields of every event, in the order in which they are shown; all others are the subclass's own."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(microsecond=999_000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of an event as its record has them, each of its right type."""

    event_id: str
    event_type: str
    timestamp: datetime
    tenant_id: str | None
    actor_id: str | None
    payload: dict[str, Any]
    causation_id: str | None
    correlation_id: str | None


def is_malformed(record: Mapping[str, Any]) -> bool:
    """Return whether a record is no event: its id, its type or its time is missing or of another type.

    A time outside of Python's years, 1 to 9999, is of another type: the driver gives it as a number.
    """
    event_id, event_type = record.get("event_id"), record.get("event_type")
    is_named = type(event_id) is str and type(event_type) is str  # BSON code is a kind of str
    return not (is_named and isinstance(record.get("timestamp"), datetime))


def is_redacted(record: Mapping[str, Any]) -> bool:
    """Tell whether the payload of a record was removed on request (`craft-events prune redact`)."""
    trace = record.get("redacted")
    return isinstance(trace, Mapping) and isinstance(trace.get("at"), datetime)


def read_envelope(record: Mapping[str, Any]) -> Envelope:
    """Return the fields of the event in a decoded record; raises nothing.

    In a malformed record an id or a type is its text, empty where it is missing, a time that is not a datetime is the
    epoch, and a payload that is not an object is `{"value": …}`.
    """
    get = record.get
    return Envelope(
        _text(get("event_id")) or "",
        _text(get("event_type")) or "",
        _moment(get("timestamp")),
        _text(get("tenant_id")),
        _text(get("actor_id")),
        _object(get("payload")),
        _text(get("causation_id")),
        _text(get("correlation_id")),
    )


def cut_to_milliseconds(moment: datetime) -> datetime:
    """Return an aware time in UTC and in whole milliseconds, which is what BSON keeps.

    Raises OverflowError where UTC has no such date, as in the first hours of year 1 east of Greenwich.
    """
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if utc.microsecond % 1000 == 0:
        return utc
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _text(value: object) -> str | None:
    return value if value is None or type(value) is str else str(value)


def _object(value: object) -> dict[str, Any]:
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value is None else {"value": value}


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        return EPOCH
    try:
        return cut_to_milliseconds(value if value.tzinfo else value.replace(tzinfo=UTC))
    except OverflowError:  # UTC has no such time
        return EPOCH
