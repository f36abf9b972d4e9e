"""The paused handlers of a run: left out of its claims, counted and reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from craft_easy.core.events.engine.report import HandlersPaused, HandlersResumed, Observer
from craft_easy.core.events.handlers.registry import Registry
from craft_easy.core.events.model.pause import Pause, PausedHandler
from craft_easy.core.events.store.counts import count_pending
from craft_easy.core.events.store.filters import ClaimFilter

if TYPE_CHECKING:
    from craft_easy.core.events.engine.pauses import KnownPauses
    from craft_easy.core.events.store.log import Log


def paused_names(registry: Registry, pauses: Iterable[Pause]) -> set[str]:
    """Return the names that records may have for the paused handlers: the ids and aliases of those that are loaded."""
    return {name for pause in pauses for name in names_of(registry, pause.handler)}


def names_of(registry: Registry, name: str) -> tuple[str, ...]:
    """Return a name, or all names of the loaded handlers that have it as their id or as an alias."""
    handlers = [one.handler for one in registry.subscriptions()]
    named = [handler for handler in handlers if name in (handler.id, *handler.aliases)]
    return tuple(dict.fromkeys((name, *(other for handler in named for other in (handler.id, *handler.aliases)))))


async def paused_handlers(
    log: Log, registry: Registry, chosen: ClaimFilter, pauses: Iterable[Pause]
) -> list[PausedHandler]:
    """Return the paused handlers that concern a run, with the number of deliveries that wait for each.

    These are the handlers that it would run, and those that are not loaded and that open events name.
    """
    found, counted = list[PausedHandler](), set[str]()
    for pause in pauses:
        names = names_of(registry, pause.handler)
        is_loaded = any(name in chosen.loaded for name in names)
        if is_loaded and not any(name in chosen.handlers for name in names):
            continue
        waiting = await count_pending(log, chosen.selection, [name for name in names if name not in counted])
        counted.update(names)
        if is_loaded or waiting:
            found.append(PausedHandler(pause, waiting))
    return found


class RunPauses:
    """The pauses that a run takes into account.

    Args:
        registry: the handlers that are loaded.
        known: the pauses that its worker knows.
        log: the event log.
        chosen: the records and the handlers of the run.
        observer: called with each pause that begins or ends.
    """

    def __init__(
        self, registry: Registry, known: KnownPauses, log: Log, chosen: ClaimFilter, observer: Observer
    ) -> None:
        self._registry = registry
        self._known = known
        self._log = log
        self._chosen = chosen
        self._observer = observer
        self._reported = dict[str, Pause]()

    def unpaused(self, wanted: ClaimFilter) -> ClaimFilter:
        """Return a filter without the handlers that are paused now."""
        return wanted.leaving_out(self.names()) if self._known.stored else wanted

    def names(self) -> set[str]:
        """Return the names that records may have for the paused handlers."""
        return paused_names(self._registry, self._known.current())

    async def waiting(self) -> Sequence[PausedHandler]:
        """Return the paused handlers of this run, each with the number of deliveries that wait for it."""
        return await paused_handlers(self._log, self._registry, self._chosen, self._known.current())

    async def report_changes(self) -> None:
        """Report the pauses that began, and those that ended, since the last call."""
        current = {pause.handler: pause for pause in self._known.current()}
        if current.keys() == self._reported.keys():
            return
        begun = [pause for handler, pause in current.items() if handler not in self._reported]
        paused = await paused_handlers(self._log, self._registry, self._chosen, begun)
        ended = self._reported.keys() - current.keys()
        self._reported = current
        if paused:
            self._observer(HandlersPaused(tuple(paused)))
        if ended:
            self._observer(HandlersResumed(tuple(sorted(ended))))
