"""Events: a bus, and a log that loses none.

    from craft_easy.core.events import DomainEvent, event_handler, get_event_bus

Each name besides the errors is imported at its first use, so that a program pays only for the parts that it needs:
without a store, for no driver. See `public`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from craft_easy.core.events import public
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

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.engine.outbox import begin as begin
    from craft_easy.core.events.engine.outbox import begin_suppressed as begin_suppressed
    from craft_easy.core.events.engine.publisher import Publisher as Publisher
    from craft_easy.core.events.engine.sinks import PlainTransactions as PlainTransactions
    from craft_easy.core.events.handlers.context import CurrentDelivery, current_delivery
    from craft_easy.core.events.handlers.middleware import (
        DeliverMiddleware,
        DeliverNext,
        Middleware,
        PublishMiddleware,
        PublishNext,
    )
    from craft_easy.core.events.model.event import DomainEvent, with_trace_context
    from craft_easy.core.events.model.retry import Discard, Retry, RetryPolicy
    from craft_easy.core.events.process_bus import event_handler, get_event_bus

__all__ = [
    "CheckpointError",
    "CommitUnknown",
    "CurrentDelivery",
    "DeliverMiddleware",
    "DeliverNext",
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
    "Middleware",
    "NoDelivery",
    "PublishMiddleware",
    "PublishNext",
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
    "with_trace_context",
]


def __getattr__(name: str) -> Any:
    return public.load(__name__, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
