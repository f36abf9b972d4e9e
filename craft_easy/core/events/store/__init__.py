"""The event log in MongoDB: appending, reading, claiming. No other package imports a driver.

May import `handlers`, `embedded`, `model`, `settings` and what is below them. Its public names are imported at their
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from craft_easy.core.events import public

if TYPE_CHECKING:
    from craft_easy.core.events.model.selection import NO_TENANT
    from craft_easy.core.events.store.append import InsertResult
    from craft_easy.core.events.store.documents import EventLog
    from craft_easy.core.events.store.event_store import AppendResult, EventStore

__all__ = ["NO_TENANT", "AppendResult", "EventLog", "EventStore", "InsertResult"]


def __getattr__(name: str) -> Any:
    return public.load(__name__, name)
