"""MongoDB's conditions for a selection, for a claim, and for an operator's choice of deliveries. Pure.

Values from users go under `$eq` or `$in` only, so that `{"$ne": null}` is a text like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from bson import ObjectId

from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.model.envelope import EARLIEST, LATEST
from craft_easy.core.events.model.selection import Selection, compile_pattern, up_to_millisecond
from craft_easy.core.events.model.times import Window
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX

Condition = dict[str, Any]
Patterns = Mapping[str, Sequence[str]]
"""The patterns of event types that each handler is subscribed to, by its id."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ASCENDING: Final = 1
DESCENDING: Final = -1
MAX_HANDLERS: Final = 100
"""The maximum number of handler ids in one query for claims."""
UNREDACTED: Final[Mapping[str, Any]] = {"redacted.at": {"$not": {"$type": "date"}}}
"""The condition that the payload was not removed on request; a field of this name by another program is ignored."""

_NO_ARRAY: Final[Mapping[str, Any]] = {"$not": {"$type": "array"}}
"""The server matches an array by its items as well."""
WELL_FORMED: Final[Mapping[str, Any]] = {
    "event_id": {"$type": "string", **_NO_ARRAY},
    "event_type": {"$type": "string", **_NO_ARRAY},
    "timestamp": {"$gte": EARLIEST, "$lte": LATEST, **_NO_ARRAY},
}
"""The records of which `model.envelope.is_malformed` is false, as a condition of the server."""
MALFORMED: Final[Mapping[str, Any]] = {"$nor": [WELL_FORMED]}


def selection_filter(selection: Selection) -> Condition:
    """Return the condition of a selection, without its limit."""
    return joined(
        _named(selection.event_ids),
        _values("tenant_id", selection.tenants, none=selection.no_tenant),
        _types(selection.types),
        _values("actor_id", selection.actors),
        _states(selection.states),
        window(selection.since, selection.until),
        _no_types(selection.except_types),
    )


def window(since: datetime | None, until: datetime | None) -> Condition:
    """Return the condition for `since <= timestamp < until`."""
    bounds = _between(since, until)
    return {"timestamp": bounds} if bounds else {}


def _between(since: datetime | None, until: datetime | None) -> Condition:
    bounds: Condition = {}
    if since is not None:
        bounds["$gte"] = up_to_millisecond(since)
    if until is not None:
        bounds["$lt"] = up_to_millisecond(until)
    return bounds


def joined(*conditions: Condition) -> Condition:
    """Return the conjunction of conditions, with `$and` only where two use the same field."""
    merged: Condition = {}
    for condition in conditions:
        merged = {"$and": [merged, condition]} if merged.keys() & condition.keys() else {**merged, **condition}
    return merged


def _one_of(field: str, values: Sequence[Any]) -> Condition:
    return {field: {"$eq": values[0]} if len(values) == 1 else {"$in": list(values)}}


def _values(field: str, texts: Iterable[str], *, none: bool = False) -> Condition:
    wanted = list(texts)
    values = [form for text in wanted if can_be_stored(text) for form in stored_forms(text)]
    if none:
        values.append(None)
    return _one_of(field, values) if wanted or none else {}


def can_be_stored(text: object) -> bool:
    """Return whether UTF-8 can encode a text; no value in the log is equal to any other text."""
    try:
        if isinstance(text, str):
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


def stored_forms(text: str) -> list[Any]:
    """Return the values that are displayed as a text: other programs store ids as numbers, UUIDs or ObjectIds."""
    forms: list[Any] = [text]
    if not isinstance(text, str):
        return forms
    if len(text) == 24 and ObjectId.is_valid(text):
        forms.append(ObjectId(text))
    elif len(text) == 36 and text.count("-") == 4:
        forms.extend(_uuid(text))
    elif len(text) < 20 and text.lstrip("-").isdecimal() and str(int(text)) == text and abs(int(text)) < 2**63:
        forms.append(int(text))
    return forms


def _uuid(text: str) -> list[UUID]:
    try:
        value = UUID(text)
    except ValueError:
        return []
    return [value] if str(value) == text else []


def _named(event_ids: Sequence[str] | None) -> Condition:
    """Return the condition for the events with these ids."""
    if event_ids is None:
        return {}
    return {"event_id": {"$in": [event_id for event_id in event_ids if can_be_stored(event_id)]}}


def _types(patterns: Sequence[str]) -> Condition:
    if not patterns or any(not pattern.strip("*") for pattern in patterns):
        return {}  # a lone * matches any type
    compiled = [compile_pattern(pattern) for pattern in patterns if can_be_stored(pattern)]
    exact = [pattern.text for pattern in compiled if pattern.is_exact]
    # `$regex`, because the embedded server compares a plain regular expression as a value where there is an index
    wild = [{"event_type": {"$regex": pattern.regex}} for pattern in compiled if not pattern.is_exact]
    return _any_of([_one_of("event_type", exact), *wild] if exact or not wild else wild)


def _no_types(patterns: Sequence[str]) -> Condition:
    """Return the condition for types that match none of the patterns; a record without a type meets it."""
    if not patterns:
        return {}
    return {"$nor": [_types([pattern]) or {"event_type": {"$exists": True}} for pattern in patterns]}


def _states(states: Iterable[str]) -> Condition:
    chosen = set(states)
    alternatives: list[Condition] = []
    if "untracked" in chosen:
        alternatives.append({"delivery": {"$eq": None}})
    if "dead" in chosen:
        # the second condition follows from the first; the partial index on dead deliveries needs it
        alternatives.append({"delivery.state": {"$eq": "dead"}, "delivery.handlers.state": {"$eq": "dead"}})
    alternatives.extend({"delivery.state": {"$eq": state}} for state in ("open", "done") if state in chosen)
    return _any_of(alternatives)


def _any_of(alternatives: Sequence[Condition]) -> Condition:
    if not alternatives:
        return {}
    return alternatives[0] if len(alternatives) == 1 else {"$or": list(alternatives)}


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """The records that a redispatch may claim, and the deliveries that it may run.

    A delivery runs only where its handler id is one of `handlers` and one of that handler's patterns matches the
    event's type: two services on one log may use the same id for handlers of different events.

    Args:
        selection: the events; its states and its limit are ignored.
        handlers: the patterns of each handler that is to run, by the ids that records may have (aliases too).
        loaded: the same of every handler of this process; a pending delivery of any other handler is an orphan here.
        began_at: the database's time; a record claimed at or after it has had its turn. None ignores former claims.
        due_at: the database's time; a delivery that is due later is left out. None ignores back-off.
    """

    selection: Selection
    handlers: Patterns
    loaded: Patterns
    began_at: datetime | None = None
    due_at: datetime | None = None

    # conditions

    def open(self) -> Condition:
        """Return the condition for an open record with a pending delivery that may run here."""
        due = self._due()
        return joined(self.selected(), {"delivery.state": "open"}, _first(due), self._pending(due))

    def unowned(self) -> Condition:
        """Return the condition that a record must meet to be listed for a claim."""
        return joined(self.open(), {"delivery.owner": None}, self._unclaimed())

    def claimable(self) -> Condition:
        """Return what `unowned` asks of the fields that change, which is the condition of the claim itself.

        The record was selected, and the handlers for its type were found, by the listing. The embedded server finds
        records by their `_id`s only if no other condition is an alternative, as those of the types are.
        """
        due = self._due()
        pending = {"delivery.handlers": _pending_of(self.handlers, due)}
        return joined({"delivery.state": "open", "delivery.owner": None}, _first(due), pending, self._unclaimed())

    def indexed(self) -> Condition:
        """Return what `unowned` implies about the fields of the index for claims: a record of one of the handlers."""
        return {"delivery.state": "open", "delivery.handlers.id": {"$in": list(filter(can_be_stored, self.handlers))}}

    def waiting(self, at: datetime) -> Condition:
        """Return the condition for an unowned record with a delivery that may run here and is due later."""
        return joined(
            self.selected(), {"delivery.state": "open", "delivery.owner": None}, self._pending({"due_at": {"$gt": at}})
        )

    def free(self, gone: Sequence[str]) -> Condition:
        """Return the condition for the records that may be claimed once those of these workers are freed."""
        return joined(self.open(), {"delivery.owner": {"$in": [None, *gone]}})

    def orphaned(self, named: Iterable[str] = ()) -> Condition:
        """Return the condition for an open record with a pending delivery that no handler of this process may run.

        Args:
            named: ids of handlers whose deliveries are left out.
        """
        left_out = set(named)
        unknown = {"id": {"$nin": sorted({*self.loaded, *left_out})}, "state": "pending"}
        alternatives: list[Condition] = [{"delivery.handlers": {"$elemMatch": unknown}}]
        for patterns, ids in _by_patterns(self.loaded).items():
            if (left := [handler for handler in ids if handler not in left_out]) and (types := _types(patterns)):
                alternatives.append({"delivery.handlers": _pending_of(left), "$nor": [types]})
        return joined(self.selected(), {"delivery.state": "open"}, _any_of(alternatives))

    def untracked(self) -> Condition:
        """Return the condition for a record that was stored without a delivery."""
        return joined(self.selected(), {"delivery": None, **UNREDACTED})

    def unhandled(self) -> Condition:
        """Return the condition for a record that had no handler when it was published."""
        return joined(self.selected(), {"delivery.state": "done", "delivery.handlers": {"$size": 0}, **UNREDACTED})

    def leaving_out(self, names: Collection[str]) -> ClaimFilter:
        """Return the same filter without these handlers, which stay loaded."""
        return replace(self, handlers={name: self.handlers[name] for name in self.handlers if name not in names})

    def chunks(self) -> list[ClaimFilter]:
        """Return filters that together ask for the same records, each with at most `MAX_HANDLERS` handler ids.

        MongoDB merges the index ranges of that many ids in order; for more ids it sorts the whole backlog.
        """
        ids = list(self.handlers)
        chunks = [ids[first : first + MAX_HANDLERS] for first in range(0, len(ids), MAX_HANDLERS)] or [ids]
        return [replace(self, handlers={handler: self.handlers[handler] for handler in chunk}) for chunk in chunks]

    def selected(self) -> Condition:
        """Return the condition of the selection without its states."""
        return selection_filter(replace(self.selection, states=()))

    def _due(self) -> Condition:
        return {} if self.due_at is None else {"due_at": {"$not": {"$gt": self.due_at}}}

    def _unclaimed(self) -> Condition:
        return {} if self.began_at is None else {"delivery.claimed_at": {"$not": {"$gte": self.began_at}}}

    def _pending(self, due: Condition) -> Condition:
        """Return the condition for a pending delivery of one of the handlers, and a type that the handler matches.

        The index over claims answers the first condition; the types narrow its result.
        """
        anyone: Condition = {"delivery.handlers": _pending_of(self.handlers, due)}
        groups = [(_types(patterns), ids) for patterns, ids in _by_patterns(self.handlers).items()]
        if len(groups) == 1:
            return joined(anyone, groups[0][0])
        if not any(types for types, _ in groups):
            return anyone
        return joined(
            anyone,
            _any_of([joined({"delivery.handlers": _pending_of(ids, due)}, types) for types, ids in groups]),
        )

    # the same in Python, for a record that was read

    def matches(self, entry: HandlerDelivery, event_type: str) -> bool:
        """Return whether a delivery is pending and due, and its handler is to run here for this event type."""
        return entry.state == "pending" and self.is_due(entry) and _is_for(self.handlers, entry.id, event_type)

    def is_orphan(self, entry: HandlerDelivery, event_type: str) -> bool:
        """Return whether a delivery is pending and no handler of this process may run it."""
        return entry.state == "pending" and not _is_for(self.loaded, entry.id, event_type)

    def is_due(self, entry: HandlerDelivery) -> bool:
        """Return whether the back-off of a delivery has ended, or is ignored."""
        return self.due_at is None or entry.due_at is None or entry.due_at <= self.due_at

    def may_claim(self, delivery: Delivery, event_type: str) -> bool:
        """Return whether a record meets the condition of `unowned`, leaving the selection aside."""
        began_at, claimed_at = self.began_at, delivery.claimed_at
        had_its_turn = began_at is not None and claimed_at is not None and claimed_at >= began_at
        is_pending = any(self.matches(entry, event_type) for entry in delivery.pending)
        return delivery.is_open and delivery.owner is None and not had_its_turn and is_pending


def _first(due: Condition) -> Condition:
    """Return the same condition for the record's own due time: the earliest of its handlers', in the index."""
    return {f"delivery.{field}": condition for field, condition in due.items()}


def _pending_of(ids: Iterable[str], due: Condition | None = None) -> Condition:
    storable = [handler for handler in ids if can_be_stored(handler)]
    return {"$elemMatch": {"id": {"$in": storable}, "state": "pending", **(due or {})}}


def _by_patterns(handlers: Patterns) -> dict[tuple[str, ...], list[str]]:
    """Group handler ids by their patterns, so that ids with the same ones share a condition."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for handler, patterns in handlers.items():
        groups.setdefault(tuple(sorted(set(patterns))), []).append(handler)
    return groups


def _is_for(handlers: Patterns, handler_id: str, event_type: str) -> bool:
    return any(compile_pattern(pattern).matches(event_type) for pattern in handlers.get(handler_id, ()))


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """The records that an operator chose: by a selection, by handlers, and by the `_id`s of events.

    Args:
        selection: the events; its limit and its states are ignored.
        handlers: ids of handlers in the records; all when empty.
        ids: `_id`s of records; None for any.
        died: the times of death; None for any.
    """

    selection: Selection
    handlers: tuple[str, ...] = ()
    ids: tuple[Any, ...] | None = None
    died: Window | None = None

    def having(self, state: Literal["pending", "dead"]) -> Condition:
        """Return the condition for a record with a delivery in this state, of one of the handlers.

        The first condition on the state is the filter of the partial index over such records.
        """
        indexed: Condition = {"delivery.handlers.state": "dead"} if state == "dead" else {"delivery.state": "open"}
        named: Condition = {} if self.ids is None else {"_id": {"$in": list(self.ids)}}
        selected = selection_filter(replace(self.selection, states=(), limit=None))
        return joined(named, selected, indexed, self._of_delivery(state))

    def index(self, state: Literal["pending", "dead"]) -> str | None:
        """Return the name of the partial index for this condition; None where `_id`s are named."""
        if self.ids is not None:
            return None
        return DEAD_INDEX if state == "dead" else OPEN_INDEX

    def _of_delivery(self, state: str) -> Condition:
        wanted: Condition = {}
        if self.handlers:
            wanted["id"] = {"$in": [handler for handler in self.handlers if can_be_stored(handler)]}
        if self.died is not None and (bounds := _between(self.died.since, self.died.until)):
            wanted["finished_at"] = bounds
        return {"delivery.handlers": {"$elemMatch": {**wanted, "state": state}}} if wanted else {}
