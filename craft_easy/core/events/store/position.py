"""Positions in the order of history, which a checkpoint stores, and the look-up of positions by event id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from bson import json_util
from bson.errors import BSONError

from craft_easy.core.events.model.envelope import is_malformed
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.filters import selection_filter

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

IDS: Final = 100
"""The maximum number of events that one query looks up by their ids: the embedded server is slow at long lists."""
_FIELDS: Final = ("timestamp", "event_id", "event_type")
_AS_JSON: Final = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True)


@dataclass(frozen=True, slots=True, order=True)
class RecordPosition:
    """The position of a well-formed record in history; positions are ordered as the log orders its records.

    MongoDB compares texts by their UTF-8 bytes, and Python by code points: the order is the same.
    """

    timestamp: datetime
    event_id: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self | None:
        """Return the position of a record; None where its id, type or timestamp is missing or of another type.

        Args:
            record: a record as it is stored; a naive timestamp, as `formats.event_json` takes it, is in UTC.
        """
        if is_malformed(record):
            return None
        timestamp = record["timestamp"]
        return cls(timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC), record["event_id"])

    @property
    def key(self) -> tuple[datetime, str]:
        """The position as a key of `read.HISTORY`."""
        return self.timestamp, self.event_id

    def to_json(self) -> dict[str, Any]:
        """Return the position as a checkpoint stores it."""
        fields = {"timestamp": self.timestamp, "event_id": self.event_id}
        described: dict[str, Any] = json.loads(json_util.dumps(fields, json_options=_AS_JSON))
        return described

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the position that `to_json` described; further fields are ignored.

        Raises:
            ValueError: the mapping does not describe a position.
        """
        try:
            described = json_util.loads(json.dumps(dict(fields)), json_options=_AS_JSON)
            position = cls.of({"event_type": "", **described})
        except (TypeError, AttributeError, BSONError) as error:
            raise ValueError("not a position in history") from error
        if position is None:
            raise ValueError("not a position in history")
        return position


async def positions(log: Log, event_ids: Sequence[str]) -> dict[str, RecordPosition]:
    """Return the positions of events by their ids; an event without a well-formed record in the log is left out."""
    located: dict[str, RecordPosition] = {}
    for batch in in_batches(list(dict.fromkeys(event_ids))):
        condition = selection_filter(Selection(event_ids=tuple(batch)))
        async with log.call(log.scan_timeout) as connection:
            records = await connection.events.find(condition, list(_FIELDS)).to_list(None)
        located |= {place.event_id: place for place in map(RecordPosition.of, records) if place is not None}
    return located


def in_batches(event_ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Split a list of ids into parts that one query takes."""
    return [event_ids[first : first + IDS] for first in range(0, len(event_ids), IDS)]
