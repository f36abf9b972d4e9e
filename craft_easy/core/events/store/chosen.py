"""Which deliveries an operator means, as conditions of MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.filters import Condition, can_be_stored, joined, selection_filter
from craft_easy.core.events.store.indexes import DEAD_INDEX, OPEN_INDEX, OPEN_INDEX_OF_TENANTS

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

MAX_IDS: Final = 1_000
"""So many ids stand in one query."""
FIELDS: Final = ("event_id", "event_type", "tenant_id", "timestamp", "delivery")
"""What is read of a record: everything but what may be large."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which records an operator means: a selection, handlers, and the `_id`s of events that were named.

    Args:
        selection: its limit and states are not looked at.
        handlers: ids, as records name them; all when empty.
        ids: `_id`s; None for any.
    """

    selection: Selection
    handlers: tuple[str, ...] = ()
    ids: tuple[Any, ...] | None = None

    def having(self, state: Literal["pending", "dead"]) -> Condition:
        """Return the condition for a record with a delivery in this state, of one of the handlers.

        The equality that stands alone is what the partial index over such records asks for.
        """
        indexed: Condition = {"delivery.handlers.state": "dead"} if state == "dead" else {"delivery.state": "open"}
        named: Condition = {} if self.ids is None else {"_id": {"$in": list(self.ids)}}
        selected = selection_filter(replace(self.selection, states=(), limit=None))
        return joined(named, selected, indexed, self._of_handlers(state))

    def index(self, state: Literal["pending", "dead"]) -> str | None:
        """Return the name of the partial index that such a question is to go through; none where `_id`s are named."""
        if self.ids is not None:
            return None
        if state == "dead":
            return DEAD_INDEX
        return OPEN_INDEX_OF_TENANTS if self.selection.tenants or self.selection.no_tenant else OPEN_INDEX

    def _of_handlers(self, state: str) -> Condition:
        if not self.handlers:
            return {}
        ids = [handler for handler in self.handlers if can_be_stored(handler)]
        return {"delivery.handlers": {"$elemMatch": {"id": {"$in": ids}, "state": state}}}


async def located(store: EventStore, event_ids: Sequence[str]) -> dict[str, Any]:
    """Return the `_id`s of events that are in the log, by `event_id`: many at once by the derived `_id`."""
    found: dict[str, Any] = {}
    for start in range(0, len(event_ids), MAX_IDS):
        found |= await _by_derived_id(store, event_ids[start : start + MAX_IDS])
    for event_id in event_ids:
        if event_id not in found and (record := await store.find_record(event_id)) is not None:
            found[event_id] = record["_id"]
    return found


async def _by_derived_id(store: EventStore, event_ids: Sequence[str]) -> dict[str, Any]:
    derived = [record_id(event_id) for event_id in event_ids]
    async with store.call() as site:
        records = await site.events.find({"_id": {"$in": derived}}, {"event_id": 1}).to_list(None)
    wanted = set(event_ids)
    return {record["event_id"]: record["_id"] for record in records if record.get("event_id") in wanted}
