"""The names of attributes: those of the conventions for messaging (version 1.38), and our own.

https://opentelemetry.io/docs/specs/semconv/messaging/ - the package of constants would be one more dependency.
"""

from __future__ import annotations

from typing import Final

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
SUBSCRIPTION: Final = "messaging.destination.subscription.name"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
ERROR_TYPE: Final = "error.type"

ATTEMPT: Final = "craft_events.attempt"
HANDLER: Final = "craft_events.handler"
OUTCOME: Final = "craft_events.outcome"
REPLAY: Final = "craft_events.replay_id"


def of_publish(event_type: str) -> dict[str, str]:
    """Return the attributes of a publish; the event's type is its destination."""
    return {SYSTEM: "craft_events", OPERATION_NAME: "publish", OPERATION_TYPE: "send", DESTINATION: event_type}


def of_process(event_type: str, handler_id: str) -> dict[str, str]:
    """Return the attributes of an attempt; the handler is a subscription of the destination."""
    return {
        SYSTEM: "craft_events",
        OPERATION_NAME: "process",
        OPERATION_TYPE: "process",
        DESTINATION: event_type,
        SUBSCRIPTION: handler_id,
    }


def error_type(error: BaseException) -> str:
    """Return the qualified name of an exception's class."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
