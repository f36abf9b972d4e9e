"""The trace context of an event: kept beside its fields, in its record and in Event JSON."""

import json
from typing import Any

import bson
import pytest
from bson import json_util
from pydantic import create_model

from craft_easy.core.events import DomainEvent, InvalidEvent, with_trace_context
from craft_easy.core.events.engine.children import as_child
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.model.envelope import EPOCH
from craft_easy.core.events.store.documents import event_content, new_record, same_content, stored_event
from craft_easy.core.events.store.formats import event_json
from craft_easy.core.events.store.formats.event_json import line
from craft_easy.core.events.store.formats.incoming import Reading, record_of
from craft_easy.core.events.testing import fresh_bus

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=1"}


def event(**values: Any) -> DomainEvent:
    return DomainEvent(event_type="order.placed", **values)


def stored(record: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(bson.encode(record), event_json.CODEC)


def test_an_event_has_none_unless_it_was_given_one() -> None:
    assert event().trace_context is None
    assert "trace_context" not in new_record(event())
    assert "trace_context" not in json.loads(line(stored(new_record(event()))))


def test_the_copy_is_the_same_event_and_the_original_is_unchanged() -> None:
    original = event(payload={"n": 1})
    copy = with_trace_context(original, TRACE)
    assert (original.trace_context, copy.trace_context) == (None, TRACE)
    assert (copy, copy.model_dump(), copy.model_fields_set) == (
        original, original.model_dump(), original.model_fields_set,
    )  # fmt: skip
    assert copy.model_copy(update={"tenant_id": "acme"}).trace_context == TRACE


def test_it_is_in_the_record_and_comes_back_from_it() -> None:
    record, read_back = stored_event(with_trace_context(event(), TRACE))
    assert record["trace_context"] == TRACE
    assert read_back.trace_context == TRACE
    assert new_record(read_back)["trace_context"] == TRACE


def test_it_is_no_part_of_the_content() -> None:
    original = event()
    copy = with_trace_context(original, TRACE)
    assert event_content(copy) == event_content(original)
    assert same_content(new_record(copy), new_record(original))


def test_a_child_keeps_it() -> None:
    parent = CurrentDelivery(event(), "h")
    child = as_child(with_trace_context(event(), TRACE), parent, event_content)
    assert (child.trace_context, child.causation_id) == (TRACE, parent.event.event_id)


def test_a_field_of_that_name_is_the_users() -> None:
    with fresh_bus():
        traced_class: Any = create_model(
            "Traced", __base__=DomainEvent, event_type=(str, "t"), trace_context=(str, "mine")
        )
    traced: Any = with_trace_context(traced_class(), TRACE)
    assert traced.trace_context == "mine"
    assert new_record(traced)["trace_context"] == TRACE
    assert new_record(traced)["payload"] == {"trace_context": "mine"}


@pytest.mark.parametrize("value", [None, {}, "00-0af", {"traceparent": 1}, {1: "x"}])
def test_what_is_not_a_mapping_of_texts_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a trace context is a mapping of texts"):
        with_trace_context(event(), value)


@pytest.mark.parametrize("extra", [{}, {"of_another_program": 1}], ids=["usual", "any"])
def test_event_json_has_it_behind_the_delivery(extra: dict[str, Any]) -> None:
    record = stored({**new_record(with_trace_context(event(), TRACE)), **extra})
    parsed = json.loads(line(record))
    assert list(parsed)[-2:] == ["delivery", "trace_context"]
    assert parsed["trace_context"] == TRACE
    marked = json.loads(line(record | {"redacted": {"at": EPOCH.replace(tzinfo=None), "by": "me", "reason": None}}))
    assert list(marked)[-3:] == ["delivery", "trace_context", "redacted"]


@pytest.mark.parametrize("value", [7, "x", {}, {"traceparent": 7}])
def test_a_value_of_another_form_is_left_out(value: Any) -> None:
    record = stored({**new_record(event()), "trace_context": value})
    assert "trace_context" not in json.loads(line(record))
    assert DomainEvent.from_record(record).trace_context is None


def test_it_survives_export_and_import() -> None:
    record = new_record(with_trace_context(event(), TRACE))
    exported = json_util.loads(json_util.dumps(record), json_options=json_util.JSONOptions(tz_aware=True))
    for given in (exported, json.loads(line(stored(record)))):
        assert record_of(given, Reading(EPOCH))["trace_context"] == TRACE


def test_an_imported_one_must_be_an_object_of_texts() -> None:
    parsed = json.loads(line(stored(new_record(event())))) | {"trace_context": {"traceparent": 1}}
    with pytest.raises(InvalidEvent, match="trace_context"):
        record_of(parsed, Reading(EPOCH))
