"""Values that the log holds, for completion at TAB: few, fast, and nothing that matters hangs on them.

A server on this machine that asks for no login is spoken to without the driver, whose import takes longer than the
answer; any other through a synchronous client. An embedded log is asked only where it runs already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from craft_easy.core.events.embedded import wire
from craft_easy.core.events.embedded.directory import Note
from craft_easy.core.events.settings import EMBEDDED, Settings

Kind = Literal["tenant", "type", "handler"]
Ask = Callable[[dict[str, Any]], Mapping[str, Any]]

NEWEST: Final = 300
"""So many of the newest records are looked at first, which is fast on any server; no index lists handlers at all."""
WINDOWS: Final = tuple(timedelta(hours=8**power) for power in range(7))
"""Closed windows back from now, up to 30 years: the embedded server reads a whole range whatever the limit is."""
_KEYS: Final = {"tenant": "tenant_id", "type": "event_type", "handler": "delivery.handlers.id"}
_PLAIN: Final = re.compile(
    r"mongodb://(?:localhost|127\.0\.0\.1)(?::([0-9]+))?(?:/[^?]*)?(\?(?!.*(?:tls|ssl)).*)?", re.IGNORECASE
)
_DEFAULT_PORT: Final = 27017


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
    ask = _asker(settings, timeout_ms)
    if ask is None:
        return
    for values in (_newest, _all):
        for value in values(ask, settings.collection.value, kind, prefix):
            if isinstance(value, str) and value.startswith(prefix):
                yield value


def _newest(ask: Ask, collection: str, kind: Kind, _prefix: str) -> Iterator[Any]:
    """Yield the values of the newest records, window by window."""
    now, until, found = datetime.now(UTC), None, 0
    for length in WINDOWS:
        window = {"$gte": now - length} | ({"$lt": until} if until else {})
        answer = ask(
            {
                "find": collection,
                "filter": {"timestamp": window},
                "projection": {"_id": 0, _KEYS[kind]: 1},
                "sort": {"timestamp": -1},
                "limit": NEWEST,
                "batchSize": NEWEST,
                "singleBatch": True,
            }
        )
        for record in answer.get("cursor", {}).get("firstBatch", ()):
            found += 1
            yield from _values(record, kind)
        if found >= NEWEST:
            return
        until = now - length


def _values(record: Mapping[str, Any], kind: Kind) -> list[Any]:
    if kind != "handler":
        return [record.get(_KEYS[kind])]
    return [one.get("id") for one in (record.get("delivery") or {}).get("handlers", ())]


def _all(ask: Ask, collection: str, kind: Kind, prefix: str) -> Iterator[Any]:
    """Yield every value with this prefix; MongoDB reads them off an index, one step for each."""
    if kind == "handler":
        return
    key = _KEYS[kind]
    begins = {"$regex": f"^{re.escape(prefix)}"} if prefix else {"$gt": ""}
    yield from ask({"distinct": collection, "key": key, "query": {key: begins}}).get("values", ())


def _asker(settings: Settings, timeout_ms: int) -> Ask | None:
    """Return what asks the server, one command at a time; None where an embedded log does not run."""
    uri = settings.uri.value
    port = _port(uri)
    if port is None and uri.startswith(EMBEDDED):
        return None
    if port is None:
        return _driver(uri, settings.database.value, timeout_ms)
    extra = {"$db": settings.database.value, "$readPreference": {"mode": "secondaryPreferred"}}
    return lambda command: wire.ask(port, command | extra, timeout=timeout_ms / 1000) or {}


def _port(uri: str) -> int | None:
    """Return the port of a server on this machine that is reached without a login."""
    if uri.startswith(EMBEDDED):
        note = Note.read(Path(uri.removeprefix(EMBEDDED)).expanduser() / "server.json")
        return note.port if note else None
    plain = _PLAIN.fullmatch(uri)
    return int(plain[1] or _DEFAULT_PORT) if plain else None


def _driver(uri: str, database: str, timeout_ms: int) -> Ask:
    from pymongo import MongoClient

    client: MongoClient[dict[str, Any]] = MongoClient(
        uri,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
        readPreference="secondaryPreferred",
    )
    return lambda command: client[database].command(command | {"maxTimeMS": timeout_ms})
