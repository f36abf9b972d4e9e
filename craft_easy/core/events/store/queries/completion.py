"""Values of the log for completion at TAB: a few that can be read fast, which need not be complete.

The queries use a synchronous client with short timeouts; an embedded log is not started for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pymongo import MongoClient
from pymongo.collection import Collection

from craft_easy.core.events.embedded import running_uri
from craft_easy.core.events.settings import EMBEDDED, Settings

Kind = Literal["tenant", "type", "handler"]
Records = Collection[dict[str, Any]]

NEWEST: Final = 300
"""The newest records are read first, which is fast on any server; no index lists handlers at all."""
WINDOWS: Final = tuple(timedelta(hours=8**power) for power in range(7))
"""Windows back from now, up to 30 years: the embedded server reads a whole range even with a limit."""
_KEYS: Final = {"tenant": "tenant_id", "type": "event_type", "handler": "delivery.handlers.id"}


def known_values(settings: Settings, kind: Kind, prefix: str, *, timeout_ms: int) -> Iterator[str]:
    """Yield values of the log that begin with the prefix, those of the newest records first; some repeat.

    Args:
        settings: the settings of the log.
        kind: tenants, event types, or the ids of the newest records' handlers.
        prefix: the first letters.
        timeout_ms: milliseconds for each step, connecting or a reply.

    Raises:
        PyMongoError: the server cannot be reached, or not in time.
    """
    uri: str | None = settings.uri.value
    if settings.uri.value.startswith(EMBEDDED):
        uri = running_uri(settings.uri.value.removeprefix(EMBEDDED))
    if uri is None:
        return
    client: MongoClient[dict[str, Any]] = MongoClient(
        uri,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
        readPreference="secondaryPreferred",
    )
    with client:
        records = client[settings.database.value][settings.collection.value]
        for values in (_newest(records, kind), _all(records, kind, prefix)):
            for value in values:
                if isinstance(value, str) and value.startswith(prefix):
                    yield value


def _newest(records: Records, kind: Kind) -> Iterator[Any]:
    """Yield the values of the newest records, window by window."""
    now, until, number = datetime.now(UTC), None, 0
    for length in WINDOWS:
        window = {"$gte": now - length} | ({"$lt": until} if until else {})
        cursor = records.find({"timestamp": window}, {"_id": 0, _KEYS[kind]: 1})
        for record in cursor.sort("timestamp", -1).limit(NEWEST):
            number += 1
            yield from _values(record, kind)
        if number >= NEWEST:
            return
        until = now - length


def _values(record: Mapping[str, Any], kind: Kind) -> list[Any]:
    if kind != "handler":
        return [record.get(_KEYS[kind])]
    return [handler.get("id") for handler in (record.get("delivery") or {}).get("handlers", ())]


def _all(records: Records, kind: Kind, prefix: str) -> Iterator[Any]:
    """Yield every value with this prefix; MongoDB reads each with one step in an index."""
    if kind == "handler":
        return
    begins = {"$regex": f"^{re.escape(prefix)}"} if prefix else {"$gt": ""}
    yield from records.distinct(_KEYS[kind], {_KEYS[kind]: begins})
