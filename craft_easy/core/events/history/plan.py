"""The plan of a replay: the handlers that run for each event, and the number of deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from craft_easy.core.events.errors import HandlerNotFound
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.model.figures import Counts

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus


@dataclass(slots=True)
class ReplayPlan:
    """The effect of a run: `counts` of the events that have a handler, and the numbers that are left out."""

    counts: Counts = field(default_factory=Counts)
    not_replayable: Counter[str] = field(default_factory=Counter)
    """Deliveries to handlers with `replayable=False`, by handler."""
    unhandled: int = 0
    """Events without a handler."""


class ReplayHandlers:
    """The handlers of a replay.

    Args:
        bus: the bus that they are subscribed on.
        names: ids or aliases; all that are loaded when empty.
        only: the handlers that may run, for some events; None for no such limit.

    Raises:
        HandlerNotFound: no loaded handler has one of the names.
    """

    def __init__(
        self, bus: EventBus, names: Sequence[str] = (), only: Mapping[str, frozenset[str] | None] | None = None
    ) -> None:
        self._registry = bus.registry
        self._only = only or {}
        self._ids = self._chosen(names)

    def _chosen(self, names: Sequence[str]) -> frozenset[str]:
        loaded = tuple(dict.fromkeys(subscription.handler.id for subscription in self._registry.subscriptions()))
        chosen = []
        for name in names or loaded:
            handler = self._registry.handler(name)
            if handler is None:
                raise HandlerNotFound(name, loaded)
            chosen.append(handler.id)
        return frozenset(chosen)

    def of(self, event_type: str, event_id: str | None = None) -> list[Handler]:
        """Return the handlers that run for an event, or for any event of a type."""
        return [handler for handler in self._matching(event_type, event_id) if handler.replayable]

    def count(
        self, plan: ReplayPlan, event_type: str, tenant_id: str | None, events: int, event_id: str | None = None
    ) -> None:
        """Add events of one type and tenant, or one event by its id, to a plan."""
        handlers = self.of(event_type, event_id)
        plan.counts.add_many(event_type, tenant_id, events, [handler.id for handler in handlers])
        plan.unhandled += 0 if handlers else events
        for handler in self._matching(event_type, event_id):
            if not handler.replayable:
                plan.not_replayable[handler.id] += events

    def _matching(self, event_type: str, event_id: str | None) -> list[Handler]:
        handlers = self._registry.plan(event_type).handlers
        named = None if event_id is None else self._only.get(event_id)
        return [handler for handler in handlers if handler.id in self._ids and _is_named(handler, named)]


def _is_named(handler: Handler, names: frozenset[str] | None) -> bool:
    return names is None or handler.id in names or bool(names.intersection(handler.aliases))
