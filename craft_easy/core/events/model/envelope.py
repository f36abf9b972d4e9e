"""The fields of an event in its record, also in records of other programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

ENVELOPE: Final = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload")
"""The fields of every event, in the order of display; a subclass adds its own."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(microsecond=999_000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of an event in its record, each of the right type."""

    event_id: str
    event_type: str
    timestamp: datetime
    tenant_id: str | None
    actor_id: str | None
    payload: dict[str, Any]
    causation_id: str | None
    correlation_id: str | None
    trace_context: dict[str, str] | None = None


def is_malformed(record: Mapping[str, Any]) -> bool:
    """Return whether a record is not an event: its id, type or time is missing or of another type.

    A time outside the years 1 to 9999 is of another type, because the driver returns it as a number.
    """
    event_id, event_type = record.get("event_id"), record.get("event_type")
    is_named = type(event_id) is str and type(event_type) is str  # BSON code is a kind of str
    return not (is_named and isinstance(record.get("timestamp"), datetime))


def is_redacted(record: Mapping[str, Any]) -> bool:
    """Return whether the payload of a record was removed on request (`craft-events redact`)."""
    mark = record.get("redacted")
    return isinstance(mark, Mapping) and isinstance(mark.get("at"), datetime)


def read_envelope(record: Mapping[str, Any]) -> Envelope:
    """Return the fields of the event in a decoded record; never raises.

    In a malformed record an id or type of another type becomes text, a missing one is empty, a time that is not a
    datetime becomes the epoch, and a payload that is not an object becomes `{"value": …}`.
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
        read_trace_context(get("trace_context")),
    )


def read_trace_context(value: object) -> dict[str, str] | None:
    """Return the trace context of a record, `{traceparent, tracestate}`; None if it is not an object of texts.

    The values are those of the headers of W3C Trace Context (https://www.w3.org/TR/trace-context/).
    """
    if not isinstance(value, Mapping) or not value:
        return None
    is_text = all(type(name) is str and type(text) is str for name, text in value.items())
    return dict(value) if is_text else None


def cut_to_milliseconds(moment: datetime) -> datetime:
    """Return an aware time in UTC, cut to the whole milliseconds that BSON keeps.

    Raises:
        OverflowError: UTC has no such date, as in the first hours of year 1 east of Greenwich.
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
