"""Lines of every kind: a record that is read back unchanged, or a refusal, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import bson
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.formats import event_json
from craft_easy.core.events.store.formats.extended_json import is_ambiguous, parse, record_line
from craft_easy.core.events.store.formats.incoming import Reading, record_of

READING = Reading(datetime(2026, 1, 31, tzinfo=UTC), with_delivery=True)
TYPES = ("$oid", "$date", "$binary", "$numberLong", "$numberDouble", "$code", "$scope", "$timestamp", "$ref", "$id")
NAMES = ("handlers", "state", "id", "errors", "rev", "due_at", "base64", "subType", "t", "i", "pending")
PARTS = ("event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload", "delivery", "redacted", "_id")
TEXTS = st.sampled_from(["", "e", "done", "2026-01-31T10:00:00Z", "1", "NaN", "00", "65b9f1a0" * 3, "\ud800", "\0"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | TEXTS
KEYS = st.sampled_from(TYPES + NAMES) | st.text(max_size=3)
VALUES: Any = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
EVENT = st.fixed_dictionaries(
    {"event_id": st.just("e"), "event_type": st.just("t"), "timestamp": st.just("2026-01-31T10:00:00Z")},
    optional={"payload": st.dictionaries(KEYS, VALUES, max_size=3), "tenant_id": SCALARS, "delivery": VALUES},
)
DOCUMENTS: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5)
    | st.binary(max_size=5)
    | st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
    | st.uuids()
    | st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("a", "", "$ref", "é")), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(PARTS), VALUES) | EVENT | VALUES)
def test_a_line_becomes_a_record_or_is_refused(line: Any) -> None:
    with suppress(InvalidEvent):
        record = record_of(parse(json.dumps(line)), READING)
        bson.encode(record, codec_options=CODEC)


def read(data: bytes) -> dict[str, Any]:
    """Return a record in the form that writers of lines get from the log."""
    record: dict[str, Any] = bson.decode(data, event_json.CODEC)
    return record


@given(st.dictionaries(st.sampled_from(("a", "b", "é")), DOCUMENTS), st.booleans())
def test_a_record_is_read_again_as_it_was(payload: dict[str, Any], canonical: bool) -> None:
    record = {"event_id": "e", "event_type": "t", "payload": payload, "timestamp": READING.at}
    data = bson.encode(record, codec_options=CODEC)
    line = record_line(read(data), canonical=canonical)
    again = record_of(parse(line), READING)
    assert not is_ambiguous(record, line)
    assert record_line(read(bson.encode(again, codec_options=CODEC)), canonical=canonical) == line
    if canonical:
        assert bson.encode({name: again[name] for name in record}, codec_options=CODEC) == data
