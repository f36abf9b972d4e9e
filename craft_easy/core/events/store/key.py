"""The `_id` of a record as a key in Python: other writers have documents there too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class CompoundId(dict[str, Any]):
    """An `_id` that is a document: here it is a key like any other."""

    def __hash__(self) -> int:  # type: ignore[override]  # nobody changes an `_id`
        return hash(tuple(self))


def key_of(document: Mapping[str, Any]) -> Any:
    """Return the `_id` of a decoded record, hashable and equal to that of the same record alone."""
    value = document["_id"]
    return CompoundId(value) if isinstance(value, dict) else value


def by_value(records: Iterable[Mapping[str, Any]], field: str) -> dict[Any, Mapping[str, Any]]:
    """Return records by what they have in a field, by each of its values where another writer has a list there.

    So does the server look them up; documents are not among what it is asked for.
    """
    found: dict[Any, Mapping[str, Any]] = {}
    for record in records:
        value = record[field]
        values = value if isinstance(value, list) else [value]
        found |= {one: record for one in values if not isinstance(one, (dict, list))}
    return found
