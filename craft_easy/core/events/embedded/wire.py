"""One question to a MongoDB server, without a driver: asking who listens on a port must cost nothing to import.

An OP_MSG with one section of kind 0 (MongoDB manual, "MongoDB Wire Protocol"), its body in the few BSON types that such
questions and answers need (bsonspec.org, version 1.1).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_OP_MSG: Final = 2013
_HEADER: Final = struct.Struct("<iiii")
_MAX_REPLY: Final = 1 << 20
_SIZES: Final = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x11: 8, 0x13: 16}
"""How long a value is, for the types that are passed over: double, ObjectId, bool, date, null, timestamp, decimal."""


def ask(port: int, command: Mapping[str, Any], *, timeout: float) -> dict[str, Any] | None:
    """Send a command to 127.0.0.1 and return the answer; None where none came in time or it is no MongoDB's."""
    body = b"\0\0\0\0\0" + encode(command)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_HEADER.pack(_HEADER.size + len(body), 1, 0, _OP_MSG) + body)
            length, _, _, operation = _HEADER.unpack(_receive(connection, _HEADER.size))
            if operation != _OP_MSG or not _HEADER.size < length <= _MAX_REPLY:
                return None
            return decode(_receive(connection, length - _HEADER.size)[5:])
    except (OSError, ValueError, IndexError, struct.error):
        return None


def _receive(connection: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = connection.recv(length - len(chunks))
        if not chunk:
            raise ConnectionResetError("the answer ends too soon")
        chunks += chunk
    return bytes(chunks)


def encode(document: Mapping[str, Any]) -> bytes:
    """Write a document of texts, integers, truth values, times, documents and lists as BSON."""
    elements = b"".join(_element(name.encode() + b"\0", value) for name, value in document.items())
    return struct.pack("<i", len(elements) + 5) + elements + b"\0"


def _element(name: bytes, value: Any) -> bytes:
    match value:
        case bool():
            return b"\x08" + name + bytes([value])
        case int():
            return b"\x12" + name + struct.pack("<q", value)
        case str():
            text = value.encode() + b"\0"
            return b"\x02" + name + struct.pack("<i", len(text)) + text
        case datetime():
            return b"\x09" + name + struct.pack("<q", round(value.timestamp() * 1000))
        case list():
            return b"\x04" + name + encode({str(index): each for index, each in enumerate(value)})
        case _:
            return b"\x03" + name + encode(value)


def decode(data: bytes) -> dict[str, Any]:
    """Read the texts, integers, documents and lists of a BSON document; other values are left out.

    Raises:
        ValueError, IndexError, struct.error: it is no BSON, or has a type that no answer has.
    """
    (length,) = struct.unpack_from("<i", data)
    found: dict[str, Any] = {}
    at = 4
    while at < length - 1:
        end = data.index(b"\0", at + 1)
        name, kind = data[at + 1 : end].decode(), data[at]
        at = _value(kind, data, end + 1, found, name)
    return found


def _value(kind: int, data: bytes, at: int, found: dict[str, Any], name: str) -> int:
    """Read one value into `found` and return where the next element begins."""
    if kind in _SIZES:
        return at + _SIZES[kind]
    if kind == 0x12:
        found[name] = struct.unpack_from("<q", data, at)[0]
        return at + 8
    size: int = struct.unpack_from("<i", data, at)[0]
    match kind:
        case 0x10:
            found[name], size = size, 4
        case 0x02:
            found[name], size = data[at + 4 : at + 3 + size].decode(), size + 4
        case 0x03 | 0x04:
            inner = decode(data[at : at + size])
            found[name] = inner if kind == 0x03 else list(inner.values())
        case 0x05:
            size += 5
        case _:
            raise ValueError(f"BSON type {kind:#x}")
    if size < 4:
        raise ValueError("a value ends before it begins")
    return at + size
