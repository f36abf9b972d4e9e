"""The size of an entry of MongoDB's indexes, computed from the format of its keys.

A key is each value with a byte for its type, a byte at the end, and the RecordId (the server's `KeyString`,
src/mongo/db/storage/key_string/key_string.cpp). WiredTiger stores keys in pages of 16 KiB, omits the prefix that a key
shares with the one before it (`prefix_compression`, from four bytes on) and writes two or three bytes before the rest.
An entry whose values are null, texts, dates and ObjectIds has no value in addition to its key.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

Value = str | datetime | bytes | None
"""The types of values in the log's indexes; bytes stand for an ObjectId."""

_END: Final = b"\x04"
_PAGE_FILL: Final = 0.9
"""The used share of a page if keys are inserted in order: WiredTiger splits a full page at it (`split_pct`)."""
_SHORTEST_PREFIX: Final = 4
_LONGEST_PREFIX: Final = 255


def key(values: Sequence[Value], record_id: int) -> bytes:
    """Return the key of an index entry."""
    return b"".join(map(_encoded, values)) + _END + _record_id(record_id)


def _encoded(value: Value) -> bytes:
    match value:
        case None:
            return b"\x14"
        case str():
            return b"\x3c" + value.encode().replace(b"\0", b"\0\xff") + b"\0"
        case datetime():
            return b"\x78" + struct.pack(">Q", int(value.timestamp() * 1000) ^ 1 << 63)
        case bytes():
            return b"\x64" + value


def _record_id(number: int) -> bytes:
    """Encode a RecordId: three bits at either end contain the number of bytes between them, the rest is the number."""
    between = max(0, -(-(number.bit_length() - 10) // 8))
    whole = between << (8 * between + 13) | number << 3 | between
    return whole.to_bytes(between + 2, "big")


def stored(keys: Iterable[bytes]) -> float:
    """Return the mean size in the file of neighbouring entries, in their order."""
    sizes = [_cell(before, after) for before, after in pairwise(keys)]
    return sum(sizes) / len(sizes) / _PAGE_FILL


def _cell(before: bytes, after: bytes) -> int:
    shared = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    shared = 0 if shared < _SHORTEST_PREFIX else min(shared, _LONGEST_PREFIX)
    left = len(after) - shared
    return left + (1 if left < 64 else 2) + (shared > 0)


def times(began: datetime, every_ms: float, count: int) -> Iterator[datetime]:
    """Yield the times of successive events."""
    return (began + timedelta(milliseconds=int(every_ms * number)) for number in range(count))


def event_id(at: datetime) -> str:
    """Return a UUID of version 7 with this time."""
    digits = f"{int(at.timestamp() * 1000):012x}7{os.urandom(10).hex()}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-8{digits[17:20]}-{digits[20:32]}"
