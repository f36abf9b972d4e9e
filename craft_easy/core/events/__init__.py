"""Events: a bus, and a log that loses none.

    from craft_easy.core.events import DomainEvent, event_handler, get_event_bus

Each name is imported when it is first used, so that a program pays only for the parts that it needs: without a store,
for no driver. This is the only place in the library where imports are lazy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus, event_handler, get_event_bus
    from craft_easy.core.events.engine.outbox import begin as begin
    from craft_easy.core.events.engine.outbox import begin_suppressed as begin_suppressed
    from craft_easy.core.events.engine.publisher import Publisher as Publisher
    from craft_easy.core.events.engine.sinks import PlainTransactions as PlainTransactions
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
        NoDelivery,
        RecordRefused,
        StoreError,
        StoreLoginRefused,
        StoreUnavailable,
        TransactionsMissing,
        WrongDeployment,
    )
    from craft_easy.core.events.handlers.context import CurrentDelivery, current_delivery
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
    "NoDelivery",
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

_MODULES: Final = {
    "CurrentDelivery": "handlers.context",
    "Discard": "model.retry",
    "DomainEvent": "model.event",
    "EventBus": "bus",
    "Retry": "model.retry",
    "RetryPolicy": "model.retry",
    "current_delivery": "handlers.context",
    "event_handler": "bus",
    "get_event_bus": "bus",
    # internal: what the bus needs only once there is a store
    "Publisher": "engine.publisher",
    "begin": "engine.outbox",
    "begin_suppressed": "engine.outbox",
    "PlainTransactions": "engine.sinks",
}
"""The module of each name; every other public name is in `errors`."""


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name, "errors" if name in __all__ else None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
