"""The rules for choosing an index find the queries that MongoDB would answer by a scan, a sort, or wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from craft_easy.core.events.store.indexes import CLAIM_INDEX, DEAD_INDEX, INDEXES, OPEN_INDEX, OWNER_INDEX
from tests.support.planner import IDS, Query, queries_of, rows

IN_ORDER = (("timestamp", 1), ("event_id", 1))
PENDING = {"$elemMatch": {"id": {"$in": ["a", "b"]}, "state": "pending"}}


@pytest.mark.parametrize(
    "query",
    [
        Query({"_id": 1}),
        Query({"event_id": {"$in": ["a"]}}),
        Query({}, IN_ORDER),
        Query({}, (("timestamp", -1), ("event_id", -1))),
        Query({"tenant_id": {"$in": ["a", "b"]}, "payload.x": 1}, IN_ORDER),
        Query({"$or": [{"event_id": "a"}, {"correlation_id": "a"}]}),
        Query({"delivery.state": "open", "delivery.owner": {"$in": ["a"], "$gt": ""}}, hint=OWNER_INDEX),
        Query({"delivery.state": {"$eq": "open"}}, IN_ORDER, OPEN_INDEX),
        Query(
            {"$and": [{"delivery.state": "open"}, {"delivery.handlers": PENDING}], "delivery.owner": None},
            (("delivery.due_at", 1), ("_id", 1)),
            CLAIM_INDEX,
        ),
    ],
    ids=str,
)
def test_an_index_answers(query: Query) -> None:
    assert query.problem() is None


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (Query({"payload.x": 1}), "no index"),
        (Query({}), "no index"),
        (Query({"event_id": None}), "no index"),
        (Query({"event_type": {"$regex": "^order"}}, IN_ORDER[1:]), "no index"),
        (Query({"delivery.state": "open"}), "no index"),
        (Query({"event_type": {"$gt": "a"}}, (("actor_id", 1),)), "no index"),
        (Query({"$or": [{"event_id": "a"}, {"payload.x": 1}]}), "no index"),
        (Query({"timestamp": {"$gt": 1}}, (("timestamp", 1), ("event_id", -1))), "no index"),
        (Query({"delivery.owner": {"$gt": ""}}, hint=OWNER_INDEX), "is not contained"),
        (Query({"delivery.state": "dead"}, hint=DEAD_INDEX), "is not contained"),
        (Query({"delivery.state": "open"}, (("_id", 1),), OPEN_INDEX), "does not order"),
        (Query({}, hint="of_another_program"), "names none"),
    ],
    ids=str,
)
def test_a_scan_a_sort_and_a_wrong_hint_are_found(query: Query, problem: str) -> None:
    assert problem in str(query.problem())


def test_the_rules_read_the_beginning_of_a_pipeline() -> None:
    def pipeline(*stages: Any) -> Query:
        (query,) = queries_of({"aggregate": "log", "pipeline": list(stages), "hint": "x"})
        return query

    sort = {"$sort": {"timestamp": 1}}
    found = pipeline({"$match": {"tenant_id": "a"}}, sort, {"$group": {}})
    assert (found.sort, found.hint) == ((("timestamp", 1),), "x")
    assert pipeline({"$group": {}}, sort).sort == ()


def test_the_table_of_queries_names_every_index() -> None:
    assert {row.index for row in rows()} == {IDS["name"], *(index.document["name"] for index in INDEXES)}


def test_a_query_that_the_table_does_not_have_is_found() -> None:
    beginning = Query({"event_id": {"$gte": "a", "$lt": "b"}}, (("event_id", 1),))
    assert beginning.is_in(rows())
    assert not beginning.is_in({row for row in rows() if row.order != "by id"})
    assert not Query({"delivery.state": "open", "delivery.owner": {"$gt": ""}}, (), CLAIM_INDEX).is_in(
        {row for row in rows() if not row.has_hint}
    )
