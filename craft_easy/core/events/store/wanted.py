"""Which records a redispatch wants, as conditions of MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from craft_easy.core.events.model.delivery import Delivery, HandlerDelivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.filters import UNREDACTED, joined, selection_filter


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which records a redispatch wants: a selection, the handlers it has loaded, and when it began.

    Args:
        loaded: ids, aliases included, as records name them.
        handlers: those of them that are to run.
        began_at: the database's time; a record that was claimed later has had its turn. None asks for all.
        due_at: the database's time; a delivery whose back-off ends later is left alone. None honours no back-off.
    """

    selection: Selection
    loaded: tuple[str, ...]
    handlers: tuple[str, ...]
    began_at: datetime | None = None
    due_at: datetime | None = None

    @property
    def direction(self) -> int:
        return -1 if self.selection.reverse else 1

    def selected(self) -> dict[str, Any]:
        return selection_filter(replace(self.selection, states=()))

    def open(self) -> dict[str, Any]:
        """Return the condition for an open record with a pending delivery of one of the handlers."""
        pending: dict[str, Any] = {"id": {"$in": list(self.handlers)}, "state": "pending"}
        condition = {"delivery.state": "open", "delivery.handlers": {"$elemMatch": pending}}
        if self.due_at is not None:
            # the record's own is the earliest of all its handlers, and what the index knows
            is_due = {"$not": {"$gt": self.due_at}}
            pending["due_at"] = condition["delivery.due_at"] = is_due
        return joined(self.selected(), condition)

    def unowned(self) -> dict[str, Any]:
        """Return the condition that a record must meet to be claimed."""
        condition = joined(self.open(), {"delivery.owner": None})
        if self.began_at is None:
            return condition
        # one condition and no $or: never claimed, or before the run
        return joined(condition, {"delivery.claimed_at": {"$not": {"$gte": self.began_at}}})

    def may_claim(self, delivery: Delivery) -> bool:
        """Tell whether a delivery meets the condition of `unowned`."""
        began_at, claimed_at = self.began_at, delivery.claimed_at
        had_its_turn = began_at is not None and claimed_at is not None and claimed_at >= began_at
        is_pending = any(one.id in self.handlers and self.is_due(one) for one in delivery.pending)
        return delivery.is_open and delivery.owner is None and not had_its_turn and is_pending

    def is_due(self, entry: HandlerDelivery) -> bool:
        """Tell whether the back-off of one handler is over, or of no account."""
        return self.due_at is None or entry.due_at is None or entry.due_at <= self.due_at

    def of_tenant(self, tenant: Any) -> dict[str, Any]:
        """Return the condition for all that is open at a tenant, whatever its handlers."""
        # the tenant first: the embedded server looks for an index by the first condition
        return joined({"tenant_id": {"$eq": tenant}}, {"delivery.state": "open"}, self.selected())

    def free(self, gone: Sequence[str]) -> dict[str, Any]:
        """Return the condition for what may be claimed once the records of these workers are freed."""
        return joined(self.open(), {"delivery.owner": {"$in": [None, *gone]}})

    def untracked(self) -> dict[str, Any]:
        return joined(self.selected(), {"delivery": None, **UNREDACTED})

    def unhandled(self) -> dict[str, Any]:
        return joined(self.selected(), {"delivery.state": "done", "delivery.handlers": {"$size": 0}, **UNREDACTED})
