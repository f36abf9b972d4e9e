"""Which records a redispatch wants, as conditions of MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from craft_easy.core.events.selection import Selection
from craft_easy.core.events.store.filters import joined, selection_filter


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records a redispatch wants: a selection, the handlers it has loaded, and when it began.

    Args:
        loaded: ids, aliases included, as records name them.
        handlers: those of them that are to run.
        began_at: the database's time; a record that was claimed later has had its turn. None asks for all.
    """

    selection: Selection
    loaded: tuple[str, ...]
    handlers: tuple[str, ...]
    began_at: datetime | None = None

    @property
    def direction(self) -> int:
        return -1 if self.selection.reverse else 1

    def selected(self) -> dict[str, Any]:
        return selection_filter(replace(self.selection, states=()))

    def open(self) -> dict[str, Any]:
        """Return the condition for an open record with a pending delivery of one of the handlers."""
        pending = {"$elemMatch": {"id": {"$in": list(self.handlers)}, "state": "pending"}}
        return joined(self.selected(), {"delivery.state": "open", "delivery.handlers": pending})

    def unowned(self) -> dict[str, Any]:
        """Return the condition that a record must meet to be claimed."""
        condition = joined(self.open(), {"delivery.owner": None})
        if self.began_at is None:
            return condition
        # one condition and no $or: never claimed, or before the run
        return joined(condition, {"delivery.claimed_at": {"$not": {"$gte": self.began_at}}})

    def free(self, gone: Sequence[str]) -> dict[str, Any]:
        """Return the condition for what may be claimed once the records of these workers are freed."""
        return joined(self.open(), {"delivery.owner": {"$in": [None, *gone]}})

    def untracked(self) -> dict[str, Any]:
        return joined(self.selected(), {"delivery": None})

    def unhandled(self) -> dict[str, Any]:
        return joined(self.selected(), {"delivery.state": "done", "delivery.handlers": {"$size": 0}})
