"""A record as Event JSON: the keys and their order, every BSON value and back, records of other programs."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st

from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.store import encoding
from craft_easy.core.events.store.documents import to_document
from craft_easy.core.events.store.formats.event_json import CODEC, line, lines, text_of, to_json

KEYS = [
    "event_id",
    "event_type",
    "timestamp",
    "tenant_id",
    "actor_id",
    "payload",
    "causation_id",
    "correlation_id",
    "delivery",
]
AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
ID = bson.ObjectId("65b9f1a0" + "00" * 8)
EXTENDED = json_util.JSONOptions(
    uuid_representation=UuidRepresentation.STANDARD, datetime_conversion=DatetimeConversion.DATETIME_MS
)


def record(**fields: Any) -> dict[str, Any]:
    return {
        "_id": ID,
        "event_id": "019abf3e-0000-7000-8000-000000000001",
        "event_type": "payment.completed",
        "tenant_id": "acme",
        "actor_id": "user_77",
        "payload": {"payment_id": "p_1", "amount": 12.5},
        "timestamp": AT,
    } | fields


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """Send a record through BSON, like the log."""
    return decoded(encoded(document))


def encoded(document: dict[str, Any]) -> bytes:
    return bson.encode(document, codec_options=encoding.CODEC)


def decoded(data: bytes, codec: CodecOptions[dict[str, Any]] = CODEC) -> dict[str, Any]:
    return bson.decode(data, codec)


def shown(document: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(line(stored(document)))
    return described


def tracked(*handlers: str, **fields: Any) -> dict[str, Any]:
    return to_document(Delivery.new(handlers, at=AT, owner="host:1:ab")) | fields


def test_a_record_shows_every_key_in_the_order_of_the_contract() -> None:
    text = line(stored(record()))
    assert text == (
        '{"event_id":"019abf3e-0000-7000-8000-000000000001","event_type":"payment.completed",'
        '"timestamp":"2026-01-31T10:00:00.000Z","tenant_id":"acme","actor_id":"user_77",'
        '"payload":{"payment_id":"p_1","amount":12.5},"causation_id":null,"correlation_id":null,"delivery":null}'
    )
    assert list(json.loads(text)) == KEYS


def test_nulls_and_causes_are_shown_in_their_places() -> None:
    event = shown(record(tenant_id=None, actor_id=None, causation_id="c", correlation_id="r"))
    assert list(event) == KEYS
    assert (event["tenant_id"], event["actor_id"]) == (None, None)
    assert (event["causation_id"], event["correlation_id"]) == ("c", "r")


def test_times_have_three_digits_and_a_z() -> None:
    assert shown(record(timestamp=AT.replace(microsecond=7000)))["timestamp"] == "2026-01-31T10:00:00.007Z"
    assert shown(record(timestamp=datetime(1, 1, 1, tzinfo=UTC)))["timestamp"] == "0001-01-01T00:00:00.000Z"
    assert text_of(AT) == text_of(AT.replace(tzinfo=None)) == "2026-01-31T10:00:00.000Z"


def test_lines_are_a_line_a_record_each_with_its_end() -> None:
    records = [stored(record(actor_id=str(number))) for number in range(3)]
    assert lines(records) == "".join(line(one) + "\n" for one in records).encode()
    assert lines([]) == b""


def test_a_tracked_record_shows_its_delivery_with_times_as_the_envelope_has_them() -> None:
    delivery = shown(record(delivery=tracked("shop.mail:send")))["delivery"]
    assert delivery == {
        "state": "open",
        "owner": "host:1:ab",
        "claimed_at": "2026-01-31T10:00:00.000Z",
        "due_at": "2026-01-31T10:00:00.000Z",
        "takeovers": 0,
        "finished_at": None,
        "handlers": [
            {
                "id": "shop.mail:send",
                "state": "pending",
                "attempts": 0,
                "budget_from": 0,
                "crashes": 0,
                "due_at": "2026-01-31T10:00:00.000Z",
                "finished_at": None,
                "took_ms": None,
                "errors": [],
                "reason": None,
                "by": None,
            }
        ],
    }
    assert list(delivery) == ["state", "owner", "claimed_at", "due_at", "takeovers", "finished_at", "handlers"]
    assert list(delivery["handlers"][0]) == list(tracked("a")["handlers"][0])


def test_the_errors_of_a_delivery_are_shown_with_their_times() -> None:
    document = tracked("a", "b")
    document["handlers"][0]["errors"] = [{"type": "E", "message": "m\x1b", "at": AT, "attempt": 1}]
    event = shown(record(delivery=document))
    assert event["delivery"]["handlers"][0]["errors"] == [
        {"type": "E", "message": "m\x1b", "at": "2026-01-31T10:00:00.000Z", "attempt": 1}
    ]


def test_a_line_holds_nothing_but_printable_ascii() -> None:
    every = "".join(map(chr, [*range(0x180), 0x2028, 0x202E, 0x2066, 0xFEFF, 0x1F600]))
    text = line(stored(record(event_type=every, tenant_id=every, payload={every.replace("\0", ""): every})))
    assert text.isascii()
    assert text.isprintable()
    assert r"\u007f" in text
    assert json.loads(text)["payload"] == {every.replace("\0", ""): every}


def test_a_lone_surrogate_is_escaped_too() -> None:
    unstorable = record(timestamp=AT.replace(tzinfo=None), tenant_id="\ud800")
    assert json.loads(line(unstorable))["tenant_id"] == "\ud800"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (bson.Int64(2**63 - 1), "9223372036854775807"),
        (True, "true"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
        (math.nan, '{"$numberDouble":"NaN"}'),
        (-math.inf, '{"$numberDouble":"-Infinity"}'),
        (bson.Decimal128("1.50"), '{"$numberDecimal":"1.50"}'),
        (UUID(int=1), '{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAQ==","subType":"04"}}'),
        (b"\xff", '{"$binary":{"base64":"/w==","subType":"00"}}'),
        (bson.Binary(b"x", 128), '{"$binary":{"base64":"eA==","subType":"80"}}'),
        (AT, '{"$date":"2026-01-31T10:00:00Z"}'),
        (AT.replace(microsecond=5000), '{"$date":"2026-01-31T10:00:00.005Z"}'),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), '{"$date":{"$numberLong":"-1000"}}'),
        (bson.DatetimeMS(2**60), '{"$date":{"$numberLong":"1152921504606846976"}}'),
        (ID, '{"$oid":"65b9f1a00000000000000000"}'),
        (bson.Regex("^a", "i"), '{"$regularExpression":{"pattern":"^a","options":"i"}}'),
        (bson.Timestamp(1, 2), '{"$timestamp":{"t":1,"i":2}}'),
        (bson.Code("f()"), '{"$code":"f()"}'),
        (bson.Code("f()", {"x": math.nan}), '{"$code":"f()","$scope":{"x":{"$numberDouble":"NaN"}}}'),
        (bson.MinKey(), '{"$minKey":1}'),
        (bson.MaxKey(), '{"$maxKey":1}'),
        (bson.DBRef("c", 1), '{"$ref":"c","$id":1}'),
        ({"$ref": "#/definitions/x"}, '{"$ref":"#/definitions/x"}'),
        ([1, [b"", {}]], '[1,[{"$binary":{"base64":"","subType":"00"}},{}]]'),
    ],
    ids=repr,
)
def test_a_value_in_a_payload_is_plain_or_relaxed_extended_json(value: Any, text: str) -> None:
    document = stored(record(payload={"value": value}))
    assert f'"payload":{{"value":{text}}},' in line(document)
    assert to_json(document["payload"]) == f'{{"value":{text}}}'


def test_values_as_the_library_decodes_them_are_shown_alike() -> None:
    payload = {"a": bson.Decimal128("1.50"), "b": AT, "c": UUID(int=1), "d": 1.5, "e": math.inf}
    document = encoded(record(payload=payload))
    assert line(decoded(document, encoding.CODEC)) == line(decoded(document))
    assert to_json(Decimal("1.50")) == '{"$numberDecimal":"1.50"}'


def test_a_value_that_only_mongomock_can_store_is_shown_as_text() -> None:
    assert to_json({"value": object}) == '{"value":"<class \'object\'>"}'


def _bson_values() -> st.SearchStrategy[Any]:
    # milliseconds, the precision of BSON
    moments = st.integers(-(2**62), 2**62).map(bson.DatetimeMS)
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=8)
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        texts,
        moments,
        st.binary(max_size=20),
        st.uuids(),
        st.binary(min_size=12, max_size=12).map(bson.ObjectId),
        st.builds(bson.Binary, st.binary(max_size=5), st.sampled_from([1, 5, 6, 128, 255])),
        st.decimals(-(10**20), 10**20, places=3).map(bson.Decimal128),
        st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
        st.builds(bson.Regex, texts.map(lambda text: text.replace("\0", "")), st.sampled_from(["", "i", "im"])),
        texts.map(bson.Code),
        st.just(bson.MinKey()),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=6,
    )


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text("abc.é\x7f", max_size=4), _bson_values(), max_size=5))
def test_decoding_a_line_gives_back_the_stored_payload(payload: dict[str, Any]) -> None:
    document = encoded(record(payload=payload))
    text = line(decoded(document))
    back = json_util.loads(text, json_options=EXTENDED)["payload"]
    assert text.isascii()
    assert _comparable(back) == _comparable(decoded(document, encoding.CODEC)["payload"])


def _comparable(value: Any) -> Any:
    """Return the value in a form that is equal for equal values of different Python types, and for no others."""
    if isinstance(value, dict):
        return {name: _comparable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_comparable(one) for one in value]
    if isinstance(value, (datetime, bson.DatetimeMS)):
        return ("time", int(bson.DatetimeMS(value) if isinstance(value, datetime) else value))
    if isinstance(value, (Decimal, bson.Decimal128)):
        return ("decimal", str(value))
    if isinstance(value, bson.Binary):
        return ("binary", bytes(value), value.subtype)
    if isinstance(value, bool | float):
        return (type(value).__name__, repr(value))
    if isinstance(value, int):
        return int(value)
    return (type(value).__name__, value)


# Records of other programs


def test_a_record_with_nothing_but_an_id_is_shown_as_empty() -> None:
    assert shown({"_id": ID}) == {
        "event_id": "",
        "event_type": "",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "tenant_id": None,
        "actor_id": None,
        "payload": {},
        "causation_id": None,
        "correlation_id": None,
        "delivery": None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": 7},
        {"event_id": None},
        {"event_type": ["a"]},
        {"timestamp": "yesterday"},
        {"timestamp": bson.DatetimeMS(2**60)},
        {"timestamp": bson.Timestamp(1, 1)},
        {"tenant_id": {"$ne": None}},
        {"actor_id": 7},
        {"payload": [1, 2]},
        {"payload": None},
        {"payload": math.nan},
        {"something": "else"},
        {"delivery": "done"},
        {"delivery": {"state": 5, "handlers": [1]}},
        {"delivery": tracked("a", handlers="none")},
        {"delivery": tracked("a", owner=5)},
        {"delivery": tracked("a", due_at="soon")},
        {"delivery": tracked("a", state="asleep")},
        {"delivery": tracked("a") | {"handlers": [tracked("a")["handlers"][0] | {"took_ms": math.nan, "state": 4}]}},
        {"delivery": tracked("a") | {"handlers": [tracked("a")["handlers"][0] | {"errors": [{"type": 1}]}]}},
    ],
    ids=repr,
)
def test_an_unfit_field_is_shown_as_well_as_it_can_be(fields: dict[str, Any]) -> None:
    event = shown(record(**fields))
    assert list(event) == KEYS
    assert isinstance(event["payload"], dict)
    assert event["delivery"] is None or next(iter(event["delivery"])) == "state"


def test_a_missing_field_is_shown_as_null_or_empty() -> None:
    for name in ("tenant_id", "actor_id", "payload", "event_type"):
        document = record()
        del document[name]
        event = shown(document)
        assert not event[name]


def test_a_payload_that_is_not_an_object_is_shown_under_value() -> None:
    assert shown(record(payload=[1, b""]))["payload"] == {
        "value": [1, {"$binary": {"base64": "", "subType": "00"}}],
    }


def test_missing_keys_under_delivery_are_null_zero_or_empty() -> None:
    event = shown(record(delivery={"state": "dead", "handlers": [{"id": "a", "state": "dead"}]}))
    assert event["delivery"]["takeovers"] == 0
    assert event["delivery"]["handlers"][0]["errors"] == []
    assert list(event["delivery"]["handlers"][0]) == list(tracked("a")["handlers"][0])


def test_invalid_utf_8_in_a_record_does_not_make_reading_fail() -> None:
    data = bson.encode(record(payload={"text": "XX"})).replace(b"XX\0", b"\xff\xfe\0")
    assert json.loads(line(decoded(data)))["payload"] == {"text": r"\xff\xfe"}


def test_a_float_that_is_not_finite_in_a_delivery_does_not_make_reading_fail() -> None:
    document = tracked("a")
    document["handlers"][0]["took_ms"] = math.inf
    handler = shown(record(delivery=document))["delivery"]["handlers"][0]
    assert handler["took_ms"] == {"$numberDouble": "Infinity"}


def test_a_boolean_where_a_delivery_has_a_number_is_shown_as_a_number() -> None:
    document = tracked("a", takeovers=True)
    document["handlers"][0] |= {"took_ms": True, "attempts": False}
    delivery = shown(record(delivery=document))["delivery"]
    assert '"took_ms":1,' in line(stored(record(delivery=document)))
    assert (delivery["takeovers"], delivery["handlers"][0]["attempts"]) == (1, 0)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from([*KEYS, "_id", "x"]), _bson_values()))
def test_no_content_of_a_record_makes_a_line_fail(document: dict[str, Any]) -> None:
    text = line(stored(document))
    assert list(json.loads(text))[:9] == KEYS
    assert text.isascii()


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(
        st.sampled_from([*tracked("a"), "x"]),
        _bson_values()
        | st.lists(
            st.dictionaries(st.sampled_from([*tracked("a")["handlers"][0]]), _bson_values(), max_size=4), max_size=2
        ),
        max_size=4,
    )
)
def test_no_content_of_a_delivery_makes_a_line_fail(delivery: dict[str, Any]) -> None:
    event = shown(record(delivery=delivery))
    assert list(event)[:9] == KEYS
    assert isinstance(event["delivery"], dict)
