"""A record as a line of an archive file, and whether the line says exactly what the record does.

It is the canonical Extended JSON of `export`: `import --with-delivery` reads it. `_id` is not in it.
"""

from __future__ import annotations

import bson

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.formats import event_json, extended_json
from craft_easy.core.events.store.queries.prune import Copy

_HEAD = 4
"""Bytes of a BSON document before its first element: its length (https://bsonspec.org/spec.html)."""


def exact_line(copy: Copy) -> bytes | None:
    """Return the line of a record, with its end; None where reading it would not give the same bytes again.

    What Extended JSON cannot say exactly is rare: keys that stand twice, text that is not UTF-8, an object that looks
    like a type of its own.
    """
    record = bson.decode(copy.data, event_json.CODEC)
    try:
        line = extended_json.record_line(record, canonical=True)
        said = extended_json.parse(line)
        # what a record of another writer says by its `_id` alone is said outright in a line
        for name in ("event_id", "timestamp"):
            if record.get(name) is None:
                said.pop(name, None)
                if name in record:
                    return None
        is_exact = bson.encode(said, codec_options=CODEC)[_HEAD:] == _without_id(copy)
    except (InvalidEvent, bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError):
        return None
    return f"{line}\n".encode("ascii") if is_exact else None


def _without_id(copy: Copy) -> bytes:
    """Return the bytes of a record behind its `_id`, which the server has put first."""
    first = bson.encode({"_id": copy.document["_id"]}, codec_options=CODEC)[_HEAD:-1]
    if not copy.data.startswith(first, _HEAD):
        raise ValueError("_id is not the first field")
    return copy.data[_HEAD + len(first) :]
