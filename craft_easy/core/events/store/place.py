"""A record's place in the order of history: how it is kept in a file, and which records are surely not behind it.

MongoDB's order has more cases than can be told here with certainty (numbers of mixed types, objects). Where it is not
certain, a record counts as behind the place: who goes on from there repeats it rather than lose it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from bson import DatetimeMS, Decimal128, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.selection import Selection, up_to_millisecond
from craft_easy.core.events.store import filters

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

IDS: Final = 100
"""So many events are looked up by their ids with one query: the embedded server is slow at long lists."""
FIELDS: Final = ("timestamp", "event_id")
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
    """Where a record stands, by `(timestamp, event_id)`; each may be of any type or missing."""

    timestamp: Any
    event_id: Any
    record_id: Any

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> RecordPosition:
        return cls(record.get("timestamp"), record.get("event_id"), record.get("_id"))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        import json

        named = {"timestamp": self.timestamp, "event_id": self.event_id, "_id": self.record_id}
        fields = {name: Decimal128(value) if isinstance(value, Decimal) else value for name, value in named.items()}
        found: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return found

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RecordPosition:
        """Return what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        import json

        try:
            read = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            return cls(read["timestamp"], read["event_id"], read["_id"])
        except (KeyError, TypeError, AttributeError, BSONError) as error:
            raise ValueError("no place of a record") from error

    @property
    def moment(self) -> datetime | None:
        """The time, where it is a date that Python has room for."""
        return self.timestamp if isinstance(self.timestamp, datetime) else None

    @property
    def next_moment(self) -> datetime | None:
        """The first millisecond behind it; None where there is none."""
        if self.moment is None:
            return None
        try:
            return up_to_millisecond(self.moment) + _MILLISECOND
        except OverflowError:
            return None

    def is_behind(self, other: RecordPosition) -> bool:
        """Tell whether this surely stands behind the other."""
        by_time = _compare(self.timestamp, other.timestamp)
        order = _compare(self.event_id, other.event_id) if by_time == 0 else by_time
        return order is not None and order > 0

    def is_surely_within(self, mark: RecordPosition) -> bool:
        """Tell whether this surely stands before the mark, or is it."""
        by_time = _compare(self.timestamp, mark.timestamp)
        if by_time is None or by_time:
            return by_time is not None and by_time < 0
        by_id = _compare(self.event_id, mark.event_id)
        if by_id is None or by_id:
            return by_id is not None and by_id < 0
        return bool(self.record_id == mark.record_id)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """A key for sorting places that are all known: that of the log, as far as it can be told."""
        return (*_total(self.timestamp), *_total(self.event_id), str(self.record_id))


async def last(store: EventStore) -> RecordPosition | None:
    """Return the greatest place there is; None where the log is empty."""
    async with store.call(store.scan_timeout) as site:
        found = await site.events.find({}, list(FIELDS)).sort(filters.in_order(filters.DESCENDING)).limit(1).to_list(1)
    return RecordPosition.of(found[0]) if found else None


async def of_events(
    store: EventStore, selection: Selection, more: Sequence[str] = ()
) -> list[tuple[RecordPosition, Mapping[str, Any]]]:
    """Return the places of all selected records, which are few, and of each the fields in `more`."""
    async with store.call(store.scan_timeout) as site:
        found = await site.events.find(filters.selection_filter(selection), [*FIELDS, *more]).to_list(None)
    return [(RecordPosition.of(record), record) for record in found]


async def places(store: EventStore, event_ids: Sequence[str]) -> dict[str, RecordPosition]:
    """Return the places of the events with these ids, of those that are in the log."""
    found: dict[str, RecordPosition] = {}
    for some in in_batches(list(dict.fromkeys(event_ids))):
        for where, record in await of_events(store, Selection(event_ids=tuple(some))):
            found[read_envelope(record).event_id] = where
    return found


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Cut a list of ids into what one query takes."""
    return [event_ids[first : first + IDS] for first in range(0, len(event_ids), IDS)]


def _compare(one: Any, other: Any) -> int | None:
    """Return how two values stand to each other as MongoDB sorts them: below, at or above 0; None where uncertain."""
    mine, its = _rank(one), _rank(other)
    if mine is None or its is None:
        return None
    if mine[0] != its[0]:
        return mine[0] - its[0]
    return int(mine[1] > its[1]) - int(mine[1] < its[1])


def _rank(value: Any) -> tuple[int, Any] | None:
    """Return the kind of a value and what it is compared by within that; the order is `filters`' own."""
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
        return 1, value
    if isinstance(value, str):
        return 2, value.encode("utf-8", "surrogatepass")
    if isinstance(value, ObjectId):
        return 4, value.binary
    if isinstance(value, datetime):
        return 6, _milliseconds(value)
    if isinstance(value, DatetimeMS):
        return 6, int(value)
    return None


def _total(value: Any) -> tuple[Any, ...]:
    rank = _rank(value)
    return (9, str(value)) if rank is None else rank


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
