"""The event log in MongoDB. This package is the only one that knows PyMongo.

What is named here is imported when it is first used: completion at TAB has no time for Pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import NO_TENANT
    from craft_easy.core.events.store.append import InsertResult
    from craft_easy.core.events.store.documents import EventLog
    from craft_easy.core.events.store.event_store import AppendResult, EventStore

__all__ = ["NO_TENANT", "AppendResult", "EventLog", "EventStore", "InsertResult"]

_HOMES: Final = {
    "NO_TENANT": "craft_easy.core.events.model.selection",
    "AppendResult": "craft_easy.core.events.store.event_store",
    "EventLog": "craft_easy.core.events.store.documents",
    "EventStore": "craft_easy.core.events.store.event_store",
    "InsertResult": "craft_easy.core.events.store.append",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
