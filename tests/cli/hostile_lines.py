"""Lines of events, good and bad, and what is wrong with them."""

from __future__ import annotations

import gzip
import json
from typing import Any, Final

from tests.support.history import HOSTILE


def line(number: int = 1, **fields: Any) -> bytes:
    """Return a line of Event JSON, without its newline."""
    said = {"event_id": f"e{number}", "event_type": "order.placed", "timestamp": "2026-01-31T10:00:00Z"}
    return json.dumps(said | fields).encode()


def nested(levels: int) -> bytes:
    return line(payload={"deep": "X"}).replace(b'"X"', b'{"a":' * levels + b"1" + b"}" * levels)


def with_payload(text: str) -> bytes:
    return line(payload={"value": "X"}).replace(b'"X"', text.encode())


CUT_OFF = gzip.compress(b"".join(line(number) + b"\n" for number in range(9_000, 9_050)))[:-9]
FINE = line(99) + b"\n"

NO_IDS: list[Any] = [None, "", [], {}, True, 5, 1.5]
NO_TYPES: list[Any] = [None, "", [], {}, 5]
NO_TENANTS: list[Any] = [[], {}, True, 5]
NO_TIMES: list[Any] = [
    None,
    "",
    "2026-01-31T10:00:00",
    "2026-02-30T10:00:00Z",
    5,
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "9999-99-99T99:99:99Z",
]
NAMED: Final = {1: "timestamp: is missing", 3: "has no zone", 4: "is not an existing time"}

Table = dict[str, tuple[bytes, int, dict[int, str]]]
HOSTILE_INPUT: Table = {
    "an empty file": (b"", 0, {}),
    "blank lines": (b"\n  \n\t\r\n", 0, {}),
    "a BOM and CRLF": (b"\xef\xbb\xbf" + line(1) + b"\r\n\r\n" + line(2) + b"\r\n", 2, {}),
    "gzip under a plain name": (gzip.compress(FINE), 1, {}),
    "gzip in two members": (gzip.compress(FINE) + gzip.compress(line(1)), 2, {}),
    "gzip that was cut off": (CUT_OFF, 50, {51: "the gzip data end too early"}),
    "gzip with trailing data": (gzip.compress(FINE) + b"tail", 1, {2: "other data follow the gzip data"}),
    "UTF-16": ((FINE.decode() + "x").encode("utf-16"), 0, {1: "iconv -f UTF-16", 2: "JSON: "}),
    "Latin-1": (b'{"a": "\xe9"}\n' + FINE, 1, {1: "not UTF-8: byte 8 of the line"}),
    "a truncated last line": (FINE + line(1)[:-3], 1, {2: "may be cut off"}),
    "a last line without a newline": (FINE + line(1), 2, {}),
    "no JSON": (b"nonsense\n" + FINE, 1, {1: "JSON: expecting value at character 1"}),
    "two values": (line(1) + b" " + line(2) + b"\n" + FINE, 1, {1: "JSON: extra data"}),
    "an array": (b"[" + line(1) + b"]\n" + FINE, 1, {1: "not an array"}),
    "a number, null and a text": (b'5\nnull\n"x"\n' + FINE, 1, dict.fromkeys((1, 2, 3), "an event is an object")),
    "nesting of 95 below the payload": (nested(95), 1, {}),
    "nesting of 101": (nested(101) + b"\n" + FINE, 1, {1: "more than 97 levels"}),
    "nesting of 100,000": (nested(100_000) + b"\n" + FINE, 1, {1: "more than 97 levels"}),
    "NaN": (with_payload("NaN") + b"\n" + FINE, 1, {1: "JSON: NaN is not a number"}),
    "1e999": (with_payload("1e999") + b"\n" + FINE, 1, {1: "larger than any float"}),
    "2**63": (with_payload(str(2**63)) + b"\n" + FINE, 1, {1: "takes more than 64 bits"}),
    "a 5,000-digit integer": (with_payload("1" * 5_000) + b"\n" + FINE, 1, {1: "takes more than 64 bits"}),
    "duplicate keys": (with_payload('{"a": 1, "a": 2}') + b"\n" + FINE, 1, {1: 'the key "a" appears twice'}),
    "a lone surrogate": (with_payload(r'"\ud800"') + b"\n" + FINE, 1, {1: "payload.value: a lone surrogate"}),
    "NUL in a key": (with_payload(r'{"\u0000": 1}') + b"\n" + FINE, 1, {1: "a key that holds NUL"}),
    "NUL in a value": (with_payload(r'"\u0000"'), 1, {}),
    "a 16 MB record": (with_payload('"' + "x" * 16_000_000 + '"') + b"\n" + FINE, 1, {1: "15,728,640 are allowed"}),
    "$oid zz": (with_payload('{"$oid": "zz"}') + b"\n" + FINE, 1, {1: '$oid: "zz" is not a valid value'}),
    "$date out of range": (
        with_payload('{"$date": {"$numberLong": "9223372036854775808"}}') + b"\n" + FINE,
        1,
        {1: "is not a valid value"},
    ),
    "$numberLong past 64 bits": (
        with_payload('{"$numberLong": "99999999999999999999"}') + b"\n" + FINE,
        1,
        {1: "is not a valid value"},
    ),
    "bad base64": (
        with_payload('{"$binary": {"base64": "?", "subType": "00"}}') + b"\n" + FINE,
        1,
        {1: '$binary: {"base64": "?", "subType": "00"} is not a valid value'},
    ),
    "$numberDecimal past its range": (
        with_payload('{"$numberDecimal": "1E9999"}') + b"\n" + FINE,
        1,
        {1: '$numberDecimal: "1E9999" is not a valid value'},
    ),
    "$code": (with_payload('{"$code": "while (1);"}'), 1, {}),
    "$code of a number": (with_payload('{"$code": 5}') + b"\n" + FINE, 1, {1: "$code: 5 is not a valid value"}),
    "invalid ids": (
        b"\n".join([*(line(event_id=one) for one in NO_IDS), FINE]),
        1,
        {1: "event_id: is missing", 2: "event_id: is empty", **dict.fromkeys(range(3, 8), "event_id: is not text")},
    ),
    "invalid types": (
        b"\n".join([*(line(event_type=one) for one in NO_TYPES), FINE]),
        1,
        {1: "event_type: is missing", 2: "event_type: is empty", **dict.fromkeys((3, 4, 5), "event_type: is not text")},
    ),
    "invalid tenants": (
        b"\n".join([*(line(tenant_id=one) for one in NO_TENANTS), line(tenant_id=None), FINE]),
        2,
        dict.fromkeys(range(1, 5), "tenant_id: is not text"),
    ),
    "invalid times": (
        b"\n".join([*(line(timestamp=one) for one in NO_TIMES), FINE]),
        1,
        dict.fromkeys(range(1, 9), "timestamp: ") | NAMED,
    ),
    "extreme times": (
        line(1, timestamp="0001-01-01T00:00:00Z") + b"\n" + line(2, timestamp="9999-12-31T23:59:59.999Z"),
        2,
        {},
    ),
    "a type of 1 MB": (line(event_type="t" * 1_000_000), 1, {}),
    "texts with control characters": (line(tenant_id=HOSTILE) + b"\n\x1b[31m\n" + FINE, 2, {2: "JSON: "}),
}  # fmt: skip
