"""A selection as MongoDB reads it: filter, sort order, and where to go on. Pure, no I/O.

What a user gave stands under `$eq` or `$in` only, so that `{"$ne": null}` is a text like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

from bson import Binary, DatetimeMS, Decimal128, ObjectId, Regex, Timestamp

from craft_easy.core.events.patterns import compile_pattern
from craft_easy.core.events.selection import Selection, up_to_millisecond

Condition = dict[str, Any]

ASCENDING: Final = 1
DESCENDING: Final = -1


def selection_filter(selection: Selection) -> Condition:
    """Return the condition that a record of the selection meets; the limit is not in it."""
    return joined(
        _values("tenant_id", selection.tenants, none=selection.no_tenant),
        _types(selection.types),
        _values("actor_id", selection.actors),
        _states(selection.states),
        window(selection.since, selection.until),
    )


def in_order(direction: int = ASCENDING) -> list[tuple[str, int]]:
    """Return the order of every listing, by `(timestamp, event_id)`."""
    return [("timestamp", direction), ("event_id", direction)]


def window(since: datetime | None, until: datetime | None) -> Condition:
    """Return the condition for `since <= timestamp < until`."""
    bounds: Condition = {}
    if since is not None:
        bounds["$gte"] = up_to_millisecond(since)
    if until is not None:
        bounds["$lt"] = up_to_millisecond(until)
    return {"timestamp": bounds} if bounds else {}


def joined(*conditions: Condition) -> Condition:
    """Return the condition that all of these are met, with `$and` only where two speak of the same field."""
    met: Condition = {}
    for condition in conditions:
        met = {"$and": [met, condition]} if met.keys() & condition.keys() else {**met, **condition}
    return met


def _one_of(field: str, values: Sequence[Any]) -> Condition:
    return {field: {"$eq": values[0]} if len(values) == 1 else {"$in": list(values)}}


def _values(field: str, texts: Iterable[str], *, none: bool = False) -> Condition:
    values = [form for text in texts for form in stored_forms(text)]
    if none:
        values.append(None)
    return _one_of(field, values) if values else {}


def stored_forms(text: str) -> list[Any]:
    """Return what a record may hold that is shown as this text: other writers keep ids as numbers or ObjectIds too."""
    forms: list[Any] = [text]
    if not isinstance(text, str):
        return forms  # whatever it is, it is a value to be equal to
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


def _types(patterns: Iterable[str]) -> Condition:
    exact: list[str] = []
    wild: list[Condition] = []
    for pattern in map(compile_pattern, patterns):
        if pattern.is_exact:
            exact.append(pattern.text)
        elif pattern.prefix or pattern.text.strip("*"):
            wild.append({"event_type": Regex(pattern.regex.replace("\0", "\\x00"))})
        else:
            return {}  # a bare * means any
    alternatives = [*([_one_of("event_type", exact)] if exact else []), *wild]
    return _any_of(alternatives)


def _states(states: Iterable[str]) -> Condition:
    chosen = set(states)
    alternatives: list[Condition] = []
    if "untracked" in chosen:
        alternatives.append({"delivery": {"$eq": None}})
    if "dead" in chosen:
        # the second half is always so, and lets the partial index on dead handlers be used
        alternatives.append({"delivery.state": {"$eq": "dead"}, "delivery.handlers.state": {"$eq": "dead"}})
    alternatives.extend({"delivery.state": {"$eq": state}} for state in ("open", "done") if state in chosen)
    return _any_of(alternatives)


def _any_of(alternatives: Sequence[Condition]) -> Condition:
    if not alternatives:
        return {}
    return alternatives[0] if len(alternatives) == 1 else {"$or": list(alternatives)}


def parts(selection: Selection) -> list[Condition]:
    """Return the conditions that list a selection, one after another.

    A record of another writer may have no date in `timestamp`; its time is then that of its `_id`. Such records sort
    before every date, so a window of time is read in two parts, of which the first is nearly always empty.
    """
    if selection.since is None and selection.until is None:
        return [selection_filter(selection)]
    undated = joined(selection_filter(replace(selection, since=None, until=None)), *_undated(selection))
    dated = selection_filter(selection)
    return [dated, undated] if selection.reverse else [undated, dated]


def _undated(selection: Selection) -> tuple[Condition, Condition]:
    moments = window(selection.since, selection.until)["timestamp"]
    made_then: Condition = {"_id": {operator: _first_id(moment) for operator, moment in moments.items()}}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since, until = moments.get("$gte", epoch), moments.get("$lt")
    if since <= epoch and (until is None or epoch < until):
        # an `_id` that is no ObjectId tells no time, and such a record counts as of 1970
        made_then = {"$or": [made_then, {"_id": {"$not": {"$type": "objectId"}}}]}
    return {"$or": [_whole(kind) for kind in _KINDS if kind.name != "date"]}, made_then


def _first_id(moment: datetime) -> ObjectId:
    """Return the least ObjectId of the first whole second that is not before the moment."""
    seconds = min(max(math.ceil(moment.timestamp()), 0), 2**32 - 1)
    return ObjectId(seconds.to_bytes(4, "big") + bytes(8))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Types that MongoDB sorts among each other, and their least value; a comparison finds no other types."""

    name: str
    types: tuple[type, ...]
    least: Any


_KINDS: Final = (
    _Kind("null", (NoneType,), None),
    _Kind("number", (float, int, Decimal, Decimal128), float("-inf")),
    _Kind("string", (str,), ""),
    _Kind("object", (dict,), {}),
    _Kind("binary", (bytes, UUID), Binary(b"")),
    _Kind("objectId", (ObjectId,), ObjectId(bytes(12))),
    _Kind("bool", (bool,), least=False),
    _Kind("date", (datetime, DatetimeMS), DatetimeMS(-(2**63))),
    _Kind("timestamp", (Timestamp,), Timestamp(0, 0)),
)
"""In MongoDB's order: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/"""


def _whole(kind: _Kind) -> Condition:
    """Return the condition for any value of a kind; null stands for a missing field too."""
    return {"timestamp": {"$eq" if kind.least is None else "$gte": kind.least}}


def from_here_on(record: Mapping[str, Any], direction: int = ASCENDING) -> Condition:
    """Return the condition for what stands at the time of this record or behind it, in MongoDB's full order."""
    value = record.get("timestamp")
    here = {"timestamp": {"$eq": None} if value is None else {"$gte" if direction == ASCENDING else "$lte": value}}
    order = _KINDS[::direction]
    place = next((index for index, kind in enumerate(order) if _is_of(value, kind)), len(order))
    return _any_of([here, *map(_whole, order[place + 1 :])])


def _is_of(value: object, kind: _Kind) -> bool:
    return isinstance(value, kind.types) and (kind.name == "bool") == isinstance(value, bool)
