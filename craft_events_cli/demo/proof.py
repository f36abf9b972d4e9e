"""The comparison at the end: the log, the ledger, and what was in flight when the publisher was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
"""Event JSON, as `craft-events replay -o ndjson` prints it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The numbers of the comparison; a *delivery* is one event × one handler, identified by its idempotency key.

    Args:
        published: ids of the events whose publish had returned.
        stored: ids of the events in the log.
        deliveries: every delivery in the log.
        undone: the deliveries that are not `done` in the log.
        in_flight: the deliveries that were not done when the publisher was killed.
        ledger: how often each delivery was handled, by the ledger.
    """

    published: frozenset[str]
    stored: frozenset[str]
    deliveries: frozenset[str]
    undone: frozenset[str]
    in_flight: frozenset[str]
    ledger: Counter[str]

    @classmethod
    def of(
        cls, published: Iterable[str], records: Iterable[Record], *, in_flight: Set[str], ledger: Counter[str]
    ) -> Proof:
        """Collect the numbers; `records` are all records of the log, read after the repair."""
        every = list(records)
        return cls(
            published=frozenset(published),
            stored=frozenset(record["event_id"] for record in every),
            deliveries=frozenset(key for record in every for key in deliveries(record)),
            undone=frozenset(key for record in every for key in undone(record)),
            in_flight=frozenset(in_flight),
            ledger=ledger,
        )

    @property
    def lost(self) -> frozenset[str]:
        """Events whose publish had returned and that are not in the log."""
        return self.published - self.stored

    @property
    def missing(self) -> frozenset[str]:
        """Deliveries that are not in the ledger."""
        return self.deliveries - self.ledger.keys()

    @property
    def repeated(self) -> frozenset[str]:
        """Deliveries that were handled more than once."""
        return frozenset(key for key, times in self.ledger.items() if times > 1)

    @property
    def wrongly_repeated(self) -> frozenset[str]:
        """Repeated deliveries that were not in flight at the kill."""
        return self.repeated - self.in_flight

    @property
    def holds(self) -> bool:
        """Return whether nothing is missing, and nothing was repeated without need."""
        return bool(self.deliveries) and not (self.lost or self.missing or self.undone or self.wrongly_repeated)


def deliveries(record: Record) -> list[str]:
    """Return the idempotency key of each delivery of a record."""
    return [f"{record['event_id']}:{handler['id']}" for handler in _handlers(record)]


def undone(record: Record) -> list[str]:
    """Return the deliveries of a record that are not done."""
    return [f"{record['event_id']}:{handler['id']}" for handler in _handlers(record) if handler["state"] != "done"]


def _handlers(record: Record) -> list[Mapping[str, Any]]:
    delivery = record["delivery"]
    return [] if delivery is None else list(delivery["handlers"])
