"""Events: a bus, and a log that loses none.

    from craft_easy.core.events import DomainEvent, event_handler, get_event_bus

What is named here is imported when it is first used, so that a part costs only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus, event_handler, get_event_bus
    from craft_easy.core.events.current import current_delivery
    from craft_easy.core.events.errors import (
        CheckpointError,
        CommitUnknown,
        DeliveryOver,
        EmbeddedLogError,
        EventConflict,
        EventsError,
        HandlerModuleError,
        HandlerNotFound,
        InvalidEvent,
        InvalidSetting,
        RecordRefused,
        StoreError,
        StoreLoginRefused,
        StoreUnavailable,
        TransactionsMissing,
        WrongDeployment,
    )
    from craft_easy.core.events.handlers.context import CurrentDelivery
    from craft_easy.core.events.model.event import DomainEvent
    from craft_easy.core.events.model.retry import Discard, Retry, RetryPolicy

__all__ = [
    "CheckpointError",
    "CommitUnknown",
    "CurrentDelivery",
    "DeliveryOver",
    "Discard",
    "DomainEvent",
    "EmbeddedLogError",
    "EventBus",
    "EventConflict",
    "EventsError",
    "HandlerModuleError",
    "HandlerNotFound",
    "InvalidEvent",
    "InvalidSetting",
    "RecordRefused",
    "Retry",
    "RetryPolicy",
    "StoreError",
    "StoreLoginRefused",
    "StoreUnavailable",
    "TransactionsMissing",
    "WrongDeployment",
    "current_delivery",
    "event_handler",
    "get_event_bus",
]

_HOMES: Final = {
    "CurrentDelivery": "handlers.context",
    "Discard": "model.retry",
    "DomainEvent": "model.event",
    "EventBus": "bus",
    "Retry": "model.retry",
    "RetryPolicy": "model.retry",
    "current_delivery": "current",
    "event_handler": "bus",
    "get_event_bus": "bus",
}
"""The module of each name; every other is in `errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
