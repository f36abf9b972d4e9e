"""Values that the log holds, for completion at TAB: few, fast, and nothing that matters hangs on them.

A synchronous client of its own, since an event loop would cost more than the question; an embedded log is asked only
where it runs already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from pymongo import MongoClient
from pymongo.collection import Collection

from craft_easy.core.events.settings import EMBEDDED, Settings

Kind = Literal["tenant", "type", "handler"]

NEWEST: Final = 300
"""So many of the newest records are looked at first, which is fast on any server; no index lists handlers at all."""
WINDOWS: Final = tuple(timedelta(hours=8**power) for power in range(7))
"""Closed windows back from now, up to 30 years: the embedded server reads a whole range whatever the limit is."""
_KEYS: Final = {"tenant": "tenant_id", "type": "event_type", "handler": "delivery.handlers.id"}


def known_values(settings: Settings, kind: Kind, prefix: str, *, timeout_ms: int) -> Iterator[str]:
    """Yield values of the log that begin with the prefix, those of the newest records first, some more than once.

    Args:
        settings: where the log is.
        kind: tenants, event types, or the ids of the newest records' handlers.
        prefix: the first letters.
        timeout_ms: milliseconds for each step of the way there.

    Raises:
        PyMongoError: the server cannot be reached, or not in time.
    """
    address = _address(settings.uri.value)
    if address is None:
        return
    client: MongoClient[dict[str, Any]] = MongoClient(
        address,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
        readPreference="secondaryPreferred",
    )
    records = client[settings.database.value][settings.collection.value]
    for value in chain(_newest(records, kind, timeout_ms), _all(records, kind, prefix, timeout_ms)):
        if isinstance(value, str) and value.startswith(prefix):
            yield value


def _newest(records: Collection[dict[str, Any]], kind: Kind, timeout_ms: int) -> Iterator[Any]:
    """Yield the values of the newest records, window by window."""
    now, until, found = datetime.now(UTC), None, 0
    for length in WINDOWS:
        bounds = {"$gte": now - length} | ({"$lt": until} if until else {})
        for record in records.find(
            {"timestamp": bounds},
            {"_id": 0, _KEYS[kind]: 1},
            sort=[("timestamp", -1)],
            limit=NEWEST,
            max_time_ms=timeout_ms,
        ):
            found += 1
            yield from _values(record, kind)
        if found >= NEWEST:
            return
        until = now - length


def _values(record: Mapping[str, Any], kind: Kind) -> list[Any]:
    if kind != "handler":
        return [record.get(_KEYS[kind])]
    return [one.get("id") for one in (record.get("delivery") or {}).get("handlers", ())]


def _all(records: Collection[dict[str, Any]], kind: Kind, prefix: str, timeout_ms: int) -> Iterator[Any]:
    """Yield every value with this prefix; MongoDB reads them off an index, one step for each."""
    if kind == "handler":
        return
    key = _KEYS[kind]
    begins = {"$regex": f"^{re.escape(prefix)}"} if prefix else {"$gt": ""}
    answer = records.database.command("distinct", records.name, key=key, query={key: begins}, maxTimeMS=timeout_ms)
    yield from answer["values"]


def _address(uri: str) -> str | None:
    """Return the address to connect to; None where an embedded log does not run."""
    if not uri.startswith(EMBEDDED):
        return uri
    from craft_easy.core.events.embedded.directory import Note

    note = Note.read(Path(uri.removeprefix(EMBEDDED)).expanduser() / "server.json")
    return f"mongodb://127.0.0.1:{note.port}/?directConnection=true" if note else None
