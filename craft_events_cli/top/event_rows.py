"""The rows of the live view: short texts of events, and the window of them that is kept in memory. Pure.

A window is a run of history without gaps. It is either attached to its live end, where new events are added, or a part
further back, which pages extend in both directions. It never holds more than `MAX_ROWS` rows: what is added at one end
pushes rows out at the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from craft_easy.core.events.history.pages import Key, key_in_history
from craft_easy.core.events.model.envelope import is_malformed, read_envelope
from craft_events_cli.output.payload import payload_parts
from craft_events_cli.terminal import safe

MAX_ROWS: Final = 10_000
MAX_TEXT: Final = 300
"""Characters that are kept of a text: no line is wider."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in a line; its texts have no control characters."""

    event_id: str
    key: Key
    at: datetime
    event_type: str
    tenant_id: str | None
    actor_id: str | None
    payload: str
    state: str | None


def row_of(record: Mapping[str, Any]) -> EventRow | None:
    """Return the row of a record; None for a malformed one, which has no place in history."""
    key = key_in_history(record)
    if key is None or is_malformed(record):
        return None
    one = read_envelope(record)
    delivery = record.get("delivery")
    state = delivery.get("state") if isinstance(delivery, Mapping) else None
    return EventRow(
        event_id=one.event_id,
        key=key,
        at=one.timestamp,
        event_type=safe(one.event_type[:MAX_TEXT]),
        tenant_id=None if one.tenant_id is None else safe(one.tenant_id[:MAX_TEXT]),
        actor_id=None if one.actor_id is None else safe(one.actor_id[:MAX_TEXT]),
        payload="".join(part.text for part in payload_parts(one.payload, MAX_TEXT)),
        state=state if isinstance(state, str) else None,
    )


def rows_of(records: Sequence[Mapping[str, Any]]) -> list[EventRow]:
    """Return the rows of records, in their order."""
    return [row for record in records if (row := row_of(record)) is not None]


class RowWindow:
    """The rows that are kept, oldest first.

    Args:
        most: the maximum number of rows.
    """

    def __init__(self, most: int = MAX_ROWS) -> None:
        self.rows: list[EventRow] = []
        self.has_older = True
        self.is_attached = True
        self.missed = 0
        """Events that came while the window was not attached."""
        self.searched_to: Key | None = None
        """The place up to which older events were searched without a match, where a filter lets few through."""
        self._most = most
        self._places: dict[str, int] = {}
        self._first = 0
        """The number of the first row; numbers grow with time and never change, so that places stay valid."""

    def replace(self, rows: Sequence[EventRow], *, has_older: bool, is_attached: bool) -> None:
        """Begin again with these rows."""
        self.rows, self._first, self._places = [], 0, {}
        self.has_older, self.is_attached, self.missed, self.searched_to = has_older, is_attached, 0, None
        self._append(rows)

    def add_live(self, rows: Sequence[EventRow]) -> int:
        """Add new events at the live end, and return how many rows the first one has lost."""
        if not self.is_attached:
            self.missed += len(rows)
            return 0
        self._append(rows)
        return self._drop_first()

    def add_newer(self, rows: Sequence[EventRow]) -> int:
        """Add a page after the last row, and return how many rows were dropped at the beginning."""
        self._append(rows)
        return self._drop_first()

    def add_older(self, rows: Sequence[EventRow], *, has_older: bool, searched_to: Key | None = None) -> int:
        """Add a page before the first row, and return how many rows came before it."""
        self.searched_to = searched_to
        new = [row for row in rows if row.event_id not in self._places]
        self.rows[:0] = new
        self._first -= len(new)
        self._places |= {row.event_id: self._first + number for number, row in enumerate(new)}
        self.has_older = has_older
        if (excess := len(self.rows) - self._most) > 0:
            for row in self.rows[-excess:]:
                del self._places[row.event_id]
            del self.rows[-excess:]
            self.is_attached = False
        return len(new)

    def edge(self, *, is_older: bool) -> Key | None:
        """Return the place that the next page in a direction follows; None for the end of the log."""
        if is_older and self.searched_to is not None:
            return self.searched_to
        return self.rows[0 if is_older else -1].key if self.rows else None

    def update(self, event_id: str, state: str) -> bool:
        """Set the state of an event, and return whether it is in the window."""
        place = self._places.get(event_id)
        if place is None:
            return False
        number = place - self._first
        self.rows[number] = replace(self.rows[number], state=state)
        return True

    def index(self, event_id: str | None) -> int | None:
        """Return the index of an event; None if it is not in the window."""
        place = None if event_id is None else self._places.get(event_id)
        return None if place is None else place - self._first

    def _append(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            if row.event_id not in self._places:
                self._places[row.event_id] = self._first + len(self.rows)
                self.rows.append(row)

    def _drop_first(self) -> int:
        excess = len(self.rows) - self._most
        if excess <= 0:
            return 0
        for row in self.rows[:excess]:
            del self._places[row.event_id]
        del self.rows[:excess]
        self._first += excess
        self.has_older, self.searched_to = True, None
        return excess
