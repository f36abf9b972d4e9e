"""The event log in MongoDB. This package is the only one that knows PyMongo."""

from craft_easy.core.events.selection import NO_TENANT
from craft_easy.core.events.store.documents import EventLog
from craft_easy.core.events.store.event_store import AppendResult, EventStore
from craft_easy.core.events.store.inserting import InsertResult

__all__ = ["NO_TENANT", "AppendResult", "EventLog", "EventStore", "InsertResult"]
