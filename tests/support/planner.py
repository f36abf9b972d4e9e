"""MongoDB's rules for choosing an index, applied to the commands that were sent to the event log.

The rules were measured, see docs/explanation/proof.md: a partial index is considered only where the query contains its
filter, and names its first field or sorts by it; a hint of one whose filter is not contained silently returns too few
records; an order comes from an index only if the fields before it are compared with values (`$eq` or `$in`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pymongo import monitoring

from craft_easy.core.events.store.indexes import INDEXES

Command = Mapping[str, Any]
Constraints = Mapping[str, Sequence[Any]]
READS: Final = ("find", "aggregate", "count", "distinct")
WRITES: Final = {"update": "updates", "delete": "deletes"}
EQUALITY: Final = ("$eq", "$in")
COMPARISONS: Final = ("$eq", "$gt", "$gte", "$lt", "$lte")
_NO_INDEX: Final = "no index answers it in its order"
IDS: Final = {"name": "_id_", "key": {"_id": 1}}
PAGE: Final = Path(__file__).parents[2] / "docs/explanation/architecture.md"
ORDERS: Final = {"timestamp": "by time", "delivery.due_at": "by due time", "event_id": "by id"}
"""The words of the table of queries for the first field of an order."""


@dataclass(frozen=True, slots=True)
class Row:
    """A query of the table in `docs/explanation/architecture.md`; a row of two indexes there is two of these.

    Args:
        index: the name of the index.
        has_hint: whether the query names it.
        order: the order that the index gives, in the words of the table; empty for none.
    """

    index: str
    has_hint: bool
    order: str


def rows() -> set[Row]:
    """Return the rows of the table of queries; an index that does not exist is a KeyError."""
    found = re.findall(r"^\| .+ \| (.*`.*) \| (yes|no) \| (.*)\|$", PAGE.read_text(), re.MULTILINE)
    names = {_keys_of(index): str(index["name"]) for index in _indexes()}
    return {
        Row(names[keys], hint == "yes", order.strip())
        for cell, hint, order in found
        for keys in re.findall(r"`\(?([^`)]+)\)?`", cell)
    }


def _keys_of(index: Mapping[str, Any]) -> str:
    """Return the fields of an index as the table writes them."""
    return ", ".join(field.removeprefix("delivery.") for field in index["key"])


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a command.

    Args:
        condition: its filter.
        sort: its fields of the order, with their directions.
        hint: the name of the index that it names.
    """

    condition: Mapping[str, Any]
    sort: tuple[tuple[str, int], ...] = ()
    hint: str | None = None

    def problem(self) -> str | None:
        """Return what is wrong with it; None where an index answers it in its order."""
        if self.hint is not None:
            named = [index for index in _indexes() if index["name"] == self.hint]
            if not named:
                return f"the hint {self.hint} names none of the log's indexes"
            if not _contains(_constraints(self.condition), named[0]):
                return f"the filter of {self.hint} is not contained"
            return None if _orders(named[0], _constraints(self.condition), self.sort) else f"{self.hint} does not order"
        if any(self._answers(index) for index in _indexes()):
            return None
        branches = self._branches()
        return next(filter(None, (one.problem() for one in branches)), None) if branches else _NO_INDEX

    def is_in(self, table: Set[Row]) -> bool:
        """Return whether a table has a row for it: an index that answers it, with its hint and its order."""
        order = ORDERS[self.sort[0][0]] if self.sort else None
        fitting = {row.index for row in table if row.has_hint == bool(self.hint) and order in (None, row.order)}
        if self.hint is not None:
            return self.hint in fitting
        if any(index["name"] in fitting and self._answers(index) for index in _indexes()):
            return True
        branches = self._branches()
        return bool(branches) and all(branch.is_in(table) for branch in branches)

    def _branches(self) -> list[Query]:
        """Return the queries that a condition with `$or` is answered by."""
        if self.sort:
            return []
        branches = [branch for group in _constraints(self.condition).get("$or", ()) for branch in group]
        rest = {name: value for name, value in self.condition.items() if name != "$or"}
        return [replace(self, condition={**rest, **one}) for one in branches]

    def _answers(self, index: Mapping[str, Any]) -> bool:
        constraints, first = _constraints(self.condition), next(iter(index["key"]))
        if not _contains(constraints, index):
            return False
        is_named = first in constraints or bool(self.sort and self.sort[0][0] == first)
        return is_named and _orders(index, constraints, self.sort)


def _indexes() -> list[Mapping[str, Any]]:
    return [IDS, *(index.document for index in INDEXES)]


class Recorder(monitoring.CommandListener):
    """Keeps the commands on one collection; for `event_listeners` of a client."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self.commands: list[Command] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep a command."""
        if event.command.get(event.command_name) == self._collection:
            self.commands.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Ignore the reply."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Ignore the reply."""

    def queries(self) -> Iterator[tuple[Command, Query]]:
        """Yield the queries of the commands, each with its command."""
        for command in self.commands:
            for query in queries_of(command):
                yield command, query


def queries_of(command: Command) -> Iterator[Query]:
    """Yield what a command asks for: one query, or one for each of its writes."""
    name = next(iter(command))
    if name in WRITES:
        yield from (Query(write["q"]) for write in command[WRITES[name]])
    elif name == "aggregate":
        yield _of_pipeline(command)
    elif name in READS and not _is_quick(command):
        condition = command.get("filter", command.get("query", {}))
        yield Query(condition, tuple(command.get("sort", {}).items()), command.get("hint"))


def _is_quick(command: Command) -> bool:
    """Return whether a command reads any one record, or the distinct values of an index's first field."""
    if command.get("filter") or command.get("query"):
        return False
    firsts = {next(iter(index.document["key"])) for index in INDEXES}
    return command.get("limit") == 1 or command.get("key") in firsts


def _of_pipeline(command: Command) -> Query:
    stages = [dict(stage) for stage in command["pipeline"]]
    condition: Mapping[str, Any] = {}
    while stages and "$match" in stages[0]:
        condition = {"$and": [condition, stages.pop(0)["$match"]]}
    sort = tuple(stages[0]["$sort"].items()) if stages and "$sort" in stages[0] else ()
    return Query(condition, sort, command.get("hint"))


def _constraints(condition: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the conditions that a record must meet on each field, those of `$and` and `$elemMatch` among them."""
    found: dict[str, list[Any]] = {}
    for field, wanted in condition.items():
        if field == "$and":
            for part in wanted:
                for name, conditions in _constraints(part).items():
                    found.setdefault(name, []).extend(conditions)
        elif isinstance(wanted, Mapping) and "$elemMatch" in wanted:
            for name, inner in wanted["$elemMatch"].items():
                found.setdefault(f"{field}.{name}", []).append(inner)
        else:
            found.setdefault(field, []).append(wanted)
    return found


def _contains(constraints: Constraints, index: Mapping[str, Any]) -> bool:
    """Return whether every record that meets the constraints is in a partial or sparse index."""
    if index.get("sparse") and not any(map(_is_value, constraints.get(next(iter(index["key"])), ()))):
        return False
    partial = index.get("partialFilterExpression", {})
    return all(any(_implies(one, wanted) for one in constraints.get(field, ())) for field, wanted in partial.items())


def _implies(condition: Any, wanted: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(condition == wanted or (isinstance(condition, Mapping) and condition.get("$eq") == wanted))
    return isinstance(condition, Mapping) and wanted.items() <= condition.items()


def _is_value(condition: Any) -> bool:
    """Return whether a condition compares with values other than null."""
    if not isinstance(condition, Mapping):
        return condition is not None
    if any(condition.get(name) is not None for name in COMPARISONS):
        return True
    return bool(condition.get("$in")) and None not in condition["$in"]


def _is_equality(conditions: Sequence[Any]) -> bool:
    return any(not isinstance(one, Mapping) or any(name in one for name in EQUALITY) for one in conditions)


def _orders(index: Mapping[str, Any], constraints: Constraints, sort: Sequence[tuple[str, int]]) -> bool:
    """Return whether an index gives an order, forwards or backwards."""
    if not sort:
        return True
    keys = list(index["key"].items())
    while keys and keys[0][0] != sort[0][0] and _is_equality(constraints.get(keys[0][0], ())):
        keys.pop(0)
    directions = {direction * keys[place][1] for place, (_, direction) in enumerate(sort) if place < len(keys)}
    return [field for field, _ in sort] == [field for field, _ in keys[: len(sort)]] and len(directions) == 1
