"""The fit of the loaded handlers to the log, and the open and dead deliveries of each.

A check before a deployment:

    from craft_easy.core.events.operations.handlers import coverage

    fit = await coverage(store, bus.registry)
    assert not fit.orphans, fit.orphans
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from craft_easy.core.events.errors import HandlerNotInLog
from craft_easy.core.events.model.pause import Pause
from craft_easy.core.events.model.selection import Selection, compile_pattern
from craft_easy.core.events.store.counts import orphans
from craft_easy.core.events.store.filters import ClaimFilter
from craft_easy.core.events.store.pauses import HandlerPauses
from craft_easy.core.events.store.queries import handlers as handler_queries
from craft_easy.core.events.store.queries.handlers import HandlerBacklog

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler, Registry
    from craft_easy.core.events.store import EventStore

__all__ = ["Coverage", "HandlerBacklog", "counts_of", "coverage", "pause_of", "require_in_log"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The fit of the loaded handlers to the log.

    Args:
        types: every event type of the log.
        handlers: the ids of the loaded handlers.
        unhandled: types without a subscribed handler, whose events are done at once.
        idle: handlers whose patterns match no type of the log, with these patterns.
        orphans: the numbers of open deliveries whose handler is neither loaded nor paused, by its id: no process here
            runs them.
    """

    types: tuple[str, ...]
    handlers: tuple[str, ...]
    unhandled: tuple[str, ...]
    idle: Mapping[str, tuple[str, ...]]
    orphans: Mapping[str, int]

    @property
    def is_whole(self) -> bool:
        """True if every open delivery has its handler loaded."""
        return not self.orphans

    @property
    def is_perfect(self) -> bool:
        """True if, in addition, every type has a handler and every handler a type."""
        return self.is_whole and not self.unhandled and not self.idle


async def coverage(store: EventStore, registry: Registry) -> Coverage:
    """Compare the handlers of a registry with the types and the open deliveries of the log.

    Raises:
        StoreUnavailable: the log was not reached, or is too large to be searched in time.
    """
    types = await handler_queries.event_types(store)
    loaded = registry.patterns()
    paused = [pause.handler for pause in await HandlerPauses(store).current()]
    pending = await orphans(store, ClaimFilter(Selection(), handlers=loaded, loaded=loaded), paused=paused)
    patterns: dict[str, list[str]] = {}
    for subscription in registry.subscriptions():
        patterns.setdefault(subscription.handler.id, []).append(subscription.pattern)
    return Coverage(
        types=tuple(types),
        handlers=tuple(patterns),
        unhandled=tuple(
            event_type for event_type in types if not any(_matches(own, (event_type,)) for own in patterns.values())
        ),
        idle={handler: tuple(own) for handler, own in patterns.items() if not _matches(own, types)},
        orphans=dict(sorted(pending.items(), key=lambda orphan: (-orphan[1], orphan[0]))),
    )


async def pause_of(store: EventStore, handler: Handler) -> Pause | None:
    """Return the pause of a handler, under its id or an alias; None if it is not paused.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    names = (handler.id, *handler.aliases)
    return next((pause for pause in await HandlerPauses(store).current() if pause.handler in names), None)


async def counts_of(store: EventStore, handler: Handler) -> HandlerBacklog:
    """Count a handler's open and dead deliveries, under its id and its aliases.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    return await handler_queries.of_handler(store, (handler.id, *handler.aliases))


def _matches(patterns: list[str], types: list[str] | tuple[str, ...]) -> bool:
    return any(compile_pattern(pattern).matches(event_type) for pattern in patterns for event_type in types)


async def require_in_log(store: EventStore, handler_ids: Sequence[str]) -> None:
    """Check that records of the log name these handlers: open or dead ones, or else one of the newest.

    Raises:
        HandlerNotInLog: none of them names one of the handlers; it has the most similar ids that they do.
    """
    for handler_id in handler_ids:
        if await handler_queries.is_unfinished(store, handler_id):
            continue
        known = await handler_queries.known_handlers(store)
        if handler_id not in known:
            raise HandlerNotInLog(handler_id, get_close_matches(handler_id, sorted(known), 3))
