"""What a record says about its event, whoever wrote it.

Other writers leave fields out, add some, and store ids that are no strings or dates that Python has no room for. Each
of them can be read: what does not fit is replaced as told here, and the envelope says that it is `is_foreign`.

    event_id                missing or no text: the `_id`, else the value, as text
    event_type              missing: empty; no text: the value as text
    timestamp               no date: the time inside an ObjectId `_id`, else the epoch; out of range: the nearest date
    tenant_id, actor_id     no text: the value as text
    payload                 missing: empty; no object: {"value": …}

A record whose payload was removed on request says so under `redacted`; that makes it nobody else's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, Final

ENVELOPE: Final = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload")
"""The fields of every event, in the order in which they are shown; all others are the subclass's own."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(microsecond=999_000, tzinfo=UTC)

_EXPECTED: Final = frozenset(ENVELOPE)
_KNOWN: Final = _EXPECTED | {"_id", "causation_id", "correlation_id", "delivery"}
_TEXT: Final = (str, NoneType)


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
    is_foreign: bool


def is_malformed(record: Mapping[str, Any]) -> bool:
    """Return whether a record is no event: its id, its type or its time is missing or of another type.

    A time outside of Python's years, 1 to 9999, is of another type: the driver gives it as a number.
    """
    event_id, event_type = record.get("event_id"), record.get("event_type")
    is_named = isinstance(event_id, str) and isinstance(event_type, str)
    return not (is_named and isinstance(record.get("timestamp"), datetime))


def is_redacted(record: Mapping[str, Any]) -> bool:
    """Tell whether the payload of a record was removed on request (`craft-events prune redact`)."""
    trace = record.get("redacted")
    return isinstance(trace, Mapping) and isinstance(trace.get("at"), datetime)


def read_envelope(record: Mapping[str, Any]) -> Envelope:
    """Return what a decoded record says about its event; raises nothing, whatever the record holds."""
    if not _is_ours(record):
        return _mended(record)
    get = record.get
    return Envelope(
        record["event_id"],
        record["event_type"],
        _nearest(record["timestamp"]),
        record["tenant_id"],
        record["actor_id"],
        record["payload"],
        get("causation_id"),
        get("correlation_id"),
        is_foreign=False,
    )


def _is_ours(record: Mapping[str, Any]) -> bool:
    keys, get = record.keys(), record.get
    return (
        keys >= _EXPECTED
        and keys <= _KNOWN
        and isinstance(record["event_id"], str)
        and isinstance(record["event_type"], str)
        and isinstance(record["timestamp"], datetime)
        and isinstance(record["payload"], dict)
        and isinstance(record["tenant_id"], _TEXT)
        and isinstance(record["actor_id"], _TEXT)
        and isinstance(get("causation_id"), _TEXT)
        and isinstance(get("correlation_id"), _TEXT)
    )


def _mended(record: Mapping[str, Any]) -> Envelope:
    get = record.get
    event_id, timestamp = get("event_id"), _moment(get("timestamp"))
    return Envelope(
        event_id=_text(get("_id") if event_id is None else event_id) or "",
        event_type=_text(get("event_type")) or "",
        timestamp=_moment_of_id(get("_id")) if timestamp is None else timestamp,
        tenant_id=_text(get("tenant_id")),
        actor_id=_text(get("actor_id")),
        payload=_object(get("payload"), is_missing="payload" not in record),
        causation_id=_text(get("causation_id")),
        correlation_id=_text(get("correlation_id")),
        is_foreign=not (is_redacted(record) and _is_ours(_without_trace(record))),
    )


def _without_trace(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in record.items() if name != "redacted"}


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


def _object(value: object, *, is_missing: bool) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {} if is_missing else {"value": value}


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return _nearest(value)
    # BSON dates outside Python's years come as an object with both of these (bson.datetime_ms.DatetimeMS).
    if hasattr(value, "as_datetime") and hasattr(value, "__int__"):
        return _from_milliseconds(int(value))
    return None


def _moment_of_id(record_id: object) -> datetime:
    return _moment(getattr(record_id, "generation_time", None)) or EPOCH


def _from_milliseconds(value: int) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        return EARLIEST if value < 0 else LATEST


def _nearest(moment: datetime) -> datetime:
    try:
        return cut_to_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except OverflowError:
        return EARLIEST if moment.year == 1 else LATEST
