"""The options of a redispatch, and the filter of the records that it claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from craft_easy.core.events.engine.runner import DEFAULT_LIMIT
from craft_easy.core.events.errors import HandlerNotFound
from craft_easy.core.events.handlers.registry import Registry
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store.filters import ClaimFilter


@dataclass(frozen=True, slots=True)
class RedispatchOptions:
    """The options of a redispatch.

    Args:
        handlers: ids of the handlers to run; empty for every loaded one.
        exclude_handlers: ids of loaded handlers that do not run; their deliveries stay open and are not touched.
        any_type: run `handlers` on every type that they are pending for, even where no pattern of theirs matches.
        concurrency: events whose handlers run at the same time.
        rate: events whose handlers begin in a second, at most; None for no limit.
        now: ignore back-off: run every pending delivery, due or not; a watch always honours back-off.
        wait: stay until each owner of a selected record has sent a heartbeat, freed its records, or is taken over.
        watch: run until stopped.
        include_untracked: also deliver records that were stored without a delivery; the selection needs `since`.
        include_unhandled: also deliver records that had no handler when they were published.
        timeout: seconds that an attempt may take where its handler has no limit of its own.
        grace: seconds that a stop leaves to the running handlers.
    """

    handlers: tuple[str, ...] = ()
    exclude_handlers: tuple[str, ...] = ()
    concurrency: int = 10
    rate: float | None = None
    any_type: bool = False
    now: bool = False
    wait: bool = True
    watch: bool = False
    include_untracked: bool = False
    include_unhandled: bool = False
    timeout: float = DEFAULT_LIMIT
    grace: float = 10.0


def claim_filter(registry: Registry, selection: Selection, options: RedispatchOptions) -> ClaimFilter:
    """Return the filter of the records that a run over these handlers may claim.

    Raises:
        HandlerNotFound: `options` names a handler that is not loaded.
    """
    loaded = registry.patterns()
    excluded = _names(registry, options.exclude_handlers)
    chosen = _names(registry, options.handlers) if options.handlers else loaded.keys()
    is_any_type = options.any_type and bool(options.handlers)
    patterns = {name: ("*",) if is_any_type else loaded[name] for name in loaded if name in chosen - excluded}
    return ClaimFilter(selection, loaded={**loaded, **patterns}, handlers=patterns)


def _names(registry: Registry, ids: Sequence[str]) -> set[str]:
    """Return the names that records may have for these handlers: their ids and aliases."""
    names: set[str] = set()
    for name in ids:
        handler = registry.handler(name)
        if handler is None:
            known = {subscription.handler.id: None for subscription in registry.subscriptions()}
            raise HandlerNotFound(name, tuple(known))
        names |= {handler.id, *handler.aliases}
    return names
