"""The one bus of a process, which `@event_handler` subscribes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from craft_easy.core.events.bus import EventBus
from craft_easy.core.events.model.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

_process_bus = EventBus()


def get_event_bus() -> EventBus:
    """Return the one bus of this process."""
    return _process_bus


def set_event_bus(bus: EventBus) -> EventBus:
    """Replace the bus of the process and return the former one; for `testing.fresh_bus()`."""
    global _process_bus
    former, _process_bus = _process_bus, bus
    return former


def event_handler(
    pattern: str,
    *,
    background: bool = False,
    id: str | None = None,  # noqa: A002 - the design's word
    aliases: Iterable[str] = (),
    replayable: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[F], F]:
    """Subscribe the function below to the process's bus and return it unchanged; see `EventBus.subscribe`."""
    if not isinstance(pattern, str):
        raise TypeError('@event_handler takes a pattern: @event_handler("payment.completed")')

    def subscribe(handler: F) -> F:
        get_event_bus().subscribe(
            pattern,
            handler,
            background=background,
            id=id,
            aliases=aliases,
            replayable=replayable,
            timeout=timeout,
            retry=retry,
        )
        return handler

    return subscribe
