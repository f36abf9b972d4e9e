"""A selection as a MongoDB filter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import mongomock
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.model.selection import Selection
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


def test_a_wildcard_becomes_an_anchored_regular_expression_next_to_exact_types() -> None:
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


def test_named_events_are_looked_up_by_their_ids() -> None:
    assert selection_filter(Selection(event_ids=("a", "42", "\ud800"))) == {"event_id": {"$in": ["a", "42"]}}
    assert selection_filter(Selection(event_ids=())) == {"event_id": {"$in": []}}
    assert selection_filter(Selection()) == {}
