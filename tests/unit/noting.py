"""Handlers that record their calls or raise, for the tests of the bus."""

from collections.abc import Callable
from typing import Any

from craft_easy.core.events import DomainEvent

Seen = list[Any]


def event(event_type: str = "payment.completed") -> DomainEvent:
    return DomainEvent(event_type=event_type)


def notes(seen: Seen, name: str) -> Callable[[DomainEvent], Any]:
    async def handler(event: DomainEvent) -> None:
        seen.append(name)

    return handler


def raises(error: BaseException) -> Callable[[DomainEvent], Any]:
    async def handler(event: DomainEvent) -> None:
        raise error

    return handler
