"""Positions in the order of history: what a checkpoint keeps, and where the events with given ids stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from bson import DatetimeMS, Decimal128, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from craft_easy.core.events.model.selection import Selection, up_to_millisecond
from craft_easy.core.events.store.filters import selection_filter
from craft_easy.core.events.store.read import DATES, POSITION_FIELDS

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

IDS: Final = 100
"""Events that one query looks up by their ids: the embedded server is slow at long lists."""
_AS_JSON: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """Where a record stands in the order of history, by `(timestamp, event_id)`.

    A value of another type, in a malformed record, stands before every date or text.
    """

    timestamp: Any
    event_id: Any
    record_id: Any

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> RecordPosition:
        return cls(record.get("timestamp"), record.get("event_id"), record.get("_id"))

    def to_json(self) -> dict[str, Any]:
        """Return the position as a checkpoint keeps it: plain JSON, each value in canonical Extended JSON."""
        named = {"timestamp": self.timestamp, "event_id": self.event_id, "_id": self.record_id}
        fields = {name: Decimal128(value) if isinstance(value, Decimal) else value for name, value in named.items()}
        found: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return found

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RecordPosition:
        """Return the position that `to_json` wrote.

        Raises:
            ValueError: the mapping is something else.
        """
        try:
            read = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            return cls(read["timestamp"], read["event_id"], read["_id"])
        except (KeyError, TypeError, AttributeError, BSONError) as error:
            raise ValueError("it is not the position of a record") from error

    @property
    def moment(self) -> datetime | None:
        """The timestamp, where it is a date within Python's years; else None."""
        return self.timestamp if isinstance(self.timestamp, datetime) else None

    @property
    def next_moment(self) -> datetime | None:
        """The next millisecond; None where there is none."""
        if self.moment is None:
            return None
        try:
            return up_to_millisecond(self.moment) + _MILLISECOND
        except OverflowError:
            return None

    def is_behind(self, other: RecordPosition) -> bool:
        """Return whether this stands behind the other."""
        return self.sort_key > other.sort_key

    def is_surely_within(self, mark: RecordPosition) -> bool:
        """Return whether this stands before the mark or is it; False where equal keys leave that open."""
        return self.sort_key < mark.sort_key or (self.sort_key == mark.sort_key and self.record_id == mark.record_id)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """A key that sorts positions as the log does."""
        date = _milliseconds(self.timestamp) if isinstance(self.timestamp, DATES) else None
        event_id = self.event_id if isinstance(self.event_id, str) else None
        return date is not None, date or 0, event_id is not None, event_id or ""


async def positions(log: Log, event_ids: Sequence[str]) -> dict[str, RecordPosition]:
    """Return the positions of events by their ids; an event that is not in the log is left out."""
    found: dict[str, RecordPosition] = {}
    for some in in_batches(list(dict.fromkeys(event_ids))):
        async with log.call(log.scan_timeout) as connection:
            condition = selection_filter(Selection(event_ids=tuple(some)))
            records = await connection.events.find(condition, list(POSITION_FIELDS)).to_list(None)
        found |= {record["event_id"]: RecordPosition.of(record) for record in records}
    return found


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Split a list of ids into parts that one query takes."""
    return [event_ids[first : first + IDS] for first in range(0, len(event_ids), IDS)]


def _milliseconds(moment: datetime | DatetimeMS) -> int:
    if isinstance(moment, DatetimeMS):
        return int(moment)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
