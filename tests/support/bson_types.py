"""A value of every type that BSON has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson

ID = bson.ObjectId("65b9f1a0" + "00" * 8)
UNIQUE = UUID("019abf3e-77d1-7000-8000-000000000001")

EVERY_TYPE: dict[str, Any] = {
    "double": 12.5,
    "whole double": 5.0,
    "minus zero": -0.0,
    "large": 1e300,
    "text": "é \x7f\u202e\n",
    "object": {"a": {}, "": [], "$other": 1, "a.b": 2},
    "array": [[], None, [1, 2.5]],
    "bytes": b"abc",
    "binary": bson.Binary(b"x", 5),
    "old uuid": bson.Binary(b"x" * 16, 3),
    "old bytes": bson.Binary(b"abc", 2),
    "user": bson.Binary(b"", 128),
    "uuid": UNIQUE,
    "id": ID,
    "true": True,
    "time": datetime(2026, 1, 31, 10, 0, 0, 570_000, UTC),
    "whole second": datetime(2026, 1, 31, 10, tzinfo=UTC),
    "old time": datetime(1900, 1, 31, 10, 0, 0, 1_000, UTC),
    "first time": datetime(1, 1, 1, tzinfo=UTC),
    "last time": datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC),
    "year 36,000,000": bson.DatetimeMS(2**60),
    "null": None,
    "regex": bson.Regex("a.*[é]", "imx"),
    "reference": bson.DBRef("orders", ID, "shop"),
    "schema": {"$ref": "#/orders"},
    "code": bson.Code("f()"),
    "scoped code": bson.Code("f()", {"a": 1, "n": [bson.Int64(3)]}),
    "int": -(2**31),
    "timestamp": bson.Timestamp(2**32 - 1, 2),
    "long": bson.Int64(5),
    "longest": 2**63 - 1,
    "decimal": bson.Decimal128("1.10"),
    "odd decimal": bson.Decimal128("-Infinity"),
    "least": bson.MinKey(),
    "greatest": bson.MaxKey(),
}
