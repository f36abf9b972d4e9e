"""A selection as MongoDB reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import mongomock
import pytest
from bson import DatetimeMS, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import filters
from craft_easy.core.events.store.filters import joined, selection_filter, stored_forms

SINCE = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=1)


@pytest.mark.parametrize(
    ("selection", "condition"),
    [
        (Selection(), {}),
        (Selection(tenants=("acme",)), {"tenant_id": {"$eq": "acme"}}),
        (Selection(tenants=("a", "b")), {"tenant_id": {"$in": ["a", "b"]}}),
        (Selection(no_tenant=True), {"tenant_id": {"$eq": None}}),
        (Selection(tenants=("a",), no_tenant=True), {"tenant_id": {"$in": ["a", None]}}),
        (Selection(tenants=('{"$ne":null}',)), {"tenant_id": {"$eq": '{"$ne":null}'}}),
        (Selection(tenants=("\udcff",)), {"tenant_id": {"$in": []}}),
        (Selection(actors=("x",)), {"actor_id": {"$eq": "x"}}),
        (Selection(types=("a.b",)), {"event_type": {"$eq": "a.b"}}),
        (Selection(types=("a.b", "c")), {"event_type": {"$in": ["a.b", "c"]}}),
        (Selection(types=("a", "*")), {}),
        (Selection(types=("\udcff", "\udcff*")), {"event_type": {"$in": []}}),
        (Selection(except_types=("a.b",)), {"$nor": [{"event_type": {"$eq": "a.b"}}]}),
        (
            Selection(except_types=("a", "*")),
            {"$nor": [{"event_type": {"$eq": "a"}}, {"event_type": {"$exists": True}}]},
        ),
        (
            Selection(types=("c",), except_types=("a",)),
            {"event_type": {"$eq": "c"}, "$nor": [{"event_type": {"$eq": "a"}}]},
        ),
        (Selection(since=SINCE), {"timestamp": {"$gte": SINCE}}),
        (Selection(since=SINCE, until=UNTIL), {"timestamp": {"$gte": SINCE, "$lt": UNTIL}}),
        (Selection(states=("open",)), {"delivery.state": {"$eq": "open"}}),
        (Selection(states=("untracked",)), {"delivery": {"$eq": None}}),
        (Selection(states=("dead",)), {"delivery.state": {"$eq": "dead"}, "delivery.handlers.state": {"$eq": "dead"}}),
        (
            Selection(states=("open", "done")),
            {"$or": [{"delivery.state": {"$eq": "open"}}, {"delivery.state": {"$eq": "done"}}]},
        ),
    ],
)
def test_a_selection_becomes_a_filter(selection: Selection, condition: dict[str, Any]) -> None:
    assert selection_filter(selection) == condition


def test_a_wildcard_becomes_an_anchored_regular_expression_beside_exact_types() -> None:
    condition = selection_filter(Selection(types=("a.*", "b")))
    exact, wild = condition["$or"]
    assert exact == {"event_type": {"$eq": "b"}}
    assert wild["event_type"]["$regex"].startswith("^a\\.")


def test_two_sets_of_alternatives_do_not_overwrite_each_other() -> None:
    condition = selection_filter(Selection(types=("a.*", "b"), states=("open", "done"), tenants=("t",)))
    met = joined(condition, {"$or": [{"x": 1}]})
    assert str(met).count("$or") == 3
    assert str(joined(met, {"$or": [{"y": 1}]}, {"$and": [{"z": 1}]})).count("$or") == 4


@given(
    st.sampled_from(["a.*", "*", "a?b", "*.b", "a.b", "**", "?", "[a]*", "a\n*", "ä*"]),
    st.text(st.sampled_from("ab.[]ä\n"), max_size=5),
)
def test_the_filter_finds_the_types_that_the_pattern_matches(pattern: str, event_type: str) -> None:
    from craft_easy.core.events.model.selection import compile_pattern

    log: Any = mongomock.MongoClient().db.log
    log.insert_one({"event_type": event_type})
    found = log.count_documents(selection_filter(Selection(types=(pattern,)))) == 1
    assert found == compile_pattern(pattern).matches(event_type)


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("acme", []),
        ("5", [5]),
        ("-5", [-5]),
        ("05", []),
        ("5" * 19, [int("5" * 19)]),
        ("9" * 19, []),
        ("٥", []),
        ("0" * 24, [ObjectId("0" * 24)]),
        ("g" * 24, []),
        ("00000000-0000-0000-0000-000000000007", [UUID(int=7)]),
        ("x0000000-0000-0000-0000-000000000007", []),
        ("00000000-0000-0000-0000-00000000000A", []),
    ],
)
def test_an_id_may_be_stored_in_each_form_that_is_shown_alike(text: str, others: list[Any]) -> None:
    assert stored_forms(text) == [text, *others]


def test_without_a_window_there_is_one_listing() -> None:
    assert filters.parts(Selection(tenants=("a",))) == [{"tenant_id": {"$eq": "a"}}]


def test_within_a_window_records_without_a_date_are_listed_before_those_with_one() -> None:
    *undated, dated = filters.parts(Selection(since=SINCE, until=UNTIL, tenants=("a",)))
    assert dated == selection_filter(Selection(since=SINCE, until=UNTIL, tenants=("a",)))
    assert [one["timestamp"] for one in undated] == [
        {"$eq": None},
        {"$gte": float("-inf"), "$lte": float("inf")},
        {"$gte": "", "$lte": "\U0010ffff"},
    ]
    for one in undated:
        assert one["tenant_id"] == {"$eq": "a"}
        assert one["_id"]["$gte"].generation_time == SINCE
        assert one["_id"]["$lt"].generation_time == UNTIL
    backwards = filters.parts(Selection(since=SINCE, until=UNTIL, tenants=("a",), reverse=True))
    assert backwards == [dated, *reversed(undated)]


def test_a_window_around_1970_holds_ids_that_tell_no_time() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert "$or" in filters.parts(Selection(until=UNTIL))[0]
    assert "$or" in filters.parts(Selection(since=epoch))[0]
    assert "$or" not in filters.parts(Selection(since=SINCE))[0]
    assert "$or" not in filters.parts(Selection(until=epoch))[0]
    assert filters.parts(Selection(since=datetime(1900, 1, 1, tzinfo=UTC)))[0]
    assert filters.parts(Selection(since=datetime(2200, 1, 1, tzinfo=UTC)))[0]


IN_ORDER: list[Any] = [
    *(None, -5, 2.5, Decimal(3), "", "a", {}, {"a": 1}, ObjectId(bytes(12)), False, True),
    *(SINCE, UNTIL, Timestamp(1, 1)),
]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("place", range(len(IN_ORDER)))
def test_what_follows_a_record_is_everything_behind_it_in_the_order_of_types(place: int, direction: int) -> None:
    value = IN_ORDER[place]
    here, *behind = _alternatives(filters.from_here_on({"timestamp": value}, direction))
    if value is not None:
        assert here == {"timestamp": {"$gte" if direction == 1 else "$lte": value}}
    kinds = [_kind_of(one) for one in behind]
    later = IN_ORDER[place + 1 :] if direction == 1 else IN_ORDER[:place][::-1]
    own = _kind(value)
    assert kinds == list(dict.fromkeys(_kind(one) for one in later if _kind(one) != own))


def _alternatives(condition: dict[str, Any]) -> list[dict[str, Any]]:
    alternatives: list[dict[str, Any]] = condition.get("$or", [condition])
    return alternatives


def _kind(value: Any) -> str:
    return next(kind.name for kind in filters._KINDS if filters._is_of(value, kind))


def _kind_of(condition: dict[str, Any]) -> str:
    return next(kind.name for kind in filters._KINDS if kind.any_value == condition)


def test_a_value_of_no_known_kind_ends_the_order() -> None:
    assert filters.from_here_on({"timestamp": Regex("x")}) == {"timestamp": {"$gte": Regex("x")}}
    assert filters.from_here_on({}) == filters.from_here_on({"timestamp": None})
    assert _kind(DatetimeMS(2**60)) == "date"
    bson.encode({"": [kind.any_value for kind in filters._KINDS]})


def test_named_events_are_looked_up_in_every_form_that_a_record_may_have() -> None:
    uuid, number, object_id = "019abf3e-0000-7000-8000-000000000001", "42", "5e34000000000000000000ff"
    plain = selection_filter(Selection(event_ids=("a", uuid, "\ud800")))
    assert plain == {"event_id": {"$in": ["a", uuid, UUID(uuid)]}}
    others = selection_filter(Selection(event_ids=("a", number, object_id)))
    assert others == {
        "$or": [
            {"event_id": {"$in": ["a", number, 42, object_id, ObjectId(object_id)]}},
            {"_id": {"$in": [42, ObjectId(object_id)]}, "event_id": None},
        ]
    }
    assert selection_filter(Selection(event_ids=())) == {"event_id": {"$in": []}}
    assert selection_filter(Selection()) == {}
