"""`--template`: fields, columns, and nothing that could be obeyed or evaluated."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_events_cli.render import events
from craft_events_cli.render.template import FIELDS, template

EVENT: dict[str, Any] = {
    "_id": 1,
    "event_id": "e-1",
    "event_type": "order.placed",
    "timestamp": datetime(2026, 1, 31, 10, 0, 0, 120_000),  # noqa: DTZ001 - as records are decoded for reading
    "tenant_id": "acme",
    "actor_id": None,
    "payload": {"order": {"id": "o_1"}, "items": [{"sku": "a"}, {"sku": "b"}], "total": 80.5, "paid": True, "né": "é"},
}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{event_id}", "e-1"),
        ("{timestamp} {tenant_id}", "2026-01-31T10:00:00.120Z acme"),
        ("{payload.order.id}/{payload.items.1.sku}/{payload.total}/{payload.paid}", "o_1/b/80.5/true"),
        ("{payload.items.2.sku}{payload.nothing.at.all}{actor_id}{delivery.state}", "––––"),
        ("{payload.order}", '{"id":"o_1"}'),
        ("{payload.né}", "é"),
        ("[{tenant_id:>6}] [{tenant_id:<6}] [{tenant_id:^6}] [{tenant_id:*^6}]", "[  acme] [acme  ] [ acme ] [*acme*]"),
        ("{event_type:.6}|{event_type:8.6}|", "order…|order…  |"),
        (r"{{{event_id}}}\t{tenant_id}\\n", "{e-1}\tacme\\n"),
        ("a\x1b[31m\x9b{event_id}", r"a\x1b[31m\x9be-1"),
        ("{payload.order.__class__}{payload.__dict__}", "––"),
    ],
)
def test_a_line_is_as_the_template_has_it(text: str, line: str) -> None:
    assert template(text).line(EVENT) == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plain", "shows nothing"),
        ("", "shows nothing"),
        ("{}", "names no field"),
        ("{evnt_type}", "Did you mean event_type?"),
        ("{order.id}", "Did you mean payload.order.id?"),
        ("{tenant_id.x}", "nothing is in it"),
        ("{payload.}", "beside a dot"),
        ("{event_id", "write {{"),
        ("event_id}", "write }}"),
        ("{event_id!r}", "no such field"),
        ("{event_id:}", "sets no columns"),
        ("{event_id:d}", "sets no columns"),
        ("{event_id:>9999}", "wider than"),
        ("{0}", "no such field"),
        ("{event_id[0]}", "no such field"),
    ],
)
def test_what_cannot_be_meant_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("{", r"\{").replace("}", r"\}").replace("?", r"\?")):
        template(text)


def test_its_fields_are_those_of_event_json() -> None:
    assert FIELDS == events.COLUMNS


def test_wide_letters_take_two_columns() -> None:
    assert template("{tenant_id:6}|").line(EVENT | {"tenant_id": "日本"}) == "日本  |"


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_control_character_of_the_log_or_of_the_template_comes_out(value: str, around: str) -> None:
    literal = around.replace("{", "").replace("}", "").replace("\\", "").replace("\t", "")
    record = EVENT | {"tenant_id": value, "payload": {"x": [value, {value: value}], "y": value}}
    line = template(literal + "{tenant_id} {payload} {payload.x} {payload.y:>10}").line(record)
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & set(map(category, line))
