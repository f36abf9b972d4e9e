"""Extended JSON: every type of BSON in both forms and back, and every refused form with its reason."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.errors import InvalidEvent
from craft_easy.core.events.store.encoding import CODEC
from craft_easy.core.events.store.formats import event_json
from craft_easy.core.events.store.formats.extended_json import is_ambiguous, lines, parse, parse_time, record_line
from tests.support.bson_types import EVERY_TYPE, ID, UNIQUE

DRIVERS = json_util.JSONOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


def stored(document: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(bson.encode(document, codec_options=CODEC), event_json.CODEC)


def written(document: dict[str, Any], *, canonical: bool = False) -> str:
    return record_line(stored({"event_id": "e", "timestamp": EVERY_TYPE["time"], **document}), canonical=canonical)


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_canonical_lines_keep_every_type_to_the_byte(name: str) -> None:
    document = {"payload": {"value": EVERY_TYPE[name]}}
    back = parse(written(document, canonical=True))
    assert bson.encode({"payload": back["payload"]}, codec_options=CODEC) == bson.encode(document, codec_options=CODEC)


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_relaxed_lines_are_the_same_when_they_are_written_again(name: str) -> None:
    line = written({"payload": {"value": EVERY_TYPE[name]}})
    assert written({"payload": parse(line)["payload"]}) == line


@pytest.mark.parametrize("canonical", [False, True])
def test_the_driver_reads_every_line(canonical: bool) -> None:
    line = written({"payload": EVERY_TYPE}, canonical=canonical)
    read = json_util.loads(line, json_options=DRIVERS)["payload"]
    assert read["id"] == ID
    assert read["uuid"] == UNIQUE
    assert read["decimal"] == EVERY_TYPE["decimal"]
    assert read["bytes"] == b"abc"


@pytest.mark.parametrize("canonical", [False, True])
def test_lines_of_the_driver_are_read(canonical: bool) -> None:
    mode = json_util.JSONMode.CANONICAL if canonical else json_util.JSONMode.RELAXED
    options = json_util.JSONOptions(json_mode=mode, uuid_representation=UuidRepresentation.STANDARD)
    read = parse(json_util.dumps(EVERY_TYPE, json_options=options))
    assert {name: read[name] for name in read if name != "reference"} == {
        name: value for name, value in EVERY_TYPE.items() if name != "reference"
    }


def test_a_line_is_ascii_in_the_order_of_the_record_and_has_no_id() -> None:
    record = {"_id": ID, "event_type": "é\x7f\u2028", "event_id": "e", "timestamp": EVERY_TYPE["whole second"], "x": 1}
    assert lines([stored(record)]) == (
        b'{"event_type":"\\u00e9\\u007f\\u2028","event_id":"e","timestamp":{"$date":"2026-01-31T10:00:00Z"},"x":1}\n'
    )


@pytest.mark.parametrize(
    "value", [{"$oid": "x"}, {"a": [{"$date": 1, "b": 2}]}, {"$code": {}}, [[{"$numberInt": "1"}]]]
)
def test_an_object_that_reads_as_another_type_is_found(value: Any) -> None:
    record = stored({"event_id": "e", "timestamp": EVERY_TYPE["time"], "payload": {"value": value}})
    assert is_ambiguous(record, record_line(record))


def test_no_object_of_a_usual_record_is_taken_for_another_type() -> None:
    record = stored({"event_id": "e", "timestamp": EVERY_TYPE["time"], "payload": EVERY_TYPE})
    assert not is_ambiguous(record, record_line(record))


DEEP = 100_000
REFUSED = {
    "nothing": ("", "JSON: expecting value at character 1"),
    "two values": ("{} {}", "JSON: extra data at character 4"),
    "cut off": ('{"a":', "JSON: expecting value at character 6"),
    "nested 100,000 deep": ("[" * DEEP + "]" * DEEP, "more than 97 levels"),
    "objects 100,000 deep": ('{"a":' * DEEP + "1" + "}" * DEEP, "more than 97 levels"),
    "NaN": ('{"a": NaN}', "NaN is not a number"),
    "Infinity": ("-Infinity", "-Infinity is not a number"),
    "1e999": ('{"a": 1e999}', "larger than any float"),
    "2**63": (str(2**63), "takes more than 64 bits"),
    "-2**63-1": (str(-(2**63) - 1), "takes more than 64 bits"),
    "5,000 digits": ("1" * 5_000, "takes more than 64 bits"),
    "duplicate keys": ('{"a": 1, "b": 2, "a": 1}', 'the key "a" appears twice'),
    "control character": ('"\x01"', "invalid control character at character 2"),
    "bad escape": (r'"\x"', "JSON: invalid"),
    "$oid zz": ('{"$oid": "zz"}', '$oid: "zz" is not a valid value'),
    "$oid of 23": ('{"$oid": "' + "a" * 23 + '"}', "is not a valid value"),
    "$oid number": ('{"$oid": 5}', "$oid: 5 is not a valid value"),
    "$oid and more": ('{"$oid": "' + "a" * 24 + '", "x": 1}', '$oid: must not have the additional key "x"'),
    "$date past 64 bits": ('{"$date": {"$numberLong": "9223372036854775808"}}', "is not a valid value"),
    "$date that does not exist": ('{"$date": "2026-02-30T00:00:00Z"}', "is not an existing time"),
    "$date year 10000": ('{"$date": "10000-01-01T00:00:00Z"}', "is not a time like"),
    "$date naive": ('{"$date": "2026-01-31T10:00:00"}', "has no zone"),
    "$date plain number": ('{"$date": 5}', "$date: 5 is not a valid value"),
    "$date 32 bits": ('{"$date": {"$numberInt": "5"}}', "$date: 5 is not a valid value"),
    "$numberLong past 64 bits": ('{"$numberLong": "99999999999999999999"}', "is not a valid value"),
    "$numberLong 5_0": ('{"$numberLong": "5_0"}', "is not a valid value"),
    "$numberLong of Arabic digits": ('{"$numberLong": "\u0663"}', "is not a valid value"),
    "$numberLong plain": ('{"$numberLong": 5}', "is not a valid value"),
    "$numberInt past 32 bits": ('{"$numberInt": "2147483648"}', "is not a valid value"),
    "$numberDouble text": ('{"$numberDouble": "x"}', "is not a valid value"),
    "$numberDouble 1e999": ('{"$numberDouble": "1e999"}', "is not a valid value"),
    "$numberDecimal past its range": ('{"$numberDecimal": "1E7000"}', "is not a valid value"),
    "$numberDecimal of 35 digits": ('{"$numberDecimal": "' + "1" * 35 + '"}', "is not a valid value"),
    "$numberDecimal text": ('{"$numberDecimal": "1_0"}', "is not a valid value"),
    "bad base64": ('{"$binary": {"base64": "@@@@", "subType": "00"}}', "is not a valid value"),
    "base64 without its end": ('{"$binary": {"base64": "YWJ", "subType": "00"}}', "is not a valid value"),
    "bad subtype": ('{"$binary": {"base64": "", "subType": "xx"}}', "is not a valid value"),
    "short UUID": ('{"$binary": {"base64": "YWJj", "subType": "04"}}', "is not a valid value"),
    "$binary of old": ('{"$binary": "YWJj", "$type": "00"}', 'must not have the additional key "$type"'),
    "$uuid": ('{"$uuid": "x"}', "is not a valid value"),
    "$code number": ('{"$code": 5}', "is not a valid value"),
    "$code scope": ('{"$code": "f()", "$scope": 1}', "is not a valid value"),
    "$timestamp": ('{"$timestamp": {"t": -1, "i": 0}}', "is not a valid value"),
    "$timestamp past 32 bits": ('{"$timestamp": {"t": 4294967296, "i": 0}}', "is not a valid value"),
    "$minKey": ('{"$minKey": 2}', "is not a valid value"),
    "$regularExpression": ('{"$regularExpression": {"pattern": "a", "options": "g"}}', "is not a valid value"),
    "$regularExpression NUL": ('{"$regularExpression": {"pattern": "\\u0000", "options": ""}}', "is not a valid value"),
    "$ref": ('{"$ref": 5, "$id": 1}', "must name a collection"),
    "$symbol": ('{"$symbol": "x"}', "is an obsolete type"),
    "$undefined": ('{"$undefined": true}', "is an obsolete type"),
    "$dbPointer": ('{"$dbPointer": {}}', "is an obsolete type"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_cannot_be_kept_exactly_is_refused_with_the_reason(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(InvalidEvent) as caught:
        parse(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00.5699999Z", datetime(2026, 1, 31, 10, 0, 0, 569_000, UTC)),
        ("2026-01-31T10:00:00.57+01:00", datetime(2026, 1, 31, 9, 0, 0, 570_000, UTC)),
        ("2026-01-31T10:00:00-0230", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_milliseconds(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-31", "2026-01-31T10:00:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2026-W05-6"],
)
def test_times_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_time(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for one in (text, json.dumps({"$date": text}), json.dumps({"$numberDecimal": text})):
        with suppress(InvalidEvent):
            parse(one)
