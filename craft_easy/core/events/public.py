"""The table of names that are imported at their first use.

It spares a help page the import of Pydantic, and completion at TAB all but PyMongo: with plain imports both would take
nearly twice as long.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

ROOT: Final = "craft_easy.core.events"
MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    ROOT: {
        "CurrentDelivery": "handlers.context",
        "Discard": "model.retry",
        "DeliverMiddleware": "handlers.middleware",
        "DeliverNext": "handlers.middleware",
        "DomainEvent": "model.event",
        "EventBus": "bus",
        "Middleware": "handlers.middleware",
        "PublishMiddleware": "handlers.middleware",
        "PublishNext": "handlers.middleware",
        "Retry": "model.retry",
        "RetryPolicy": "model.retry",
        "current_delivery": "handlers.context",
        "event_handler": "process_bus",
        "get_event_bus": "process_bus",
        "with_trace_context": "model.event",
        # internal: the bus needs these only once it has a store
        "Publisher": "engine.publisher",
        "begin": "engine.outbox",
        "begin_suppressed": "engine.outbox",
        "PlainTransactions": "engine.sinks",
    },
    f"{ROOT}.store": {
        "NO_TENANT": "model.selection",
        "AppendResult": "store.event_store",
        "EventLog": "store.documents",
        "EventStore": "store.event_store",
        "InsertResult": "store.append",
    },
}


def load(package: str, name: str) -> Any:
    """Import a public name of a package, for its `__getattr__`.

    Raises:
        AttributeError: the package has no such name.
    """
    module = MODULES[package].get(name)
    if module is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(import_module(f"{ROOT}.{module}"), name)
    setattr(sys.modules[package], name, value)
    return value
