"""The event log in MongoDB. Besides `embedded`, no other package imports a driver.

    event_store.py      the façade: append, replay, stream, get
    log.py              the connection to the log, deadlines, the database's time (`connection`, `drivers`, `faults`)
    append.py           inserts, many callers in one write (`group_commit`)
    read.py             the one resumable scan that every listing pages with (`position`)
    deliveries.py       the claim protocol: list, claim, compare-and-set (`counts`: how many)
    worker_registry.py  workers: register, heartbeat, fence
    pauses.py           the paused handlers
    filters.py          selections and claims as conditions of MongoDB; `indexes.py` answers them
    documents.py        event and record, delivery and document (`encoding`: what the log can keep exactly)
    sessions.py         transactions; `change_stream.py` live changes
    formats/            Event JSON and Extended JSON; `queries/` what operations and history ask

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
